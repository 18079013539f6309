"""The preprocess stage: write the train, val and test shards of a prepared data set.

`preprocess.runner` selects this process or Apache Beam, which writes the same bytes.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from petseg.config.data_params import PreprocessParams
from petseg.core.atomic_io import atomic_directory
from petseg.core.errors import explain_missing, translate
from petseg.core.labels import colors_of
from petseg.core.process import suppress_stderr
from petseg.preprocessing.local import read_names, write_shards_locally
from petseg.preprocessing.split_checks import check_splits, describe_splits
from petseg.preprocessing.splits import widen_val_fraction
from petseg.preprocessing.writer import FittingStats
from petseg.raw import (
    DatasetInfo,
    count_examples,
    read_dataset_info,
    read_unverified_dataset_info,
)
from petseg.shards.manifest import NO_STORAGE, Manifest, Split, write_manifest
from petseg.shards.storage import upload_shards

_Written = tuple[dict[str, Split], FittingStats]  # what the manifest says, and how images fitted
_WriteShards = Callable[[PreprocessParams, int, Path, DatasetInfo, Path], _Written]


def preprocess(params: PreprocessParams, seed: int, raw_dir: Path, out_dir: Path) -> Manifest:
    """Write all shards and then the manifest.

    Raises PetsegError for a damaged data set, an image that can't be decoded, an invalid mask, an
    empty split, or a class that no training mask contains.
    """
    if params.runner == "beam":
        dataset_info = read_unverified_dataset_info(raw_dir)  # Beam's workers verify the files
        write_shards = _import_beam_writer()
    else:
        dataset_info = read_dataset_info(raw_dir)
        write_shards = write_shards_locally
    with atomic_directory(out_dir) as folder:
        totals = count_examples(raw_dir, dataset_info)
        effective = params
        if "val" not in totals:
            effective = _with_drawable_val_fraction(params, seed, raw_dir, dataset_info)
        splits, fitting = write_shards(effective, seed, raw_dir, dataset_info, folder)
        notes = describe_splits(splits, totals, fitting, params, effective.val_fraction)
        manifest = Manifest(
            dataset=dataset_info.name,
            image_size=params.image_size,
            classes=colors_of(dataset_info.class_names),
            first_label=dataset_info.first_label,
            splits=splits,
            notes=(*dataset_info.notes, *notes),
            tiles=params.tiles,
            storage=params.storage,
            resize=params.resize,
        )
        check_splits(manifest, params)
        if manifest.storage != NO_STORAGE:
            shards = [shard for split in splits.values() for shard in split.shards]
            upload_shards({folder / shard.file: shard.sha256 for shard in shards}, manifest.storage)
        write_manifest(manifest, folder)
    for note in manifest.notes[len(dataset_info.notes) :]:
        print(note, flush=True)
    return manifest


def _with_drawable_val_fraction(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo
) -> PreprocessParams:
    """Return the parameters with a `val_fraction` that draws at least one image."""
    images = read_names(raw_dir, dataset_info, "train")
    fraction = widen_val_fraction(images, params.val_fraction, seed, dataset_info.group)
    return params.model_copy(update={"val_fraction": fraction})


def _import_beam_writer() -> _WriteShards:
    local = "set preprocess.runner to local"
    explain = partial(
        explain_missing, what="preprocess.runner: beam", extra="beam", alternative=local
    )
    with translate(explain), suppress_stderr():
        from petseg.preprocessing.beam.pipeline import write_shards
    return write_shards
