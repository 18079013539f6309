"""The shards that a worker trains on, and the number of steps that they make."""

from dataclasses import dataclass

from petseg.config.train_params import TrainParams
from petseg.core.errors import PetsegError
from petseg.shards.manifest import ShardSet
from petseg.training.cluster import Worker


@dataclass(frozen=True)
class TrainingData:
    """The shards that this worker reads. Each worker runs the same loop on its own shards."""

    train: ShardSet
    val: ShardSet
    class_repeats: tuple[float, ...] = ()  # see `training_batches`
    unit: str = "images"  # what an example is: "images" or "tiles"

    @property
    def worker(self) -> Worker:
        return Worker(self.train.rank, self.train.num_workers)


def count_steps(data: TrainingData, params: TrainParams, num_replicas: int) -> int:
    """Return the steps in an epoch; the remainder of a last batch is dropped.

    Raises PetsegError if the batch size or the compilation doesn't suit the data or the devices.
    """
    batch_size, num_images = params.batch_size, data.train.num_examples
    if batch_size > num_images:
        raise PetsegError(
            f"train.batch_size is {batch_size}, but must be at most {num_images}, the number of "
            f"training {data.unit}."
        )
    if batch_size % num_replicas:
        raise PetsegError(
            f"train.batch_size is {batch_size}, but must be a multiple of {num_replicas}, the "
            "number of devices."
        )
    if params.jit_compile and num_replicas > 1:
        raise PetsegError(
            f"train.jit_compile is true, but must be false on {num_replicas} devices; XLA compiles "
            "the training step for one device only."
        )
    return num_images // batch_size
