"""Damaged data sets in data/raw, and bad images and masks."""

import re
import shutil

import pytest

import petseg.preprocessing.preprocess as module
from petseg.core.errors import PetsegError
from petseg.preprocessing import local
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.raw_records import parse_raw_example, read_records
from petseg.raw import read_dataset_info
from support.robustness import matches
from support.shards import DAMAGED_RAW, first_shard, with_bad_examples

SECTION = "Prepared data"
CASES = {
    "missing data set": "raw/dataset.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set without dataset.json": "raw/dataset.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "dataset.json edited": "raw/dataset.json was edited after it was written (sha256 differs); restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "dataset.json sealed, path outside the folder": "raw/dataset.json names ../../../x, which is outside its folder; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "dataset.json sealed, data set outside the folder": "raw/dataset.json names ../x, which is outside its folder; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "dataset.json sealed, labels that don't fit into a byte": "raw/dataset.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "dataset.json that is not a file": "raw/dataset.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set with a missing shard": "raw/synthetic_pets/1.0.0/… is missing or differs from the sha256 in raw/dataset.json; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set with a flipped bit": "raw/synthetic_pets/1.0.0/… is missing or differs from the sha256 in raw/dataset.json; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set truncated between records": "raw/synthetic_pets/1.0.0/… is missing or differs from the sha256 in raw/dataset.json; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set without its description": "raw/synthetic_pets/1.0.0/… is missing or differs from the sha256 in raw/dataset.json; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set with a truncated description": "raw/synthetic_pets/1.0.0/… is missing or differs from the sha256 in raw/dataset.json; restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
    "data set that fails while it is read": "data/raw can't be read completely (…); restore it with dvc checkout --force, or recreate it with dvc repro --force download.",
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED_RAW)
def test_a_damaged_data_set_is_rejected_before_it_is_used(tiny_params, tiny_raw, tmp_path, case):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    DAMAGED_RAW[case](raw)
    with pytest.raises(PetsegError) as caught:
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "tfrecords").exists()


@pytest.mark.parametrize(
    ("batch_size", "bad", "number", "message"),
    [
        (1, {3: "no image", 5: "unknown label"}, 3, "or its mask can't be decoded"),
        (8, {3: "no image", 5: "unknown label"}, 3, "or its mask can't be decoded"),
        (8, {8: "unknown label", 9: "no mask"}, 8, "contains the label 7"),
        (8, {9: "no mask", 11: "no image"}, 9, "or its mask can't be decoded"),
        (8, {15: "mask of another size", 16: "no mask"}, 15, "is 48x47 pixels, but its image is"),
        (8, {16: "no mask"}, 16, "or its mask can't be decoded"),
        (256, {8: "unknown label", 9: "no mask"}, 8, "contains the label 7"),
    ],
)
def test_the_first_of_several_broken_images_is_named(
    tiny_params, tiny_raw, tmp_path, monkeypatch, batch_size, bad, number, message
):
    monkeypatch.setattr(local, "fetch_batch_size", lambda image_size: batch_size)
    raw = with_bad_examples(tiny_raw, tmp_path / "raw", bad)
    records = [record for _, record in read_records(first_shard(raw))]
    name = re.escape(parse_raw_example(records[number]).file_name)
    with pytest.raises(PetsegError, match=rf"{name} .*{message}"):
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    assert not (tmp_path / "tfrecords").exists()


@pytest.mark.parametrize("damage", ["removed", "cut", "flipped"])
def test_a_data_set_that_breaks_while_it_is_read_is_an_error(
    tiny_params, tiny_raw, tmp_path, monkeypatch, damage
):
    raw = shutil.copytree(tiny_raw, tmp_path / "raw")
    data = first_shard(raw).read_bytes()
    verified = read_dataset_info(raw)
    if damage == "removed":
        first_shard(raw).unlink()
    elif damage == "cut":
        first_shard(raw).write_bytes(data[: int.from_bytes(data[:8], "little") + 16])
    else:
        first_shard(raw).write_bytes(data[:300] + bytes([data[300] ^ 1]) + data[301:])
    monkeypatch.setattr(module, "read_dataset_info", lambda raw: verified)
    with pytest.raises(PetsegError) as caught:
        preprocess(tiny_params.preprocess, 0, raw, tmp_path / "tfrecords")
    expected = CASES["data set that fails while it is read"]
    assert matches(expected, str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "tfrecords").exists()
