"""data/tfrecords/manifest.json: what the shards hold, so that a lost or damaged one is noticed before it is used.

A TFRecord cut between two records, or a missing shard, reads without an error; only a count and a checksum tell.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from petseg.classes import IGNORE_LABEL, Colour
from petseg.errors import PetsegError
from petseg.hashing import sha256_of

MANIFEST_FILE = "manifest.json"
SPLITS = ("train", "val", "test")
_FORMAT = 1


@dataclass(frozen=True)
class Shard:
    file: str
    examples: int
    sha256: str


@dataclass(frozen=True)
class Split:
    examples: int
    pixels: dict[str, int]  # per class name, and "ignored"
    breeds: dict[str, int]  # pictures per breed
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Manifest:
    source: str
    image_size: int
    classes: dict[str, Colour]  # names in the order of their indices, with colours
    splits: dict[str, Split]
    ignore_label: int = IGNORE_LABEL
    format: int = _FORMAT

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.classes)


def write_manifest(manifest: Manifest, directory: Path) -> None:
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    (directory / MANIFEST_FILE).write_text(text, encoding="utf-8")


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest. Raises PetsegError if it is missing or not of this format."""
    path = directory / MANIFEST_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["format"] != _FORMAT:
            raise PetsegError(
                f"{path} is of format {raw['format']}, this petseg reads {_FORMAT}; run dvc repro preprocess."
            )
        splits = {
            name: Split(**{**split, "shards": tuple(Shard(**shard) for shard in split["shards"])})
            for name, split in raw["splits"].items()
        }
        red_green_blue = {name: tuple(colour) for name, colour in raw["classes"].items()}
        return Manifest(**{**raw, "classes": red_green_blue, "splits": splits})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise PetsegError(f"{path} is missing or damaged; run dvc repro preprocess.") from error


def checked_shards(directory: Path, manifest: Manifest, split: str) -> list[str]:
    """The paths of a split's shards, their bytes compared with the manifest's checksums. Raises PetsegError."""
    paths = []
    for shard in manifest.splits[split].shards:
        path = directory / shard.file
        if not path.is_file():
            raise PetsegError(
                f"The shard {path} is missing; bring it back with dvc checkout, or run dvc repro preprocess."
            )
        if sha256_of(path) != shard.sha256:
            raise PetsegError(
                f"The shard {path} is not the one in the manifest (sha256 differs); run dvc checkout --force."
            )
        paths.append(str(path))
    return paths
