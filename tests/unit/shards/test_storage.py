"""Shards in a storage, here a folder behind a URL and a bucket of an S3 server, and where training keeps them."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import pytest
import tensorflow as tf
from fsspec.implementations.local import LocalFileSystem

import petseg.shards.storage as module
from petseg.batches import example_batches, read_batches
from petseg.config.params import AugmentParams
from petseg.core.errors import PetsegError, explain
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.writer import shards_for
from petseg.shards.manifest import open_shards, read_manifest
from petseg.shards.storage import hold, is_stored
from petseg.training.input_pipeline import training_batches, validation_batches
from support.datasets import draw_masks_folder, folder_params
from support.s3_server import BUCKET, s3_server


@pytest.fixture(autouse=True)
def nothing_of_other_tests():
    module._temporary.cache_clear()
    yield
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def bucket():
    with pytest.MonkeyPatch.context() as patch, s3_server() as environment:
        for key, value in environment.items():
            patch.setenv(key, value)
        yield f"s3://{BUCKET}/shards"


@pytest.fixture(params=["file", "s3"])
def storage(request, tmp_path):
    return (
        f"file://{tmp_path}/bucket"
        if request.param == "file"
        else request.getfixturevalue("bucket")
    )


def stored_records(tiny_params, tiny_raw, folder, storage):
    params = tiny_params.preprocess.model_copy(update={"storage": storage})
    preprocess(params, tiny_params.seed, tiny_raw, folder)
    return folder, read_manifest(folder)


def bytes_of(batches):
    flat = (tf.nest.flatten(batch) for batch in read_batches(batches))
    return [part.numpy().tobytes() for parts in flat for part in parts]


def all_batches(shards, tiny_params):
    """What training reads of shards."""
    augment = AugmentParams(**tiny_params.train.augment.model_dump())
    return bytes_of(training_batches(shards, 4, 16, augment, 0, 1)) + bytes_of(
        validation_batches(shards, 4)
    )


def test_stored_shards_are_read_as_local_ones_are_wherever_they_are_kept(
    tiny_params, tiny_raw, tiny_shards, tmp_path, storage
):
    folder, manifest = stored_records(tiny_params, tiny_raw, tmp_path / "tfrecords", storage)
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    local = read_manifest(tiny_shards)
    assert replace(manifest, storage="none") == local
    for split in ("train", "val"):
        near, far = (
            open_shards(*pair, split) for pair in ((tiny_shards, local), (folder, manifest))
        )
        assert all(map(is_stored, far.paths))
        expected = all_batches(near, tiny_params)
        assert all_batches(far, tiny_params) == expected
        assert list(module._temporary().iterdir()) == []
        for where in ("none", "memory", "disk"):
            for shards in (near, far):
                held = replace(shards, paths=hold(shards.paths, where, tmp_path / "kept"))
                assert all_batches(held, tiny_params) == expected, (where, shards)
    names = {shard.sha256 for split in ("train", "val") for shard in manifest.splits[split].shards}
    assert {path.stem for path in (tmp_path / "kept").iterdir()} == names
    assert len(list(read_batches(example_batches(open_shards(folder, manifest, "test"), 3)))) == 3


def test_what_is_kept_on_the_disk_is_not_fetched_again(tiny_params, tiny_raw, tmp_path):
    folder, manifest = stored_records(
        tiny_params, tiny_raw, tmp_path / "tfrecords", f"file://{tmp_path}/bucket"
    )
    shards = open_shards(folder, manifest, "val")
    held = hold(shards.paths, "disk", tmp_path / "kept")
    for path in (tmp_path / "bucket").iterdir():
        path.unlink()
    assert hold(shards.paths, "disk", tmp_path / "kept") == held
    Path(held[0]).write_bytes(b"torn")
    with pytest.raises(PetsegError, match="is not there"):
        hold(shards.paths, "disk", tmp_path / "kept")


def test_the_same_shards_are_stored_once_and_others_beside_them(tiny_params, tiny_raw, tmp_path):
    storage = f"file://{tmp_path}/bucket"
    stored_records(tiny_params, tiny_raw, tmp_path / "one", storage)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "bucket").iterdir()}
    assert len(times) == 6
    stored_records(tiny_params, tiny_raw, tmp_path / "again", storage)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "bucket").iterdir()} == times
    other = tiny_params.model_copy(update={"seed": 5})
    stored_records(other, tiny_raw, tmp_path / "other", storage)
    assert len(list((tmp_path / "bucket").iterdir())) > 6


def test_a_stored_shard_that_is_damaged_or_missing_is_named(tiny_params, tiny_raw, tmp_path):
    folder, manifest = stored_records(
        tiny_params, tiny_raw, tmp_path / "tfrecords", f"file://{tmp_path}/bucket"
    )
    shards = open_shards(folder, manifest, "train")
    path = tmp_path / "bucket" / Path(shards.paths[1]).name
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(
        PetsegError, match=rf"The shard file://.*{path.name} is not the one in the manifest"
    ):
        bytes_of(validation_batches(shards, 4))
    path.unlink()
    with pytest.raises(PetsegError, match=rf"{path.name} is not there"):
        bytes_of(validation_batches(shards, 4))
    with pytest.raises(PetsegError, match=rf"The shard file://.*{path.name} is missing"):
        open_shards(folder, manifest, "train")


def test_an_unreachable_storage_is_told(tiny_params, tiny_raw, tmp_path, monkeypatch):
    for key, value in {
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(key, value)
    with pytest.raises(
        PetsegError,
        match=r"s3://nowhere/x can't be reached \(Could not connect to the endpoint URL",
    ):
        stored_records(tiny_params, tiny_raw, tmp_path / "tfrecords", "s3://nowhere/x")
    assert not (tmp_path / "tfrecords").exists()


def test_few_shards_of_a_large_set_lie_on_the_disk_at_a_time(tiny_params, tiny_raw, tmp_path):
    params = tiny_params.preprocess.model_copy(
        update={"shards": 64, "storage": f"file://{tmp_path}/bucket"}
    )
    preprocess(params, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    shards = open_shards(tmp_path / "tfrecords", read_manifest(tmp_path / "tfrecords"), "train")
    augment = tiny_params.train.augment
    for batches in (validation_batches(shards, 4), training_batches(shards, 4, 16, augment, 0, 1)):
        fetched = []
        for _ in read_batches(batches):
            fetched.append(len(list(module._temporary().iterdir())))
        assert (
            1 <= max(fetched) <= 16 + 4
        )  # a lane may open its next shard before the last one is gone
        assert list(module._temporary().iterdir()) == []


def test_a_torn_upload_is_made_good_and_a_mistyped_bucket_stays_unmade(
    tiny_params, tiny_raw, tmp_path, bucket
):
    folder, manifest = stored_records(
        tiny_params, tiny_raw, tmp_path / "tfrecords", f"file://{tmp_path}/bucket"
    )
    path = next((tmp_path / "bucket").iterdir())
    path.write_bytes(path.read_bytes()[:100])
    stored_records(tiny_params, tiny_raw, tmp_path / "again", f"file://{tmp_path}/bucket")
    for split in ("train", "val", "test"):
        assert bytes_of(example_batches(open_shards(folder, manifest, split), 8))
    with pytest.raises(PetsegError, match=r"s3://mistyped/shards.* does not exist; check the URL"):
        stored_records(tiny_params, tiny_raw, tmp_path / "mistyped", "s3://mistyped/shards")


def test_a_full_disk_is_not_told_as_a_network_s_fault(tiny_params, tiny_raw, tmp_path, monkeypatch):
    folder, manifest = stored_records(
        tiny_params, tiny_raw, tmp_path / "tfrecords", f"file://{tmp_path}/bucket"
    )
    shards = open_shards(folder, manifest, "train")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "get_file", full)
    for read in (
        lambda: bytes_of(validation_batches(shards, 4)),
        lambda: hold(shards.paths, "disk", tmp_path / "kept"),
    ):
        with pytest.raises(Exception, match="No space left on device") as raised:
            read()
        assert (
            explain(raised.value) == "The disk is full; free some space, then run dvc repro again."
        )


def test_a_storage_without_its_package_or_of_no_kind_is_told(tiny_params, tiny_raw, tmp_path):
    with pytest.raises(
        PetsegError,
        match=r"gs://pets needs another package \(.*gcs.*\): pip install -e '\.\[s3\]', or gs\.",
    ):
        stored_records(tiny_params, tiny_raw, tmp_path / "tfrecords", "gs://pets")
    with pytest.raises(
        PetsegError, match=r"nonsense://pets can't be reached \(Protocol not known: nonsense\)"
    ):
        stored_records(tiny_params, tiny_raw, tmp_path / "tfrecords", "nonsense://pets")


@pytest.mark.parametrize(
    ("examples", "size", "shards"),
    [(0, 96, 8), (3312, 128, 8), (20_000, 128, 16), (10_000_000, 128, 6560)],
)
def test_a_large_set_has_shards_of_about_100_mb(examples, size, shards):
    assert shards_for(examples, size) == shards


def test_many_shards_are_written_and_read_a_few_at_a_time(tiny_params, tiny_raw, tmp_path):
    params = tiny_params.preprocess.model_copy(update={"shards": 400})  # 1,200 files
    preprocess(params, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    manifest = read_manifest(tmp_path / "tfrecords")
    shards = open_shards(tmp_path / "tfrecords", manifest, "train")
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else None
    indices = []
    for batch in read_batches(example_batches(shards, 4)):
        indices += batch["index"].numpy().tolist()
        if before is not None:
            assert len(os.listdir("/proc/self/fd")) < before + 100
    assert sorted(indices) == list(range(manifest.splits["train"].num_examples))
    epoch = list(read_batches(training_batches(shards, 4, 16, tiny_params.train.augment, 0, 1)))
    assert len(epoch) == manifest.splits["train"].num_examples // 4
    assert np.unique(
        [image.numpy().tobytes() for images, _ in epoch for image in images]
    ).size == 4 * len(epoch)


def files_of(raw):
    return {
        str(path.relative_to(raw)): path.read_bytes()
        for path in sorted(raw.rglob("*"))
        if path.is_file()
    }


def test_a_folder_of_pictures_may_lie_behind_a_url(default_params, tmp_path, storage):
    local = draw_masks_folder(tmp_path / "photos")
    url = f"{storage}/photos"
    system, root = fsspec.url_to_fs(url)
    system.put(f"{local}/", f"{root}/", recursive=True)
    for path, raw in ((local, "near"), (url, "far")):
        classes = {"dataset.folder.classes": ["a", "b"]}
        prepare_dataset(folder_params(default_params, path, **classes), tmp_path / raw, tmp_path)
    assert files_of(tmp_path / "far") == files_of(tmp_path / "near")
    system.rm(f"{root}/masks/pug/2.png")
    with pytest.raises(
        PetsegError, match=rf"^{url}/images/pug/2.png has no mask; add {url}/masks/pug/2.png"
    ):
        prepare_dataset(folder_params(default_params, url), tmp_path / "broken", tmp_path)
    with pytest.raises(PetsegError, match=r"nothing-there does not exist; check the URL"):
        prepare_dataset(
            folder_params(default_params, f"{storage}/nothing-there"), tmp_path / "none", tmp_path
        )
