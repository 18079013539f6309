"""data/tfrecords/manifest.json: what the shards contain.

TensorFlow doesn't notice if a shard is missing from a list of files, or was truncated between two
records. The manifest's counts and checksums reveal both before the shards are used.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from petseg.config.tiles import Tiles
from petseg.config.types import Cache, InputSize
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize, Resize
from petseg.core.hashing import sha256_of
from petseg.core.labels import BACKGROUND, IGNORE_LABEL, Color, check_labels
from petseg.core.parallel import parallel_map
from petseg.core.sealed_json import read_sealed_json, sealed_json
from petseg.shards.storage import cache_shards, list_stored, shard_url

MANIFEST_FILE = "manifest.json"
NO_STORAGE = "none"
SPLITS = ("train", "val", "test")
FORMAT = 6
_REMEDY = "restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess"


@dataclass(frozen=True)
class Shard:
    """One file of a split."""

    file: str
    num_examples: int
    sha256: str


@dataclass(frozen=True)
class Split:
    """What the shards of one split contain."""

    num_examples: int  # images, or tiles of them
    pixels: dict[str, int]  # per class name, and "ignored"
    categories: dict[str, int]  # images per category
    shards: tuple[Shard, ...]
    num_tiled_images: int | None = None  # None without tiles

    @property
    def num_images(self) -> int:
        return self.num_examples if self.num_tiled_images is None else self.num_tiled_images


@dataclass(frozen=True)
class Manifest:
    """The contents of all shards and the meaning of their labels."""

    dataset: str
    image_size: InputSize
    classes: dict[str, Color]  # class names in the order of their indices, with colors
    first_label: int  # value of class 0 in the original masks; the other classes follow
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()  # what was left out, guessed or drawn, for the report
    storage: str = NO_STORAGE  # URL of the shards, unless they are in the manifest's folder
    tiles: Tiles | None = None  # the examples are tiles of this size
    ignore_label: int = IGNORE_LABEL
    format: int = FORMAT
    resize: Resize = "stretch"

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)

    @property
    def background(self) -> int | None:
        """The index of the background class, if there is one."""
        return self.class_names.index(BACKGROUND) if BACKGROUND in self.classes else None

    def checksum(self, split: str) -> str:
        """Return a checksum over all shards of a split."""
        checksums = "".join(shard.sha256 for shard in self.splits[split].shards)
        return hashlib.sha256(checksums.encode()).hexdigest()


@dataclass(frozen=True)
class ShardSet:
    """One worker's verified shards of a split, and what is needed to read them.

    Examples were written to the shards in turn, so each of N workers reads every Nth shard, and
    with it every Nth example.
    """

    paths: tuple[str, ...]  # of this worker's shards, readable by TensorFlow
    num_examples: int  # in the whole split
    image_size: ImageSize
    num_classes: int
    rank: int = 0  # of this worker
    num_workers: int = 1

    @property
    def num_worker_examples(self) -> int:
        """The number of the split's examples that this worker reads."""
        return len(range(self.rank, self.num_examples, self.num_workers))


def write_manifest(manifest: Manifest, directory: Path) -> None:
    """Write manifest.json with its own checksum.

    The defaults of `resize`, `tiles` and `num_tiled_images` are left out.
    """
    document = {**asdict(manifest), "image_size": manifest.image_size.as_parameter()}
    if manifest.resize == "stretch":
        del document["resize"]
    del document["tiles"]
    if manifest.tiles:
        document["tiles"] = manifest.tiles.model_dump()
    document["splits"] = {
        name: {key: value for key, value in split.items() if value is not None}
        for name, split in document["splits"].items()
    }
    atomic_write(directory / MANIFEST_FILE, sealed_json(document))


def read_manifest(directory: Path) -> Manifest:
    """Read manifest.json. Raises PetsegError if it is damaged, edited or of another format."""
    path = directory / MANIFEST_FILE
    raw = read_sealed_json(path, FORMAT, _REMEDY)
    try:
        manifest = TypeAdapter(Manifest).validate_python(raw)
        splits = manifest.splits.values()
        if set(manifest.splits) != set(SPLITS) or not all(split.shards for split in splits):
            raise ValueError("a split or its shards are missing")
        files = [shard.file for split in splits for shard in split.shards]
        if any(file != Path(file).name for file in files):
            raise ValueError("a shard is in another folder")
        check_labels(manifest.first_label, len(manifest.classes))
    except ValueError as error:  # includes pydantic's ValidationError
        raise PetsegError(f"{path} is missing or damaged; {_REMEDY}.") from error
    return manifest


def open_shards(
    directory: Path,
    manifest: Manifest,
    split: str,
    rank: int = 0,
    num_workers: int = 1,
    cache: Cache = "none",
) -> ShardSet:
    """Verify one worker's shards of a split against the manifest's checksums and return them.

    Remote shards are copied to the local disk or to memory first (see `cache_shards`). Raises
    PetsegError if a shard is missing or damaged, and if a local file looks like a shard of this
    split but is not in the manifest.
    """
    entry = manifest.splits[split]
    if len(entry.shards) % num_workers:
        raise PetsegError(
            f"{len(entry.shards)} shards can't be divided equally among {num_workers} workers; "
            f"make preprocess.shards a multiple of {num_workers}."
        )
    worker_shards = entry.shards[rank::num_workers]
    if manifest.storage == NO_STORAGE:
        paths = parallel_map(lambda shard: _verify(directory, shard), worker_shards)
        _reject_unknown_files(directory, split, entry.shards)
    else:
        paths = _stored_urls(manifest.storage, worker_shards)
    return ShardSet(
        paths=cache_shards(paths, cache),
        num_examples=entry.num_examples,
        image_size=manifest.image_size,
        num_classes=len(manifest.classes),
        rank=rank,
        num_workers=num_workers,
    )


def _verify(directory: Path, shard: Shard) -> str:
    path = directory / shard.file
    if not path.is_file():
        raise PetsegError(f"The shard {path} is missing; {_REMEDY}.")
    if sha256_of(path) != shard.sha256:
        raise PetsegError(f"The shard {path} differs from its sha256 in the manifest; {_REMEDY}.")
    return str(path)


def _reject_unknown_files(directory: Path, split: str, shards: Sequence[Shard]) -> None:
    """Raise PetsegError for a file that looks like a shard: someone may expect it to be read."""
    known = {shard.file for shard in shards}
    for path in sorted(directory.glob(f"{split}-*")):
        if path.name not in known:
            raise PetsegError(f"{path} is not in the manifest; delete it, or {_REMEDY}.")


def _stored_urls(storage: str, shards: Sequence[Shard]) -> list[str]:
    present = list_stored(storage)
    urls = [shard_url(storage, shard.sha256) for shard in shards]
    for shard, url in zip(shards, urls, strict=True):
        if shard.sha256 not in present:
            raise PetsegError(
                f"The shard {url} is missing; recreate it with dvc repro --force preprocess."
            )
    return urls
