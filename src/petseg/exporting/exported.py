"""An exported model: a folder of files, one per format, and a JSON that tells what goes into them and comes out.

Reading one needs no TensorFlow.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from petseg.config.types import ClassColors, ExportFormat, ImageSize, Sha256
from petseg.config.validation import Section, validate
from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.labels import Color
from petseg.core.sealed_json import read_sealed_json, sealed_json

EXPORTED_FILE = "exported.json"
FILE_NAMES: dict[ExportFormat, str] = {
    "litert_float32": "unet_float32.tflite",
    "litert_float16": "unet_float16.tflite",
    "litert_int8": "unet_int8.tflite",
    "onnx": "unet.onnx",
}
SUFFIXES = frozenset(Path(name).suffix for name in FILE_NAMES.values())
_FORMAT = 1
_MAX_BYTES = 2**31  # of a file; neither format allows more
_REMEDY = "restore it with dvc checkout --force, or recreate it with dvc repro export"


class SourceModel(Section):
    """What all files of the folder share."""

    classes: ClassColors
    image_size: ImageSize  # pixels a side
    sha256: Sha256  # of the model.json that they were made of


class _File(Section):
    format: ExportFormat
    sha256: Sha256


class Description(Section):
    """exported.json, which may come from anybody."""

    format: int
    model: SourceModel
    files: dict[str, _File] = Field(description="names with a format and a sha256 each")


@dataclass(frozen=True)
class Exported:
    """One of the files, read and known to be the one that was written."""

    path: Path
    format: ExportFormat
    content: bytes
    sha256: str
    image_size: int
    classes: dict[str, Color]
    model_sha256: str


def write_exported(
    folder: Path, contents: Mapping[ExportFormat, bytes], model: SourceModel
) -> None:
    """Each file, and the JSON that describes them all."""
    described = {}
    for format_name, content in contents.items():
        atomic_write(folder / FILE_NAMES[format_name], content)
        described[FILE_NAMES[format_name]] = {
            "format": format_name,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
    document = {"format": _FORMAT, "model": model.model_dump(), "files": described}
    atomic_write(folder / EXPORTED_FILE, sealed_json(document))


def read_exported(path: Path) -> Exported:
    """A file of such a folder with what the folder's JSON says of it. Raises PetsegError.

    What is returned is what was checked: nothing is read a second time.
    """
    json_file = path.parent / EXPORTED_FILE
    if not path.is_file():
        raise PetsegError(f"{path} is not there; {_REMEDY}.")
    if not json_file.is_file():
        raise PetsegError(
            f"{path} lies alone; keep {EXPORTED_FILE}, which was written with it, in the same folder."
        )
    description = validate(
        Description, read_sealed_json(json_file, _FORMAT, _REMEDY), str(json_file)
    )
    entry = description.files.get(path.name)
    if entry is None:
        raise PetsegError(f"{json_file} knows no {path.name}, but {', '.join(description.files)}.")
    content = path.read_bytes() if path.stat().st_size <= _MAX_BYTES else b""
    if hashlib.sha256(content).hexdigest() != entry.sha256:
        raise PetsegError(
            f"{path} is not the file that {json_file} names (sha256 differs); {_REMEDY}."
        )
    model = description.model
    return Exported(
        path, entry.format, content, entry.sha256, model.image_size, model.classes, model.sha256
    )
