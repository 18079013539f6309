"""A prepared data set in data/raw: a TFDS data set and `source.json`, which says what its masks mean.

After the stage download no stage needs to know which source it was.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from petseg.errors import PetsegError

SOURCE_FILE = "source.json"


@dataclass(frozen=True)
class Source:
    """What a prepared data set says of itself beyond TFDS's own description."""

    name: str
    directory: str  # of the TFDS data set, relative to data/raw
    class_names: tuple[str, ...]
    first_label: int  # the mask value of class 0; the others follow


def write_source(source: Source, raw_dir: Path) -> None:
    (raw_dir / SOURCE_FILE).write_text(json.dumps(asdict(source), indent=2) + "\n", encoding="utf-8")


def read_source(raw_dir: Path) -> Source:
    """What `prepare_dataset` wrote about the data set in `raw_dir`."""
    try:
        fields = json.loads((raw_dir / SOURCE_FILE).read_text(encoding="utf-8"))
        return Source(**{**fields, "class_names": tuple(fields["class_names"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PetsegError(
            f"{raw_dir} holds no prepared data set; run the stage download (dvc repro download)."
        ) from error


def open_split(raw_dir: Path, split: str) -> tuple[tf.data.Dataset, tfds.core.DatasetInfo]:
    """Examples of one split in a fixed order, image and mask still encoded, and the TFDS description."""
    builder = tfds.builder_from_directory(raw_dir / read_source(raw_dir).directory)
    undecoded = {"image": tfds.decode.SkipDecoding(), "segmentation_mask": tfds.decode.SkipDecoding()}
    read_config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    return builder.as_dataset(split=split, decoders=undecoded, read_config=read_config), builder.info
