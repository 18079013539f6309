"""Shards and manifests that were damaged, lost, exchanged or edited. docs/robustness.md says what is promised."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

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
from petseg.raw import read_dataset_info
from petseg.shards.example import Example, serialize
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.input_pipeline import training_batches
from support.project import NO_AUGMENTATION
from support.robustness import matches
from support.shards import DAMAGED_RAW, first_shard, with_mistakes

SECTION = "Prepared data"
CASES = {
    "data set missing": "raw/dataset.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "data set without dataset.json": "raw/dataset.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "dataset.json edited": "raw/dataset.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "dataset.json sealed, path to elsewhere": "raw/dataset.json names ../../../x, which is elsewhere; bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "dataset.json sealed, data set elsewhere": "raw/dataset.json names ../x, which is elsewhere; bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "dataset.json sealed, labels that no byte holds": "raw/dataset.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "dataset.json that is no file": "raw/dataset.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "data set with a shard missing": "raw/synthetic_pets/1.0.0/… is missing or not the one that raw/dataset.json names (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "data set with a flipped bit": "raw/synthetic_pets/1.0.0/… is missing or not the one that raw/dataset.json names (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "data set cut between records": "raw/synthetic_pets/1.0.0/… is missing or not the one that raw/dataset.json names (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "data set without its description": "raw/synthetic_pets/1.0.0/… is missing or not the one that raw/dataset.json names (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "data set with a description that is cut": "raw/synthetic_pets/1.0.0/… is missing or not the one that raw/dataset.json names (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "shard with a flipped bit": "The shard records/val-00001-of-00002.tfrecord is not the one in the manifest (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "shard cut inside a record": "The shard records/val-00001-of-00002.tfrecord is not the one in the manifest (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "shard cut between records": "The shard records/val-00001-of-00002.tfrecord is not the one in the manifest (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "shard missing": "The shard records/val-00001-of-00002.tfrecord is missing; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "shard too many": "records/val-00002-of-00003.tfrecord is not in the manifest; take it away, or bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "shards swapped": "The shard records/val-00000-of-00002.tfrecord is not the one in the manifest (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "shard empty": "The shard records/val-00001-of-00002.tfrecord is not the one in the manifest (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest missing": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest cut": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest is no JSON object": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest of another format": "records/manifest.json is of format 99, this petseg reads 4; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest with an edited count": "records/manifest.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest with its classes exchanged": "records/manifest.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest with a path to elsewhere": "records/manifest.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, a field gone": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, a split gone": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, no shards": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, text for a number": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, path to elsewhere": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, labels beyond a byte": "records/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
    "manifest edited and sealed, wrong count": "The shards can't be read any further (Input dataset was expected to contain 30 elements but contained only 16 elements); run dvc checkout --force, then dvc repro.",
    "a label out of range": "The shards can't be read any further (a label is out of range); run dvc checkout --force, then dvc repro.",
    "pixels of another size": "The shards can't be read any further (…); run dvc checkout --force, then dvc repro.",
    "what is no example": "The shards can't be read any further (…); run dvc checkout --force, then dvc repro.",
    "an example without its fields": "The shards can't be read any further (…); run dvc checkout --force, then dvc repro.",
    "data set that breaks while it is read": "data/raw can't be read any further (…); bring it back with dvc checkout --force, or make it anew with dvc repro --force download.",
    "a shard cut while it is read": "The shards can't be read any further (Input dataset was expected to contain ... elements but contained only ...); run dvc checkout --force, then dvc repro.",
    "a shard removed while it is read": "The shards can't be read any further (...; No such file or directory); run dvc checkout --force, then dvc repro.",
}  # fmt: skip

SHARD = "val-00001-of-00002.tfrecord"
PLAIN = AugmentParams(**NO_AUGMENTATION)


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
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


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
        assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


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


@pytest.mark.parametrize("case", DAMAGED_RAW)
def test_a_damaged_data_set_is_told_before_it_is_used(tiny_params, tiny_raw, tmp_path, case):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    DAMAGED_RAW[case](raw)
    with pytest.raises(PetsegError) as caught:
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "tfrecords").exists()


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


def test_evaluation_reads_no_damaged_shard(tiny_params, tiny_shards, tmp_path):
    records = shutil.copytree(tiny_shards, tmp_path / "records")
    flip_a_bit(records)
    manifest = read_manifest(records)
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    saved = SavedModel(keras.Sequential(), architecture, manifest.classes, manifest.image_size)
    with pytest.raises(PetsegError, match="sha256"):
        score_split(tiny_params.evaluate, saved, records, manifest, "val")
