"""Raw data sets with damage and with bad examples, for preprocessing with and without Beam."""

import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from numpy.typing import NDArray

from petseg.config.data_params import DatasetParams
from petseg.core.sealed_json import sealed_json
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.raw_records import read_records
from petseg.raw import read_unverified_dataset_info, write_dataset_info


def first_shard(raw: Path) -> Path:
    return next(raw.rglob("*train.tfrecord*"))


def edit_dataset_info(raw: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the description of a data set and renew its checksum."""
    document = json.loads((raw / "dataset.json").read_text())
    document.pop("sha256")
    change(document)
    (raw / "dataset.json").write_text(sealed_json(document))


def flip_a_bit(raw: Path) -> None:
    data = bytearray(first_shard(raw).read_bytes())
    data[-1] ^= 1
    first_shard(raw).write_bytes(data)


def cut_after_a_record(raw: Path) -> None:
    data = first_shard(raw).read_bytes()
    first_shard(raw).write_bytes(data[: int.from_bytes(data[:8], "little") + 16])


def link_to_a_device(raw: Path) -> None:
    (raw / "dataset.json").unlink()
    (raw / "dataset.json").symlink_to("/dev/zero")


def prepare_in_three_files(params: DatasetParams, raw: Path) -> Path:
    """Prepare a data set with three files per split."""
    with pytest.MonkeyPatch.context() as patch:
        config = functools.partial(tfds.download.DownloadConfig, num_shards=3)
        patch.setattr(tfds.download, "DownloadConfig", config)
        prepare_dataset(params, raw, raw.parent)
    assert len(list(raw.rglob("*-train.tfrecord-*"))) == 3
    return raw


def rename_a_class(raw: Path) -> None:
    text = (raw / "dataset.json").read_text()
    (raw / "dataset.json").write_text(text.replace("pet", "dog"))


def sealed(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda raw: edit_dataset_info(raw, change)


def cut_the_features(raw: Path) -> None:
    next(raw.rglob("features.json")).write_text("{")


DAMAGED_RAW: dict[str, Callable[[Path], Any]] = {
    "missing data set": shutil.rmtree,
    "data set without dataset.json": lambda raw: (raw / "dataset.json").unlink(),
    "dataset.json edited": rename_a_class,
    "dataset.json sealed, path outside the folder": sealed(
        lambda d: d.update(files={"../../../x": "0"})
    ),
    "dataset.json sealed, data set outside the folder": sealed(
        lambda d: d.update(directory="../x", files={})
    ),
    "dataset.json sealed, labels that don't fit into a byte": sealed(
        lambda d: d.update(first_label=253)
    ),
    "dataset.json that is not a file": link_to_a_device,
    "data set with a missing shard": lambda raw: first_shard(raw).unlink(),
    "data set with a flipped bit": flip_a_bit,
    "data set truncated between records": cut_after_a_record,
    "data set without its description": lambda raw: next(raw.rglob("dataset_info.json")).unlink(),
    "data set with a truncated description": cut_the_features,
}  # fmt: skip


def png(array: NDArray[np.uint8]) -> bytes:
    return bytes(tf.io.encode_png(array[..., None]).numpy())


BAD_EXAMPLES = {
    "no image": ("image", b"x"),
    "no mask": ("segmentation_mask", b"x"),
    "unknown label": ("segmentation_mask", png(np.full((48, 48), 7, np.uint8))),
    "mask of another size": ("segmentation_mask", png(np.ones((47, 48), np.uint8))),
}


def with_bad_examples(raw: Path, target: Path, bad: Mapping[int, str]) -> Path:
    """Copy a data set and spoil some training images, given by number."""
    shutil.copytree(raw, target)
    number = 0
    for path in sorted(target.rglob("*-train.tfrecord-*")):
        records = [record for _, record in read_records(path)]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                example = tf.train.Example.FromString(record)
                if number in bad:
                    key, value = BAD_EXAMPLES[bad[number]]
                    example.features.feature[key].bytes_list.value[0] = value
                writer.write(example.SerializeToString(deterministic=True))
                number += 1
    write_dataset_info(dataclasses.replace(read_unverified_dataset_info(target), files={}), target)
    return target
