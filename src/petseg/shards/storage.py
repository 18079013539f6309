"""Shards that lie elsewhere, in a bucket say: at any URL that fsspec knows, found again by their checksums.

A shard's name there is its sha256. So no run overwrites another's shards, the manifest that DVC keeps leads back to
the right ones, and a damaged one is noticed when it is fetched.
"""

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from pathlib import Path

import fsspec
import tensorflow as tf
from fsspec.implementations.local import LocalFileSystem
from tqdm import tqdm

from petseg.config.types import Cache
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.remote import is_remote, translate_fsspec_errors

_MEMORY = "ram://petseg/"  # a file system of TensorFlow's
_numbers = count()


def url_of(storage: str, sha256: str) -> str:
    """Where a shard lies."""
    return f"{storage.rstrip('/')}/{sha256}.tfrecord"


def is_stored(path: str) -> bool:
    """Whether a shard must be fetched to be read."""
    return is_remote(path) and not path.startswith(_MEMORY)


def upload(files: Mapping[Path, str], storage: str) -> None:
    """Move files, given with their sha256, to a storage; what is there already, whole, is left as it is."""
    with translate_fsspec_errors(storage):
        system, root = fsspec.url_to_fs(storage)
        if isinstance(
            system, LocalFileSystem
        ):  # elsewhere that might make a bucket of a mistyped name
            system.makedirs(root, exist_ok=True)
        present = _sizes(system, root) if system.exists(root) else {}
        for path, sha256 in tqdm(files.items(), desc=f"to {storage}", unit="shard", disable=None):
            target = url_of(root, sha256)
            if present.get(Path(target).name) != path.stat().st_size:
                system.put_file(str(path), target)
            path.unlink()


def stored(storage: str) -> set[str]:
    """The sha256 of every shard at a storage. Raises PetsegError if it can't be reached."""
    with translate_fsspec_errors(storage):
        return {Path(name).stem for name in _sizes(*fsspec.url_to_fs(storage))}


def hold(paths: Sequence[str], where: Cache, folder: Path) -> tuple[str, ...]:
    """The paths of the same shards where they can be read again and again: in memory, or in a folder on the disk.

    What lies on a local disk already is not copied to the disk. Raises PetsegError.
    """
    if where == "none" or (where == "disk" and not any(map(is_stored, paths))):
        return tuple(paths)
    bar = tqdm(paths, desc=f"shards into {where}", unit="shard", disable=None, leave=False)
    return tuple(_in_memory(path) if where == "memory" else _on_disk(path, folder) for path in bar)


def recover_error(error: tf.errors.UnknownError) -> PetsegError | None:
    """What `read_remote_shard` raised within TensorFlow, which passes on but the text."""
    told = re.search(r"PetsegError: (.+)", str(error))
    return PetsegError(told[1]) if told else None


def _in_memory(path: str) -> str:
    held = f"{_MEMORY}{next(_numbers)}"
    local = _fetched(path, _temporary()) if is_stored(path) else path
    tf.io.gfile.copy(local, held)
    if local != path:
        os.unlink(local)
    return held


def _on_disk(url: str, folder: Path) -> str:
    path = folder / Path(url).name
    if not path.is_file() or sha256_of(path) != path.stem:
        os.replace(_fetched(url, folder), path)
    return str(path)


def read_remote_shard(path: tf.Tensor) -> tf.data.Dataset:
    """The serialized examples of one remote shard, which lies on the disk only as long as it is read."""
    folder = _temporary()
    local = tf.numpy_function(
        lambda url: _fetched(url.decode(), folder), [path], tf.string, stateful=False
    )
    local.set_shape([])

    def remove(name: bytes) -> bool:
        os.unlink(name)
        return False

    removed = tf.data.Dataset.from_tensors(local).filter(
        lambda name: tf.ensure_shape(tf.numpy_function(remove, [name], tf.bool, stateful=False), [])
    )
    return tf.data.TFRecordDataset(local).concatenate(removed)


def _fetched(url: str, folder: Path) -> str:
    """The path of a new copy of a shard in a folder. Raises PetsegError if it isn't the one that its name says."""
    folder.mkdir(parents=True, exist_ok=True)
    number, path = tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)
    try:
        os.close(number)
        with translate_fsspec_errors(url):
            system, name = fsspec.url_to_fs(url)
            system.get_file(name, path)
        if sha256_of(Path(path)) != Path(url).stem:
            raise PetsegError(
                f"The shard {url} is not the one in the manifest (sha256 differs); take it away, then run "
                "dvc repro --force preprocess."
            )
    except BaseException:
        os.unlink(path)
        raise
    return path


@cache
def _temporary() -> Path:
    """A folder that ends with the process."""
    folder = tempfile.mkdtemp(prefix="petseg-shards-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _sizes(system: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    """The bytes of each file, by its name."""
    system.invalidate_cache()
    return {Path(entry["name"]).name: entry["size"] for entry in system.ls(root, detail=True)}
