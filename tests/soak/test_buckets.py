"""Images and shards in a bucket of an S3 server on this machine."""

from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

import petseg.shards.storage as module
from petseg.batches import example_batches, read_batches
from petseg.core.errors import PetsegError
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training.input_pipeline import training_batches, validation_batches
from support.datasets import draw_masks_folder, folder_params
from support.s3_server import BUCKET, s3_server


@pytest.fixture(scope="module")
def bucket():
    with pytest.MonkeyPatch.context() as patch, s3_server() as environment:
        for key, value in environment.items():
            patch.setenv(key, value)
        yield f"s3://{BUCKET}"


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def all_bytes(shards, tiny_params):
    """Every byte that training and evaluation read from the shards."""
    augment = tiny_params.train.augment
    for batches in (
        training_batches(shards, 4, 16, augment, 0, 1),
        validation_batches(shards, 4),
    ):
        for batch in read_batches(batches):
            yield from (part.numpy().tobytes() for part in batch)
    for fields in read_batches(example_batches(shards, 4)):
        yield from (fields[key].numpy().tobytes() for key in ("image", "mask", "index"))


@pytest.mark.parametrize("cache", ["none", "disk", "memory"])
def test_batches_from_a_bucket_are_those_from_local_shards(
    tiny_params, tiny_raw, tiny_shards, tmp_path, monkeypatch, bucket, cache
):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    module._temporary_folder.cache_clear()
    settings = tiny_params.preprocess.model_copy(update={"storage": f"{bucket}/shards"})
    manifest = preprocess(settings, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    local_manifest = read_manifest(tiny_shards)
    assert replace(manifest, storage="none") == local_manifest
    for split in ("train", "val", "test"):
        local = open_shards(tiny_shards, local_manifest, split)
        remote = open_shards(tmp_path / "tfrecords", manifest, split, cache=cache)
        assert list(all_bytes(remote, tiny_params)) == list(all_bytes(local, tiny_params))


def test_a_folder_of_images_can_be_in_a_bucket(default_params, tmp_path, bucket):
    local = draw_masks_folder(tmp_path / "mine")
    url = f"{bucket}/images"
    system, root = fsspec.url_to_fs(url)
    system.put(f"{local}/", f"{root}/", recursive=True)
    classes = {"dataset.folder.classes": ["a", "b"]}
    for path, raw in ((local, "local"), (url, "remote")):
        prepare_dataset(folder_params(default_params, path, **classes), tmp_path / raw, tmp_path)
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")
    system.rm(f"{root}/masks/pug/2.png")
    for path in (url, f"{bucket}/missing"):
        with pytest.raises(PetsegError, match=rf"^{path}"):
            prepare_dataset(folder_params(default_params, path), tmp_path / "raw", tmp_path)
    assert not Path(tmp_path / "raw").exists()
