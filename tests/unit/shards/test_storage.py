"""Shards in remote storage and their local copies. The remote is a folder behind a file:// URL."""

import errno
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import tensorflow as tf
from fsspec.implementations.local import LocalFileSystem

import petseg.shards.storage as module
from petseg.batches import example_batches
from petseg.core.errors import PetsegError, explain
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import open_shards, read_manifest, write_manifest
from petseg.shards.storage import upload_shards
from support.s3_server import BUCKET, s3_server


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """The disk cache and the temporary folder of this test alone."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    module._temporary_folder.cache_clear()


@pytest.fixture
def storage(tmp_path):
    return f"file://{tmp_path}/bucket"


@pytest.fixture
def store(tiny_shards, tmp_path):
    """A function that moves a copy of the tiny data set's shards to a storage."""

    def store(storage):
        folder = tmp_path / "tfrecords"
        shutil.copytree(tiny_shards, folder, dirs_exist_ok=True)
        manifest = replace(read_manifest(folder), storage=storage)
        shards = [shard for split in manifest.splits.values() for shard in split.shards]
        upload_shards({folder / shard.file: shard.sha256 for shard in shards}, storage)
        write_manifest(manifest, folder)
        return folder, manifest

    return store


def run_preprocess(tiny_params, raw, folder, storage):
    params = tiny_params.preprocess.model_copy(update={"storage": storage})
    return preprocess(params, tiny_params.seed, raw, folder)


def contents(paths):
    files = [tf.io.gfile.GFile(path, "rb") for path in paths]
    return [file.read() for file in files]


def test_preprocess_moves_its_shards_to_the_storage(
    tiny_params, tiny_raw, tiny_shards, tmp_path, storage
):
    folder = tmp_path / "tfrecords"
    manifest = run_preprocess(tiny_params, tiny_raw, folder, storage)
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert replace(manifest, storage="none") == read_manifest(tiny_shards)
    assert len(list((tmp_path / "bucket").iterdir())) == 6


@pytest.mark.parametrize("cache", ["none", "disk", "memory"])
def test_remote_shards_have_the_same_bytes_as_local_ones(
    tiny_shards, tmp_path, storage, store, cache
):
    folder, manifest = store(storage)
    local_manifest = read_manifest(tiny_shards)
    for split in ("train", "val", "test"):
        remote = open_shards(folder, manifest, split, cache=cache)
        local = open_shards(tiny_shards, local_manifest, split, cache=cache)
        assert contents(remote.paths) == contents(local.paths)
        assert replace(remote, paths=()) == replace(local, paths=())
        assert all(path.startswith("ram://") for path in remote.paths) == (cache == "memory")
    sha256 = {shard.sha256 for split in manifest.splits.values() for shard in split.shards}
    cached = {path.stem for path in (tmp_path / ".cache" / "shards").glob("*")}
    assert cached == (sha256 if cache == "disk" else set())
    temporary = {path.stem for path in module._temporary_folder().iterdir()}
    assert temporary == (sha256 if cache == "none" else set())


def test_a_worker_fetches_only_its_own_shards(storage, store):
    folder, manifest = store(storage)
    shards = open_shards(folder, manifest, "train", rank=1, num_workers=2)
    assert [Path(path).stem for path in shards.paths] == [manifest.splits["train"].shards[1].sha256]
    assert len(list(module._temporary_folder().iterdir())) == 1


def test_shards_in_the_disk_cache_are_not_fetched_again(monkeypatch, storage, store):
    folder, manifest = store(storage)
    shards = open_shards(folder, manifest, "val", cache="disk")
    fetched = []
    monkeypatch.setattr(LocalFileSystem, "get_file", lambda self, *args: fetched.append(args))
    assert open_shards(folder, manifest, "val", cache="disk") == shards
    assert not fetched
    monkeypatch.undo()


def test_a_torn_copy_in_the_disk_cache_is_fetched_again(storage, store):
    folder, manifest = store(storage)
    shards = open_shards(folder, manifest, "val", cache="disk")
    expected = contents(shards.paths)
    Path(shards.paths[0]).write_bytes(expected[0][:100])
    assert contents(open_shards(folder, manifest, "val", cache="disk").paths) == expected


def test_a_shard_is_uploaded_once(tmp_path, storage, store):
    store(storage)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "bucket").iterdir()}
    assert len(times) == 6
    store(storage)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "bucket").iterdir()} == times


def test_a_remote_shard_that_is_damaged_or_missing_is_named(tmp_path, storage, store):
    folder, manifest = store(storage)
    path = tmp_path / "bucket" / f"{manifest.splits['train'].shards[1].sha256}.tfrecord"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(PetsegError, match=rf"The shard file://.*{path.name} differs from its sha2"):
        open_shards(folder, manifest, "train")
    path.unlink()
    with pytest.raises(PetsegError, match=rf"The shard file://.*{path.name} is missing; recreate"):
        open_shards(folder, manifest, "train")
    names = {file.name for file in module._temporary_folder().iterdir()}
    assert names == {f"{manifest.splits['train'].shards[0].sha256}.tfrecord"}


def test_a_torn_upload_is_repaired_by_the_next_run(tmp_path, storage, store):
    folder, manifest = store(storage)
    path = next((tmp_path / "bucket").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    store(storage)
    for split in ("train", "val", "test"):
        assert list(example_batches(open_shards(folder, manifest, split), 8))


def test_a_full_disk_is_not_reported_as_a_network_error(monkeypatch, tmp_path, storage, store):
    folder, manifest = store(storage)

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "get_file", fail)
    for cache in ("none", "disk"):
        with pytest.raises(OSError, match="No space left on device") as caught:
            open_shards(folder, manifest, "train", cache=cache)
        assert (
            explain(caught.value) == "The disk is full; free some space, then run dvc repro again."
        )
    assert not list(module._temporary_folder().iterdir())
    assert not list((tmp_path / ".cache" / "shards").iterdir())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://pets", r"gs://pets needs another package \(.*gcs.*\)"),
        ("nonsense://pets", r"nonsense://pets can't be reached \(Protocol not known: nonsense\)"),
        ("s3://nowhere/x", r"s3://nowhere/x can't be reached \(Could not connect to the endpoint"),
    ],
)
def test_a_storage_that_cannot_be_reached_is_an_error(
    monkeypatch, tiny_params, tiny_raw, tmp_path, url, message
):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(PetsegError, match=message):
        run_preprocess(tiny_params, tiny_raw, tmp_path / "tfrecords", url)
    assert not (tmp_path / "tfrecords").exists()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_shards_can_be_in_a_bucket(monkeypatch, tiny_shards, store):
    with s3_server() as environment:
        for key, value in environment.items():
            monkeypatch.setenv(key, value)
        folder, manifest = store(f"s3://{BUCKET}/shards")
        remote = open_shards(folder, manifest, "val")
        local = open_shards(tiny_shards, read_manifest(tiny_shards), "val")
        assert contents(remote.paths) == contents(local.paths)
        with pytest.raises(PetsegError, match=r"^s3://mistyped/shards"):
            store("s3://mistyped/shards")
