import itertools
import math

import numpy as np
import pytest

from petseg import batches
from petseg.batches import example_batches
from petseg.config.params import AugmentParams
from petseg.core.errors import PetsegError
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.cluster import SINGLE_WORKER, Worker
from petseg.training.input_pipeline import training_batches, validation_batches
from support.project import NO_AUGMENTATION

AUGMENT = AugmentParams(
    **NO_AUGMENTATION
    | {
        "flip": True,
        "crop_scale": (0.7, 1.0),
        "rotation": 10.0,
        "brightness": 0.1,
        "contrast": 0.1,
        "saturation": 0.1,
    }
)
PLAIN = AugmentParams(**NO_AUGMENTATION)


@pytest.fixture(scope="module")
def shards(tiny_shards):
    manifest = read_manifest(tiny_shards)
    return {split: open_shards(tiny_shards, manifest, split) for split in manifest.splits}


def epoch(shards, number, augment=AUGMENT, seed=0, batch_size=4, skip=0):
    made = training_batches(shards["train"], batch_size, 16, augment, seed, number, skip)
    return [(image.numpy(), mask.numpy()) for image, mask in made]


def flat(made):
    return b"".join(image.tobytes() + mask.tobytes() for image, mask in made)


def test_an_epoch_follows_from_seed_and_number(shards):
    assert flat(epoch(shards, 1)) == flat(epoch(shards, 1))
    assert flat(epoch(shards, 1)) != flat(epoch(shards, 2))
    assert flat(epoch(shards, 1)) != flat(epoch(shards, 1, seed=1))


def test_batches_have_the_promised_shapes(shards):
    for image, mask in epoch(shards, 1):
        assert (image.shape, image.dtype) == ((4, 32, 32, 3), np.float32)
        assert (mask.shape, mask.dtype) == ((4, 32, 32), np.uint8)
        assert 0 <= image.min() <= image.max() <= 255


def test_an_epoch_holds_every_picture_at_most_once_and_epochs_differ_in_order(shards):
    whole = {
        e.tobytes() for batch in example_batches(shards["train"], 5) for e in batch["image"].numpy()
    }
    first = [e.astype(np.uint8).tobytes() for image, _ in epoch(shards, 1, PLAIN) for e in image]
    second = [e.astype(np.uint8).tobytes() for image, _ in epoch(shards, 2, PLAIN) for e in image]
    assert len(first) == len(whole) // 4 * 4
    assert len(set(first)) == len(first)
    assert set(first) <= whole
    assert first != second


def test_validation_batches_are_full_and_their_filling_is_ignored(shards):
    count = sum(len(batch["index"]) for batch in example_batches(shards["test"], 8))
    made = list(validation_batches(shards["test"], 3))
    assert all(image.shape[0] == mask.shape[0] == real.shape[0] == 3 for image, mask, real in made)
    real = np.concatenate([r.numpy() for _, _, r in made])
    masks = np.concatenate([m.numpy() for _, m, _ in made])
    assert real.sum() == count == 8
    assert (masks[~real] == 255).all()
    assert (masks[real] != 255).all()


def test_a_split_is_read_in_the_order_in_which_it_was_written(shards):
    for split in ("train", "val", "test"):
        index = np.concatenate(
            [batch["index"].numpy() for batch in example_batches(shards[split], 3)]
        )
        assert list(index) == list(range(len(index)))


def test_an_epoch_can_be_taken_up_at_any_batch(shards):
    whole = epoch(shards, 1)
    for skip in (1, 3, len(whole)):
        assert flat(epoch(shards, 1, skip=skip)) == flat(whole[skip:])


@pytest.mark.parametrize("parallel", [1, 3, 16])
def test_the_number_of_reading_threads_changes_nothing(shards, monkeypatch, parallel):
    expected = flat(epoch(shards, 1))
    monkeypatch.setattr(batches, "PARALLEL_CALLS", parallel)
    assert flat(epoch(shards, 1)) == expected


@pytest.fixture(scope="module")
def four_shards(tiny_params, tiny_raw, tmp_path_factory):
    """The shards as each worker of a cluster reads them; some have a picture more than others."""
    records = tmp_path_factory.mktemp("four") / "tfrecords"
    preprocess(
        tiny_params.preprocess.model_copy(update={"shards": 4}), tiny_params.seed, tiny_raw, records
    )
    manifest = read_manifest(records)
    return lambda split, worker=SINGLE_WORKER: open_shards(records, manifest, split, worker)


def pictures_of(batch):
    """Each picture of a batch with its mask, in no order."""
    image, mask, *real = (tensor.numpy() for tensor in batch)
    kept = real[0] if real else np.ones(len(image), bool)
    return sorted(i.tobytes() + m.tobytes() for i, m in zip(image[kept], mask[kept], strict=True))


@pytest.mark.parametrize("workers", [2, 4])
@pytest.mark.parametrize("batch_size", [4, 8, 12])
def test_the_workers_parts_of_a_batch_are_together_what_one_alone_would_have(
    four_shards, workers, batch_size
):
    # Flips are exact. What is computed may differ in its last bits by the number of pictures in a batch.
    flips = PLAIN.model_copy(update={"flip": True})

    def train(shards):
        return training_batches(shards, batch_size, 16, flips, seed=3, epoch=2, skip=1)

    def val(shards):
        return validation_batches(shards, batch_size)

    for split, make in (("train", train), ("val", val), ("test", val)):
        alone = [pictures_of(batch) for batch in make(four_shards(split))]
        parts = [
            [pictures_of(batch) for batch in make(four_shards(split, Worker(k, workers)))]
            for k in range(workers)
        ]
        assert {len(part) for part in parts} == {len(alone)}
        assert [
            sorted(itertools.chain(*together)) for together in zip(*parts, strict=True)
        ] == alone
        assert len(alone) >= 1


@pytest.mark.parametrize(("shards", "batch_size"), [(20, 4), (8, 6), (7, 3)])
def test_with_more_shards_than_a_batch_has_pictures_they_still_meet_in_every_way(
    tiny_params, tiny_raw, tmp_path, shards, batch_size
):
    preprocess(
        tiny_params.preprocess.model_copy(update={"shards": shards}),
        tiny_params.seed,
        tiny_raw,
        tmp_path / "r",
    )
    read = open_shards(tmp_path / "r", read_manifest(tmp_path / "r"), "train")
    names = [
        image.tobytes() for batch in example_batches(read, 8) for image in batch["image"].numpy()
    ]
    beside, dropped = set(), []
    for number in range(1, 40):
        seen = []
        for image, _ in training_batches(read, batch_size, 64, PLAIN, 0, number):
            batch = [names.index(one.astype(np.uint8).tobytes()) for one in image.numpy()]
            beside |= set(itertools.permutations(batch, 2))
            seen += batch
        assert len(set(seen)) == len(seen) == len(names) // batch_size * batch_size
        dropped.append(frozenset(range(len(names))) - set(seen))
    lanes = math.gcd(shards, batch_size)
    alone_in_its_lane = (
        0 if batch_size > lanes else len(names) // lanes - 1
    )  # two of a lane never meet there
    assert len(beside) > 0.6 * len(names) * (len(names) - 1 - alone_in_its_lane)
    assert len(set(dropped)) > 5 or not dropped[0]


def test_a_worker_reads_its_own_shards_alone(four_shards, tmp_path):
    own = [set(four_shards("train", Worker(k, 2)).paths) for k in range(2)]
    assert own[0] | own[1] == set(four_shards("train").paths)
    assert not own[0] & own[1]
    with pytest.raises(
        PetsegError,
        match=r"4 shards can't be .* among 3 workers; make preprocess\.shards a multiple of 3",
    ):
        four_shards("train", Worker(0, 3))
