"""The prepared data set in data/raw: a TFDS data set and `dataset.json`, which defines its classes.

After the download stage, no stage needs to know where the data came from. `dataset.json` also lists
every file with its sha256, so that a missing or damaged file is detected before it is used.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import tensorflow as tf
import tensorflow_datasets as tfds
from pydantic import TypeAdapter

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.hashing import NO_GROUP, sha256_of
from petseg.core.labels import check_labels
from petseg.core.parallel import parallel_map
from petseg.core.sealed_json import read_sealed_json, sealed_json

DATASET_INFO_FILE = "dataset.json"
_FORMAT = 3
_REMEDY = "restore it with dvc checkout --force, or recreate it with dvc repro --force download"


@dataclass(frozen=True)
class DatasetInfo:
    """What petseg needs to know about a prepared data set beyond TFDS's own description."""

    name: str
    directory: str  # of the TFDS data set, relative to data/raw
    class_names: tuple[str, ...]
    first_label: int  # the mask value of class 0; the other classes follow
    group: str = NO_GROUP  # pattern in file names: images of one group stay in one split
    notes: tuple[str, ...] = ()  # what was left out, guessed or drawn, for the report
    files: dict[str, str] = field(default_factory=dict)  # sha256 by path in `directory`
    format: int = _FORMAT


def write_dataset_info(dataset_info: DatasetInfo, raw_dir: Path) -> None:
    """Write `dataset.json`, with the sha256 of each file of the data set in `raw_dir`."""
    directory = raw_dir / dataset_info.directory
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = [path.relative_to(directory).as_posix() for path in paths]
    files = dict(zip(names, parallel_map(sha256_of, paths), strict=True))
    document = {**asdict(dataset_info), "files": files}
    atomic_write(raw_dir / DATASET_INFO_FILE, sealed_json(document))


def read_dataset_info(raw_dir: Path) -> DatasetInfo:
    """Read `dataset.json` and verify every file's checksum. Raises PetsegError."""
    dataset_info = read_unverified_dataset_info(raw_dir)
    parallel_map(lambda name: verify_file(dataset_info, name, raw_dir), dataset_info.files)
    return dataset_info


def read_unverified_dataset_info(raw_dir: Path) -> DatasetInfo:
    """Read `dataset.json` and leave `verify_file` to the caller. Raises PetsegError."""
    path = raw_dir / DATASET_INFO_FILE
    document = read_sealed_json(path, _FORMAT, _REMEDY)
    try:
        dataset_info = TypeAdapter(DatasetInfo).validate_python(document)
        check_labels(dataset_info.first_label, len(dataset_info.class_names))
    except ValueError as error:
        raise PetsegError(f"{path} is missing or damaged; {_REMEDY}.") from error
    for name in [dataset_info.directory, *dataset_info.files]:
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise PetsegError(f"{path} names {name}, which is outside its folder; {_REMEDY}.")
    return dataset_info


def verify_file(
    dataset_info: DatasetInfo, name: str, raw_dir: Path, shown_dir: Path | None = None
) -> None:
    """Compare a file with its sha256 in `dataset_info`.

    Raises PetsegError; its message shows `shown_dir` in place of `raw_dir` if given.
    """
    file = raw_dir / dataset_info.directory / name
    if not file.is_file() or sha256_of(file) != dataset_info.files.get(name):
        shown = shown_dir or raw_dir
        raise PetsegError(
            f"{shown / dataset_info.directory / name} is missing or differs from the sha256 in "
            f"{shown / DATASET_INFO_FILE}; {_REMEDY}."
        )


def raw_read_error(reason: str) -> PetsegError:
    """Return the error for a data set that can't be read although its checksums matched."""
    return PetsegError(f"data/raw can't be read completely ({reason}); {_REMEDY}.")


def open_split(
    raw_dir: Path, dataset_info: DatasetInfo, split: str
) -> tuple[tf.data.Dataset, tfds.core.DatasetInfo]:
    """Return the examples of a split in order, image and mask still encoded, and TFDS's info."""
    builder = tfds.builder_from_directory(raw_dir / dataset_info.directory)
    skip = tfds.decode.SkipDecoding()
    dataset = builder.as_dataset(
        split=split,
        decoders={"image": skip, "segmentation_mask": skip},
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )
    return dataset, builder.info


def count_examples(raw_dir: Path, dataset_info: DatasetInfo) -> dict[str, int]:
    """Return the number of examples of train, val (if the data set has it) and test."""
    splits = tfds.builder_from_directory(raw_dir / dataset_info.directory).info.splits
    return {
        split: splits[split].num_examples for split in ("train", "val", "test") if split in splits
    }
