"""A prepared data set in data/raw: a TFDS data set and `source.json`, which says what its masks mean.

After the stage download no stage needs to know which source it was. `source.json` also names every file with its
sha256, so that a lost or damaged one is noticed before it is used.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath

import tensorflow as tf
import tensorflow_datasets as tfds
from pydantic import TypeAdapter

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.labels import check_labels
from petseg.core.parallel import parallel_map
from petseg.core.sealed_json import read_sealed_json, sealed_json

DATASET_INFO_FILE = "source.json"
_FORMAT = 2
_REMEDY = "bring it back with dvc checkout --force, or make it anew with dvc repro --force download"


@dataclass(frozen=True)
class DatasetInfo:
    """What a prepared data set says of itself beyond TFDS's own description."""

    name: str
    directory: str  # of the TFDS data set, relative to data/raw
    class_names: tuple[str, ...]
    first_label: int  # the mask value of class 0; the others follow
    files: dict[str, str] = field(default_factory=dict)  # sha256 by path in `directory`
    format: int = _FORMAT


def write_dataset_info(source: DatasetInfo, raw_dir: Path) -> None:
    """Write `source.json` for the data set in `raw_dir`, with the sha256 of each of its files."""
    directory = raw_dir / source.directory
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    names = [path.relative_to(directory).as_posix() for path in paths]
    files = dict(zip(names, parallel_map(sha256_of, paths), strict=True))
    atomic_write(raw_dir / DATASET_INFO_FILE, sealed_json({**asdict(source), "files": files}))


def read_dataset_info(raw_dir: Path) -> DatasetInfo:
    """What `write_dataset_info` wrote, every file compared with its checksum. Raises PetsegError."""
    source = read_description(raw_dir)
    parallel_map(lambda name: check_file(source, name, raw_dir), source.files)
    return source


def read_description(raw_dir: Path) -> DatasetInfo:
    """What `write_dataset_info` wrote; the data set's files are left to the caller. Raises PetsegError."""
    path = raw_dir / DATASET_INFO_FILE
    raw = read_sealed_json(path, _FORMAT, _REMEDY)
    try:
        source = TypeAdapter(DatasetInfo).validate_python(raw)
        check_labels(source.first_label, len(source.class_names))
    except ValueError as error:
        raise PetsegError(f"{path} is missing or damaged; {_REMEDY}.") from error
    for name in [source.directory, *source.files]:
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise PetsegError(f"{path} names {name}, which is elsewhere; {_REMEDY}.")
    return source


def check_file(source: DatasetInfo, name: str, raw_dir: Path, told_as: Path | None = None) -> None:
    """Compare a file with its sha256 in `source`. Raises PetsegError, with the folder's name as in `told_as`."""
    file = raw_dir / source.directory / name
    if not file.is_file() or sha256_of(file) != source.files.get(name):
        named = told_as or raw_dir
        raise PetsegError(
            f"{named / source.directory / name} is missing or not the one that {named / DATASET_INFO_FILE} names "
            f"(sha256 differs); {_REMEDY}."
        )


def unreadable(reason: str) -> PetsegError:
    """For a data set that breaks while it is read, after its checksums were right."""
    return PetsegError(f"data/raw can't be read any further ({reason}); {_REMEDY}.")


def open_split(
    raw_dir: Path, source: DatasetInfo, split: str
) -> tuple[tf.data.Dataset, tfds.core.DatasetInfo]:
    """Examples of one split in a fixed order, image and mask still encoded, and the TFDS description."""
    builder = tfds.builder_from_directory(raw_dir / source.directory)
    undecoded = {
        "image": tfds.decode.SkipDecoding(),
        "segmentation_mask": tfds.decode.SkipDecoding(),
    }
    read_config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    return builder.as_dataset(
        split=split, decoders=undecoded, read_config=read_config
    ), builder.info
