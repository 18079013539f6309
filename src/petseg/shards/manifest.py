"""data/tfrecords/manifest.json: what the shards hold, so that a lost or damaged one is noticed before it is used.

A TFRecord cut between two records, or a missing shard, reads without an error; only a count and a checksum tell.
"""

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.labels import BACKGROUND, IGNORE_LABEL, Color, check_labels
from petseg.core.parallel import parallel_map
from petseg.core.sealed_json import read_sealed_json, sealed_json
from petseg.shards.storage import stored, url_of

MANIFEST_FILE = "manifest.json"
NO_STORAGE = "none"
SPLITS = ("train", "val", "test")
FORMAT = 4
_REMEDY = "restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess"


@dataclass(frozen=True)
class Shard:
    file: str
    examples: int
    sha256: str


@dataclass(frozen=True)
class Split:
    examples: int
    pixels: dict[str, int]  # per class name, and "ignored"
    categories: dict[str, int]  # pictures per category
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    source: str
    image_size: int
    classes: dict[str, Color]  # names in the order of their indices, with colors
    first_label: int  # the value of class 0 in the masks at the photos' own size; the others follow
    splits: dict[str, Split]
    storage: str = (
        NO_STORAGE  # the URL under which the shards lie, if they don't lie beside the manifest
    )
    ignore_label: int = IGNORE_LABEL
    format: int = FORMAT

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    @property
    def background(self) -> int | None:
        """The index of the class that is no object, if there is one."""
        return self.class_names.index(BACKGROUND) if BACKGROUND in self.classes else None

    def checksum(self, split: str) -> str:
        """Of all that a split's shards hold."""
        return hashlib.sha256(
            "".join(shard.sha256 for shard in self.splits[split].shards).encode()
        ).hexdigest()


@dataclass(frozen=True)
class ShardSet:
    """The checked shards of one split, and what it takes to read them.

    The examples were dealt out to the shards one by one, so of N workers each reads every Nth shard, and with them
    every Nth example.
    """

    paths: tuple[str, ...]  # of the worker: files, or URLs of a storage
    examples: int  # of the whole split
    image_size: int
    classes: int
    rank: int = 0  # of this worker
    num_workers: int = 1

    @property
    def own_examples(self) -> int:
        """The number of the split's examples that this worker reads."""
        return len(range(self.rank, self.examples, self.num_workers))


def write_manifest(manifest: Manifest, directory: Path) -> None:
    atomic_write(directory / MANIFEST_FILE, sealed_json(asdict(manifest)))


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest. Raises PetsegError if it is missing, of another format, or not as it was written."""
    path = directory / MANIFEST_FILE
    raw = read_sealed_json(path, FORMAT, _REMEDY)
    try:
        manifest = TypeAdapter(Manifest).validate_python(raw)
        files = [shard.file for split in manifest.splits.values() for shard in split.shards]
        if set(manifest.splits) != set(SPLITS) or not all(
            split.shards for split in manifest.splits.values()
        ):
            raise ValueError("a split or its shards are missing")
        if any(file != Path(file).name for file in files):
            raise ValueError("a shard lies elsewhere")
        check_labels(manifest.first_label, len(manifest.classes))
        return manifest
    except ValueError as error:  # pydantic's too
        raise PetsegError(f"{path} is missing or damaged; {_REMEDY}.") from error


def checked_shards(
    directory: Path, manifest: Manifest, split: str, rank: int = 0, num_workers: int = 1
) -> ShardSet:
    """A worker's shards of a split, their bytes compared with the manifest's checksums. Raises PetsegError.

    Those in a storage are compared when they are fetched.

    A file that looks like a shard of the split and isn't in the manifest is an error too: somebody expects it to be
    read.
    """
    entry = manifest.splits[split]
    if len(entry.shards) % num_workers:
        raise PetsegError(
            f"{len(entry.shards)} shards can't be shared out equally among {num_workers} workers; "
            f"make preprocess.shards a multiple of {num_workers}."
        )
    own = entry.shards[rank::num_workers]
    if manifest.storage != NO_STORAGE:
        present = stored(manifest.storage)
        paths = tuple(url_of(manifest.storage, shard.sha256) for shard in own)
        for shard, url in zip(own, paths, strict=True):
            if shard.sha256 not in present:
                raise PetsegError(
                    f"The shard {url} is missing; recreate it with dvc repro --force preprocess."
                )
        return ShardSet(
            paths, entry.examples, manifest.image_size, len(manifest.classes), rank, num_workers
        )
    paths = tuple(
        str(path) for path in parallel_map(lambda shard: _checked_shard(directory, shard), own)
    )
    known = {shard.file for shard in entry.shards}
    for path in sorted(directory.glob(f"{split}-*")):
        if path.name not in known:
            raise PetsegError(f"{path} is not in the manifest; take it away, or {_REMEDY}.")
    return ShardSet(
        paths, entry.examples, manifest.image_size, len(manifest.classes), rank, num_workers
    )


def _checked_shard(directory: Path, shard: Shard) -> Path:
    path = directory / shard.file
    if not path.is_file():
        raise PetsegError(f"The shard {path} is missing; {_REMEDY}.")
    if sha256_of(path) != shard.sha256:
        raise PetsegError(
            f"The shard {path} is not the one in the manifest (sha256 differs); {_REMEDY}."
        )
    return path
