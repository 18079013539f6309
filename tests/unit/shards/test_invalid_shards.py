"""Shards and manifests that were damaged, lost, exchanged or edited. docs/robustness.md says what is promised."""

import dataclasses
import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_augment import NONE

import petseg.preprocessing.preprocess as module
from petseg.batches import example_batches, read_batches
from petseg.config.params import AugmentParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.sealed_json import sealed_json
from petseg.evaluation.evaluate import score_split
from petseg.model.saved import SavedModel
from petseg.model.unet import Architecture
from petseg.preprocessing.beam.raw_records import parse, read_all
from petseg.preprocessing.preprocess import preprocess
from petseg.raw import read_dataset_info, read_unverified_dataset_info, write_dataset_info
from petseg.shards.example import Example, serialize
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.input_pipeline import training_batches
from support.documented import keeps, promises

SHARD = "val-00001-of-00002.tfrecord"
PLAIN = AugmentParams(**NONE)


def flip_a_bit(records):
    data = bytearray((records / SHARD).read_bytes())
    data[100] ^= 1
    (records / SHARD).write_bytes(data)


def cut(records, at_boundary):
    data = (records / SHARD).read_bytes()
    length = int.from_bytes(data[:8], "little") + 16
    (records / SHARD).write_bytes(data[: length + (0 if at_boundary else 5)])


def swap(records):
    other = records / SHARD.replace("00001-", "00000-")
    (records / SHARD).rename(records / "x")
    other.rename(records / SHARD)
    (records / "x").rename(other)


def edit(records, change, seal=False):
    """Change the manifest, by hand or like somebody who also makes its checksum anew."""
    path = records / "manifest.json"
    raw = json.loads(path.read_text())
    change(raw)
    if seal:
        raw.pop("sha256")
    path.write_text(sealed_json(raw) if seal else json.dumps(raw))


DAMAGED = {
    "shard with a flipped bit": flip_a_bit,
    "shard cut inside a record": lambda r: cut(r, False),
    "shard cut between records": lambda r: cut(r, True),
    "shard missing": lambda r: (r / SHARD).unlink(),
    "shard too many": lambda r: shutil.copy(r / SHARD, r / "val-00002-of-00003.tfrecord"),
    "shards swapped": swap,
    "shard empty": lambda r: (r / SHARD).write_bytes(b""),
    "manifest missing": lambda r: (r / "manifest.json").unlink(),
    "manifest cut": lambda r: (r / "manifest.json").write_text((r / "manifest.json").read_text()[:99]),
    "manifest is no JSON object": lambda r: (r / "manifest.json").write_text("[1]"),
    "manifest of another format": lambda r: edit(r, lambda m: m.update(format=99)),
    "manifest with an edited count": lambda r: edit(r, lambda m: m["splits"]["val"].update(examples=3)),
    "manifest with its classes exchanged": lambda r: edit(r, lambda m: m.update(classes=dict(reversed(m["classes"].items())))),
    "manifest with a path to elsewhere": lambda r: edit(r, lambda m: m["splits"]["val"]["shards"][0].update(file="../../x")),
    "manifest edited and sealed, a field gone": lambda r: edit(r, lambda m: m.pop("splits"), True),
    "manifest edited and sealed, a split gone": lambda r: edit(r, lambda m: m["splits"].pop("test"), True),
    "manifest edited and sealed, no shards": lambda r: edit(r, lambda m: m["splits"]["val"].update(shards=[]), True),
    "manifest edited and sealed, text for a number": lambda r: edit(r, lambda m: m["splits"]["val"].update(examples="many"), True),
    "manifest edited and sealed, path to elsewhere": lambda r: edit(r, lambda m: m["splits"]["val"]["shards"][0].update(file="../../x"), True),
    "manifest edited and sealed, labels beyond a byte": lambda r: edit(r, lambda m: m.update(first_label=254), True),
    "manifest edited and sealed, wrong count": lambda r: edit(r, lambda m: m["splits"]["val"].update(examples=30), True),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_records_are_told_before_they_are_used(tiny_shards, tmp_path, case):
    records = shutil.copytree(tiny_shards, tmp_path / "records")
    DAMAGED[case](records)
    with pytest.raises(PetsegError) as caught:
        read_val(records)
    assert keeps(promises()[case], str(caught.value), tmp_path), str(caught.value)


def read_val(records):
    shards = open_shards(records, read_manifest(records), "val")
    return list(read_batches(example_batches(shards, 4)))


def with_one_shard(records, data):
    """A copy of the records whose split val is these serialized examples, the manifest sealed anew."""
    with tf.io.TFRecordWriter(str(records / SHARD)) as writer:
        for item in data:
            writer.write(item)

    def change(manifest):
        entry = {"file": SHARD, "examples": len(data), "sha256": sha256_of(records / SHARD)}
        manifest["splits"]["val"].update(examples=len(data), shards=[entry])

    (records / SHARD.replace("00001-", "00000-")).unlink()
    edit(records, change, seal=True)
    return open_shards(records, read_manifest(records), "val")


def example_of(mask_label, size=32):
    image, mask = np.zeros((size, size, 3), np.uint8), np.full((size, size), mask_label, np.uint8)
    return serialize(Example(0, "a.png", "pug", "dog", size, size, image, mask))


CONTENTS = {
    "a label out of range": example_of(3),
    "pixels of another size": example_of(0, 64),
    "what is no example": b"not a protobuf",
    "an example without its fields": tf.train.Example().SerializeToString(),
}


@pytest.mark.parametrize("case", CONTENTS)
def test_sealed_shards_with_wrong_contents_end_with_a_sentence(tiny_shards, tmp_path, case):
    shards = with_one_shard(shutil.copytree(tiny_shards, tmp_path / "records"), [CONTENTS[case]])
    for batches in (example_batches(shards, 1), training_batches(shards, 1, 1, PLAIN, 0, 1)):
        with pytest.raises(PetsegError) as caught:
            list(read_batches(batches))
        assert keeps(promises()[case], str(caught.value), tmp_path), str(caught.value)


def test_a_shard_cut_while_it_is_read_is_an_error(tiny_shards, tmp_path):
    records = shutil.copytree(tiny_shards, tmp_path / "records")
    shards = open_shards(records, read_manifest(records), "val")
    cut(records, at_boundary=True)
    with pytest.raises(
        PetsegError, match=r"was expected to contain \d+ elements but contained only \d+"
    ):
        list(read_batches(example_batches(shards, 4)))


def test_a_shard_removed_while_it_is_read_is_an_error(tiny_shards, tmp_path):
    records = shutil.copytree(tiny_shards, tmp_path / "records")
    shards = open_shards(records, read_manifest(records), "val")
    (records / SHARD).unlink()
    with pytest.raises(PetsegError, match=r"can't be read any further .*No such file or directory"):
        list(read_batches(example_batches(shards, 4)))


def first_shard(raw):
    return next(raw.rglob("*train.tfrecord*"))


def edit_dataset_info(raw, change):
    document = json.loads((raw / "dataset.json").read_text())
    document.pop("sha256")
    change(document)
    (raw / "dataset.json").write_text(sealed_json(document))


RAW = {
    "data set missing": shutil.rmtree,
    "data set without dataset.json": lambda raw: (raw / "dataset.json").unlink(),
    "dataset.json edited": lambda raw: (raw / "dataset.json").write_text((raw / "dataset.json").read_text().replace("pet", "dog")),
    "dataset.json sealed, path to elsewhere": lambda raw: edit_dataset_info(raw, lambda d: d.update(files={"../../../x": "0"})),
    "dataset.json sealed, data set elsewhere": lambda raw: edit_dataset_info(raw, lambda d: d.update(directory="../x", files={})),
    "dataset.json sealed, labels that no byte holds": lambda raw: edit_dataset_info(raw, lambda d: d.update(first_label=253)),
    "dataset.json that is no file": lambda raw: ((raw / "dataset.json").unlink(), (raw / "dataset.json").symlink_to("/dev/zero")),
    "data set with a shard missing": lambda raw: first_shard(raw).unlink(),
    "data set with a flipped bit": lambda raw: first_shard(raw).write_bytes(first_shard(raw).read_bytes()[:-1] + b"x"),
    "data set cut between records": lambda raw: first_shard(raw).write_bytes(first_shard(raw).read_bytes()[: int.from_bytes(first_shard(raw).read_bytes()[:8], "little") + 16]),
    "data set without its description": lambda raw: next(raw.rglob("dataset_info.json")).unlink(),
    "data set with a description that is cut": lambda raw: next(raw.rglob("features.json")).write_text("{"),
}  # fmt: skip


@pytest.mark.parametrize("case", RAW)
def test_a_damaged_data_set_is_told_before_it_is_used(tiny_params, tiny_raw, tmp_path, case):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    RAW[case](raw)
    with pytest.raises(PetsegError) as caught:
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    assert keeps(promises()[case], str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "tfrecords").exists()


def png(array):
    return tf.io.encode_png(array[..., None]).numpy()


MISTAKES = {
    "no picture": ("image", b"x"),
    "no mask": ("segmentation_mask", b"x"),
    "unknown label": ("segmentation_mask", png(np.full((48, 48), 7, np.uint8))),
    "mask of another size": ("segmentation_mask", png(np.ones((47, 48), np.uint8))),
}


def with_mistakes(raw, target, mistakes):
    """A copy of a data set, in which so many-th pictures of train have mistakes."""
    shutil.copytree(raw, target)
    number = 0
    for path in sorted(target.rglob("*-train.tfrecord-*")):
        records = [record for _, record in read_all(path)]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for record in records:
                example = tf.train.Example.FromString(record)
                if number in mistakes:
                    key, value = MISTAKES[mistakes[number]]
                    example.features.feature[key].bytes_list.value[0] = value
                writer.write(example.SerializeToString(deterministic=True))
                number += 1
    write_dataset_info(dataclasses.replace(read_unverified_dataset_info(target), files={}), target)
    return target


@pytest.mark.parametrize(
    ("mistakes", "number", "told"),
    [
        ({3: "no picture", 5: "unknown label"}, 3, "or its mask can't be decoded"),
        ({8: "unknown label", 9: "no mask"}, 8, "holds the label 7"),
        ({9: "no mask", 11: "no picture"}, 9, "or its mask can't be decoded"),
        ({15: "mask of another size", 16: "no mask"}, 15, "has another size"),
        ({16: "no mask"}, 16, "or its mask can't be decoded"),
    ],
)
@pytest.mark.parametrize("at_a_time", [1, 8, 256])
def test_of_several_broken_pictures_the_first_is_told(
    tiny_params, tiny_raw, tmp_path, monkeypatch, mistakes, number, told, at_a_time
):
    monkeypatch.setattr(module, "fetch_size", lambda image_size: at_a_time)
    raw = with_mistakes(tiny_raw, tmp_path / "raw", mistakes)
    name = parse([record for _, record in read_all(first_shard(raw))][number]).file_name
    with pytest.raises(PetsegError, match=rf"{re.escape(name)} .*{told}"):
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    assert not (tmp_path / "tfrecords").exists()


@pytest.mark.parametrize("damage", ["removed", "cut", "flipped"])
def test_a_data_set_that_breaks_while_it_is_read_is_an_error(
    tiny_params, tiny_raw, tmp_path, monkeypatch, damage
):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    data = first_shard(raw).read_bytes()
    checked = read_dataset_info(raw)
    if damage == "removed":
        first_shard(raw).unlink()
    elif damage == "cut":
        first_shard(raw).write_bytes(data[: int.from_bytes(data[:8], "little") + 16])
    else:
        first_shard(raw).write_bytes(data[:300] + bytes([data[300] ^ 1]) + data[301:])
    monkeypatch.setattr(module, "read_dataset_info", lambda raw: checked)
    with pytest.raises(
        PetsegError,
        match=r"data/raw can't be read to the end \(.*\); restore it with dvc checkout",
    ):
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    assert not (tmp_path / "tfrecords").exists()


CASES = [
    *RAW,
    "data set that breaks while it is read",
    *DAMAGED,
    *CONTENTS,
    "a shard cut while it is read",
    "a shard removed while it is read",
]


def test_evaluation_reads_no_damaged_shard(tiny_params, tiny_shards, tmp_path):
    records = shutil.copytree(tiny_shards, tmp_path / "records")
    flip_a_bit(records)
    manifest = read_manifest(records)
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    saved = SavedModel(keras.Sequential(), architecture, manifest.classes, manifest.image_size)
    with pytest.raises(PetsegError, match="sha256"):
        score_split(tiny_params.evaluate, saved, records, manifest, "val")
