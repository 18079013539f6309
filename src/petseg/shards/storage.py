"""Shards in remote storage, at any URL that fsspec supports, and their local copies.

A stored shard is named after its sha256. So a run never overwrites another run's shards, an older
manifest still finds its own, and a damaged shard is detected when it is fetched.
"""

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import fsspec
import tensorflow as tf
from fsspec.implementations.local import LocalFileSystem
from tqdm import tqdm

from petseg.config.paths import main_repository
from petseg.config.types import Cache
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.remote import is_remote, translate_fsspec_errors

_IN_MEMORY = "ram://petseg/"  # TensorFlow's in-memory file system
_memory_file_numbers = count()


def shard_url(storage: str, sha256: str) -> str:
    """Return the URL of a stored shard."""
    return f"{storage.rstrip('/')}/{sha256}.tfrecord"


def list_stored(storage: str) -> set[str]:
    """Return the sha256 of every stored shard. Raises PetsegError if the storage is unreachable."""
    with translate_fsspec_errors(storage):
        return {Path(name).stem for name in _file_sizes(*fsspec.url_to_fs(storage))}


def upload_shards(files: Mapping[Path, str], storage: str) -> None:
    """Move shards, given with their sha256, to remote storage, skipping those complete there.

    Raises PetsegError if the storage can't be reached.
    """
    with translate_fsspec_errors(storage):
        system, root = fsspec.url_to_fs(storage)
        if isinstance(system, LocalFileSystem):  # others might create a bucket from a typo
            system.makedirs(root, exist_ok=True)
        present = _file_sizes(system, root) if system.exists(root) else {}
        for path, sha256 in tqdm(files.items(), f"upload to {storage}", unit="shard", disable=None):
            target = shard_url(root, sha256)
            if present.get(Path(target).name) != path.stat().st_size:
                system.put_file(str(path), target)
            path.unlink()


def cache_shards(paths: Sequence[str], cache: Cache) -> tuple[str, ...]:
    """Return paths from which TensorFlow can read the shards repeatedly.

    Remote shards are copied: for "none" to a temporary folder that is deleted when the process
    ends, for "disk" to .cache/shards, which later runs reuse, and for "memory" to memory. Local
    shards are copied to memory only. Raises PetsegError if a remote shard is missing or damaged.
    """
    if cache != "memory" and not any(map(is_remote, paths)):
        return tuple(paths)
    folder = _cache_folder() if cache == "disk" else _temporary_folder()
    cached = []
    for path in tqdm(paths, "cache shards", unit="shard", disable=None, leave=False):
        local = _fetch(path, folder) if is_remote(path) else path
        if cache == "memory":
            cached.append(_copy_to_memory(local))
            if local != path:
                os.unlink(local)
        else:
            cached.append(local)
    return tuple(cached)


def _fetch(url: str, folder: Path) -> str:
    """Copy a shard into a folder, unless a good copy is there, and return its path."""
    path = folder / Path(url).name
    sha256 = path.stem
    if path.is_file() and sha256_of(path) == sha256:
        return str(path)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(prefix=".", suffix=".partial", dir=folder)
    os.close(descriptor)
    try:
        with translate_fsspec_errors(url):
            system, name = fsspec.url_to_fs(url)
            system.get_file(name, partial)
        if sha256_of(Path(partial)) != sha256:
            raise PetsegError(
                f"The shard {url} differs from its sha256 in the manifest; delete it, "
                "then run dvc repro --force preprocess."
            )
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise
    return str(path)


def _copy_to_memory(path: str) -> str:
    copy = f"{_IN_MEMORY}{next(_memory_file_numbers)}"
    tf.io.gfile.copy(path, copy)
    return copy


def _cache_folder() -> Path:
    """Return the folder for cached shards, which DVC's temporary copies of the project share."""
    return main_repository() / ".cache" / "shards"


@functools.cache
def _temporary_folder() -> Path:
    """Return a folder that is deleted when the process ends."""
    folder = tempfile.mkdtemp(prefix="petseg-shards-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _file_sizes(system: fsspec.AbstractFileSystem, root: str) -> dict[str, int]:
    """Return the size in bytes of each file, by name."""
    system.invalidate_cache()
    return {Path(entry["name"]).name: entry["size"] for entry in system.ls(root, detail=True)}
