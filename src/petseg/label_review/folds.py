"""Out-of-fold models: each is trained, as the train stage would, without the masks that it judges.

An image's fold follows from a hash of its name, or of its group, as its split does.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from petseg.batches import example_batches, read_batches
from petseg.config.params import Params
from petseg.config.paths import PipelinePaths
from petseg.core.atomic_io import atomic_directory
from petseg.core.errors import PetsegError
from petseg.core.hashing import NO_GROUP, unit_hash
from petseg.core.process import raise_open_file_limit
from petseg.model.saved import SavedModel, load_model
from petseg.preprocessing.splits import hashed_names
from petseg.preprocessing.writer import SplitWriter
from petseg.shards.example import Example
from petseg.shards.manifest import (
    NO_STORAGE,
    Manifest,
    ShardSet,
    open_shards,
    read_manifest,
    write_manifest,
)
from petseg.training.train import train

FOLD = "fold "
"""How the names of folds begin."""

_READ_BATCH = 32


@dataclass(frozen=True)
class Fold:
    """A model, and examples of the training or the validation split for it to judge."""

    name: str
    model: SavedModel
    shards: ShardSet
    splits: Sequence[str]  # train or val: where each example comes from, by its index


def train_folds(
    params: Params,
    shards_dir: Path,
    num_folds: int,
    folder: Path,
    keep_checkpoints: Callable[[Path], None],
) -> Iterator[Fold]:
    """Yield each fold, trained in `folder`, which holds one fold's shards and model at a time.

    Training resumes from its checkpoints, whose folder is given to `keep_checkpoints`. Raises
    PetsegError.
    """
    manifest = read_manifest(shards_dir)
    _check_folds(params, shards_dir, manifest, num_folds)
    for number in range(num_folds):
        name = f"{FOLD}{number + 1} of {num_folds}"
        paths = PipelinePaths.under(folder)
        fold_manifest, splits = _write_fold(
            params, shards_dir, manifest, number, num_folds, paths.shards
        )
        held_out = fold_manifest.splits["val"].num_examples
        print(f"Training {name}, without the {held_out} masks to review.", flush=True)
        keep_checkpoints(train(params, paths))
        shards = open_shards(paths.shards, fold_manifest, "val")
        yield Fold(name, load_model(paths.model), shards, splits)


def fold_of(file_name: str, category: str, group: str, seed: int, num_folds: int) -> int:
    """Return an image's fold; images of one group share one."""
    name, category = hashed_names(file_name, category, group)
    return int(unit_hash("fold", seed, category, name) * num_folds)


def _fold_of_example(example: Example, params: Params, num_folds: int) -> int:
    group = params.dataset.folder.group if params.dataset.name == "folder" else NO_GROUP
    return fold_of(example.file_name, example.category, group, params.seed, num_folds)


def _check_folds(params: Params, shards_dir: Path, manifest: Manifest, num_folds: int) -> None:
    """Raise PetsegError, before the first training, if a fold has no images."""
    sizes = [0] * num_folds
    for _, example in _read_examples(shards_dir, manifest):
        sizes[_fold_of_example(example, params, num_folds)] += 1
    for number, size in enumerate(sizes, 1):
        if size == 0:
            raise PetsegError(
                f"Fold {number} of {num_folds} has 0 of the images; use fewer --folds."
            )


def _write_fold(
    params: Params,
    shards_dir: Path,
    manifest: Manifest,
    fold: int,
    num_folds: int,
    out_dir: Path,
) -> tuple[Manifest, list[str]]:
    """Write the training and validation splits again, divided into this fold ("val") and the rest.

    The test split is listed in the manifest, but not written. Also return the original split of
    each example in this fold.
    """
    num_shards = len(manifest.splits["train"].shards)
    raise_open_file_limit(2 * num_shards)
    original_splits: list[str] = []
    with atomic_directory(out_dir) as folder:
        with ExitStack() as stack:
            train_writer, val_writer = (
                stack.enter_context(SplitWriter(folder, split, num_shards))
                for split in ("train", "val")
            )
            for split, example in _read_examples(shards_dir, manifest):
                held_out = _fold_of_example(example, params, num_folds) == fold
                writer = val_writer if held_out else train_writer
                if held_out:
                    original_splits.append(split)
                writer.write(replace(example, index=writer.num_examples, original_mask=b""))
        splits = manifest.splits | {
            "train": train_writer.manifest_entry(manifest.class_names),
            "val": val_writer.manifest_entry(manifest.class_names),
        }
        fold_manifest = replace(manifest, splits=splits, storage=NO_STORAGE)
        write_manifest(fold_manifest, folder)
    return fold_manifest, original_splits


def _read_examples(shards_dir: Path, manifest: Manifest) -> Iterator[tuple[str, Example]]:
    """Yield the splits train and val, each with its examples."""
    for split in ("train", "val"):
        shards = open_shards(shards_dir, manifest, split)
        examples = example_batches(shards, _READ_BATCH, tiled=manifest.tiles is not None)
        for batch in read_batches(examples):
            columns = {name: values.numpy() for name, values in batch.items()}
            for i in range(len(columns["index"])):
                yield split, _example({name: values[i] for name, values in columns.items()})


def _example(values: dict[str, Any]) -> Example:
    texts = {key: values[key].decode() for key in ("file_name", "category", "supercategory")}
    position = (int(values.pop("top")), int(values.pop("left"))) if "top" in values else None
    return Example(**values | texts, position=position)
