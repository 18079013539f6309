"""Shards and manifests that were damaged, lost, exchanged or edited."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.batches import example_batches, read_batches
from petseg.config.train_params import AugmentParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.sealed_json import sealed_json
from petseg.evaluation.evaluate import score_split
from petseg.model.saved import SavedModel
from petseg.model.unet import Architecture
from petseg.shards.example import Example, serialize
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.input_pipeline import training_batches
from support.project import NO_AUGMENTATION
from support.robustness import matches

SECTION = "Prepared data"
CASES = {
    "shard with a flipped bit": "The shard shards/val-00001-of-00002.tfrecord differs from its sha256 in the manifest; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "shard truncated inside a record": "The shard shards/val-00001-of-00002.tfrecord differs from its sha256 in the manifest; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "shard truncated between records": "The shard shards/val-00001-of-00002.tfrecord differs from its sha256 in the manifest; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "missing shard": "The shard shards/val-00001-of-00002.tfrecord is missing; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "extra shard": "shards/val-00002-of-00003.tfrecord is not in the manifest; delete it, or restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "shards swapped": "The shard shards/val-00000-of-00002.tfrecord differs from its sha256 in the manifest; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "empty shard": "The shard shards/val-00001-of-00002.tfrecord differs from its sha256 in the manifest; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "missing manifest": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "truncated manifest": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest that is not a JSON object": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest of another format": "shards/manifest.json has format 99, but this version of petseg reads 6; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest with an edited count": "shards/manifest.json was edited after it was written (sha256 differs); restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest with swapped classes": "shards/manifest.json was edited after it was written (sha256 differs); restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest with a path outside the folder": "shards/manifest.json was edited after it was written (sha256 differs); restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, a field gone": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, a split gone": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, no shards": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, text for a number": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, path to elsewhere": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, labels beyond a byte": "shards/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
    "manifest edited and sealed, wrong count": "Reading the shards failed (Input dataset was expected to contain 30 elements but contained only 16 elements); run dvc checkout --force, then dvc repro.",
    "a label out of range": "Reading the shards failed (a label is out of range); run dvc checkout --force, then dvc repro.",
    "pixels of another size": "Reading the shards failed (…); run dvc checkout --force, then dvc repro.",
    "what is no example": "Reading the shards failed (…); run dvc checkout --force, then dvc repro.",
    "an example without its fields": "Reading the shards failed (…); run dvc checkout --force, then dvc repro.",
    "a shard cut while it is read": "Reading the shards failed (Input dataset was expected to contain … elements but contained only … elements); run dvc checkout --force, then dvc repro.",
    "a shard removed while it is read": "Reading the shards failed (…No such file or directory); run dvc checkout --force, then dvc repro.",
}  # fmt: skip

SHARD = "val-00001-of-00002.tfrecord"
PLAIN = AugmentParams(**NO_AUGMENTATION)


def flip_a_bit(shards_dir):
    data = bytearray((shards_dir / SHARD).read_bytes())
    data[100] ^= 1
    (shards_dir / SHARD).write_bytes(data)


def cut(shards_dir, at_boundary):
    data = (shards_dir / SHARD).read_bytes()
    length = int.from_bytes(data[:8], "little") + 16
    (shards_dir / SHARD).write_bytes(data[: length + (0 if at_boundary else 5)])


def swap(shards_dir):
    other = shards_dir / SHARD.replace("00001-", "00000-")
    (shards_dir / SHARD).rename(shards_dir / "x")
    other.rename(shards_dir / SHARD)
    (shards_dir / "x").rename(other)


def edit(shards_dir, change, seal=False):
    """Change the manifest, with or without renewing its checksum."""
    path = shards_dir / "manifest.json"
    raw = json.loads(path.read_text())
    change(raw)
    if seal:
        raw.pop("sha256")
    path.write_text(sealed_json(raw) if seal else json.dumps(raw))


DAMAGED = {
    "shard with a flipped bit": flip_a_bit,
    "shard truncated inside a record": lambda d: cut(d, False),
    "shard truncated between records": lambda d: cut(d, True),
    "missing shard": lambda d: (d / SHARD).unlink(),
    "extra shard": lambda d: shutil.copy(d / SHARD, d / "val-00002-of-00003.tfrecord"),
    "shards swapped": swap,
    "empty shard": lambda d: (d / SHARD).write_bytes(b""),
    "missing manifest": lambda d: (d / "manifest.json").unlink(),
    "truncated manifest": lambda d: (d / "manifest.json").write_text((d / "manifest.json").read_text()[:99]),
    "manifest that is not a JSON object": lambda d: (d / "manifest.json").write_text("[1]"),
    "manifest of another format": lambda d: edit(d, lambda m: m.update(format=99)),
    "manifest with an edited count": lambda d: edit(d, lambda m: m["splits"]["val"].update(num_examples=3)),
    "manifest with swapped classes": lambda d: edit(d, lambda m: m.update(classes=dict(reversed(m["classes"].items())))),
    "manifest with a path outside the folder": lambda d: edit(d, lambda m: m["splits"]["val"]["shards"][0].update(file="../../x")),
    "manifest edited and sealed, a field gone": lambda d: edit(d, lambda m: m.pop("splits"), True),
    "manifest edited and sealed, a split gone": lambda d: edit(d, lambda m: m["splits"].pop("test"), True),
    "manifest edited and sealed, no shards": lambda d: edit(d, lambda m: m["splits"]["val"].update(shards=[]), True),
    "manifest edited and sealed, text for a number": lambda d: edit(d, lambda m: m["splits"]["val"].update(num_examples="many"), True),
    "manifest edited and sealed, path to elsewhere": lambda d: edit(d, lambda m: m["splits"]["val"]["shards"][0].update(file="../../x"), True),
    "manifest edited and sealed, labels beyond a byte": lambda d: edit(d, lambda m: m.update(first_label=254), True),
    "manifest edited and sealed, wrong count": lambda d: edit(d, lambda m: m["splits"]["val"].update(num_examples=30), True),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_shards_are_rejected_before_they_are_used(tiny_shards, tmp_path, case):
    shards_dir = shutil.copytree(tiny_shards, tmp_path / "shards")
    DAMAGED[case](shards_dir)
    with pytest.raises(PetsegError) as caught:
        read_val(shards_dir)
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def read_val(shards_dir):
    shards = open_shards(shards_dir, read_manifest(shards_dir), "val")
    return list(read_batches(example_batches(shards, 4)))


def with_one_shard(shards_dir, examples):
    """Replace the split val by these serialized examples and seal the manifest again."""
    with tf.io.TFRecordWriter(str(shards_dir / SHARD)) as writer:
        for example in examples:
            writer.write(example)

    def change(manifest):
        entry = {
            "file": SHARD,
            "num_examples": len(examples),
            "sha256": sha256_of(shards_dir / SHARD),
        }
        manifest["splits"]["val"].update(num_examples=len(examples), shards=[entry])

    (shards_dir / SHARD.replace("00001-", "00000-")).unlink()
    edit(shards_dir, change, seal=True)
    return open_shards(shards_dir, read_manifest(shards_dir), "val")


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
def test_sealed_shards_with_invalid_contents_are_rejected(tiny_shards, tmp_path, case):
    shards = with_one_shard(shutil.copytree(tiny_shards, tmp_path / "shards"), [CONTENTS[case]])
    for batches in (example_batches(shards, 1), training_batches(shards, 1, 1, PLAIN, 0, 1)):
        with pytest.raises(PetsegError) as caught:
            list(read_batches(batches))
        assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def test_a_shard_truncated_while_it_is_read_is_an_error(tiny_shards, tmp_path):
    shards_dir = shutil.copytree(tiny_shards, tmp_path / "shards")
    shards = open_shards(shards_dir, read_manifest(shards_dir), "val")
    cut(shards_dir, at_boundary=True)
    with pytest.raises(PetsegError) as caught:
        list(read_batches(example_batches(shards, 4)))
    assert matches(CASES["a shard cut while it is read"], str(caught.value), tmp_path)


def test_a_shard_removed_while_it_is_read_is_an_error(tiny_shards, tmp_path):
    shards_dir = shutil.copytree(tiny_shards, tmp_path / "shards")
    shards = open_shards(shards_dir, read_manifest(shards_dir), "val")
    (shards_dir / SHARD).unlink()
    with pytest.raises(PetsegError) as caught:
        list(read_batches(example_batches(shards, 4)))
    assert matches(CASES["a shard removed while it is read"], str(caught.value), tmp_path)


def test_evaluation_rejects_a_damaged_shard(tiny_params, tiny_shards, tmp_path):
    shards_dir = shutil.copytree(tiny_shards, tmp_path / "shards")
    flip_a_bit(shards_dir)
    manifest = read_manifest(shards_dir)
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    saved = SavedModel(keras.Sequential(), architecture, manifest.classes, manifest.image_size)
    with pytest.raises(PetsegError, match="sha256"):
        score_split(tiny_params.evaluate, saved, shards_dir, manifest, "val")
