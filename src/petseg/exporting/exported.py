"""Exported models: a folder with a file or subfolder per format and a JSON that describes them.

Reading one needs no TensorFlow.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from petseg.config.paths import PipelinePaths, model_remedy
from petseg.config.tiles import Tiles
from petseg.config.types import ClassColors, ExportFormat, InputSize, Sha256
from petseg.config.validation import Section, validate
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize, Resize
from petseg.core.hashing import sha256_of_files
from petseg.core.labels import Color
from petseg.core.sealed_json import read_sealed_json, sealed_json

EXPORTED_FILE = "exported.json"
# What petseg runs itself.
FILE_NAMES: dict[ExportFormat, str] = {
    "litert_float32": "unet_float32.tflite",
    "litert_float16": "unet_float16.tflite",
    "litert_int8": "unet_int8.tflite",
    "onnx": "unet.onnx",
    "onnx_photo": "unet_photo.onnx",
}
# What only other engines run.
SERVING_NAMES: dict[ExportFormat, str] = {"saved_model": "saved_model"}
ALL_NAMES = FILE_NAMES | SERVING_NAMES
Content = bytes | dict[str, bytes]
"""That of a file, or of a folder's files by relative path."""

SUFFIXES = frozenset(Path(name).suffix for name in FILE_NAMES.values())
_FORMAT = 1
_MAX_BYTES = 2**31  # the limit of both formats


class SourceModel(Section):
    """The model that the files were converted from."""

    classes: ClassColors
    image_size: InputSize
    sha256: Sha256  # of its model.json
    resize: Resize = "stretch"
    tiles: Tiles | None = None  # windows that the network sees of larger images
    dataset: str | None = None  # that it was trained on; None if unknown


class _FileEntry(Section):
    format: ExportFormat
    sha256: Sha256


class _ExportedJson(Section):
    """The content of exported.json, which is untrusted."""

    format: int
    model: SourceModel
    files: dict[str, _FileEntry] = Field(description="names, each with a format and a sha256")


@dataclass(frozen=True)
class ExportedModel:
    """An exported file whose content matches its checksum."""

    path: Path
    format: ExportFormat
    content: bytes
    sha256: str
    image_size: ImageSize
    classes: dict[str, Color]
    model_sha256: str
    resize: Resize
    tiles: Tiles | None
    dataset: str | None


def write_exported(
    folder: Path, contents: Mapping[ExportFormat, Content], model: SourceModel
) -> None:
    """Write each file or subfolder, and the JSON that describes them."""
    entries = {}
    for export_format, content in contents.items():
        name = ALL_NAMES[export_format]
        if isinstance(content, bytes):
            atomic_write(folder / name, content)
            checksum = hashlib.sha256(content).hexdigest()
        else:
            for path, data in content.items():
                atomic_write(folder / name / path, data)
            checksum = sha256_of_files(content)
        entries[name] = {"format": export_format, "sha256": checksum}
    document = {
        "format": _FORMAT,
        "model": model.model_dump(mode="json", exclude_defaults=True),
        "files": entries,
    }
    atomic_write(folder / EXPORTED_FILE, sealed_json(document))


def exported_remedy(path: Path) -> str:
    """Return what to do about an exported file that is damaged."""
    return model_remedy(path.parent, PipelinePaths.exported, "export")


def find_exported(path: Path) -> Path | None:
    """Return the exported file at a path or, in a folder of them, the first in FILE_NAMES' order.

    None means that the path is neither. Raises PetsegError if the path is of a format that only
    other engines run.
    """
    if path.name in SERVING_NAMES.values() and (path.parent / EXPORTED_FILE).is_file():
        raise PetsegError(f"{path} is for other engines (docs/serving.md); choose {path.parent}.")
    if path.suffix in SUFFIXES:
        return path
    if not (path / EXPORTED_FILE).is_file():
        return None
    files = [path / name for name in FILE_NAMES.values()]
    return next(filter(Path.is_file, files), files[0])


def read_exported(path: Path) -> ExportedModel:
    """Read an exported file and its description.

    The file is read only once, so the content returned is the content that was checked.
    Raises PetsegError if either is missing, damaged or changed.
    """
    json_file, remedy = path.parent / EXPORTED_FILE, exported_remedy(path)
    if not path.is_file():
        raise PetsegError(f"{path} is missing; {remedy}.")
    if not json_file.is_file():
        raise PetsegError(
            f"{json_file} is missing; keep it in the same folder as {path.name}, or {remedy}."
        )
    document = read_sealed_json(json_file, _FORMAT, remedy)
    description = validate(_ExportedJson, document, str(json_file))
    entry = description.files.get(path.name)
    if entry is None:
        raise PetsegError(
            f"{json_file} doesn't list {path.name}; choose one of {', '.join(description.files)}."
        )
    content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise PetsegError(
            f"{path} is not the file that {json_file} lists (sha256 differs); {remedy}."
        )
    model = description.model
    return ExportedModel(
        path=path,
        format=entry.format,
        content=content,
        sha256=entry.sha256,
        image_size=model.image_size,
        classes=model.classes,
        model_sha256=model.sha256,
        resize=model.resize,
        tiles=model.tiles,
        dataset=model.dataset,
    )
