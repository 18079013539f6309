"""Write a folder that any static server serves: a page that segments photos in the browser."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from petseg.core.atomic_io import atomic_directory, atomic_write
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.sealed_json import read_sealed_json, sealed_json
from petseg.exporting.exported import (
    EXPORTED_FILE,
    FILE_NAMES,
    ExportedModel,
    SourceModel,
    read_exported,
)
from petseg.pretrained import warn_of_synthetic_pets
from petseg.web.onnxruntime_web import VERSION, fetch_runtime
from petseg.web.pretrained import is_pretrained, pretrained_as_onnx

SITE_FILE = "site.json"
_FORMAT = 1
_MODEL = FILE_NAMES["onnx"]
_PAGE = (
    "index.html",
    "style.css",
    "app.js",
    "worker.js",
    "segment.js",
    "onnxruntime-license.txt",
)
_RUNTIME = "ort"


@dataclass(frozen=True)
class Site:
    """A folder that was written, and the bytes in it."""

    folder: Path
    runtime_bytes: int
    model_bytes: int
    total_bytes: int


def export_web(model: Path, out: Path) -> Site:
    """Write the page for an ONNX file, for a folder with one, or for a pretrained model.

    A page that petseg wrote there earlier is replaced. Raises PetsegError if `out` holds anything
    else, if there is no ONNX file, or if the page can't segment as the model does.
    """
    exported = pretrained_as_onnx(model) if is_pretrained(model) else _read_onnx(model)
    _require_own_site(out)
    warn_of_synthetic_pets(model, exported.dataset)
    runtime = fetch_runtime()
    contents = {name: (files("petseg.web") / "page" / name).read_bytes() for name in _PAGE}
    contents |= {f"{_RUNTIME}/{name}": content for name, content in runtime.items()}
    contents[_MODEL] = exported.content
    contents[SITE_FILE] = _describe(exported, contents).encode()
    with atomic_directory(out.resolve()) as folder:  # of a symlink, what it points to
        for name, content in contents.items():
            atomic_write(folder / name, content)
    return Site(
        out,
        runtime_bytes=sum(map(len, runtime.values())),
        model_bytes=len(exported.content),
        total_bytes=sum(map(len, contents.values())),
    )


def _read_onnx(model: Path) -> ExportedModel:
    file = model / _MODEL if (model / EXPORTED_FILE).is_file() else model
    remedy = (
        "run dvc repro export with onnx in export.formats, then use --model models/exported, or "
        "choose petseg's own model, pets"
    )
    if file.suffix != ".onnx" or not file.is_file():
        raise PetsegError(f"{model} has no ONNX file, which the browser runs; {remedy}.")
    exported = read_exported(file)
    if exported.format != "onnx":
        raise PetsegError(
            f"{file} takes photos, and the page batches; use {_MODEL} of the same folder."
        )
    if exported.tiles:
        raise PetsegError(
            f"{file} has tiles of {exported.tiles}, which the page doesn't cut; use petseg "
            "predict or petseg demo."
        )
    return exported


def _describe(exported: ExportedModel, contents: dict[str, bytes]) -> str:
    """Return site.json: what the page needs to know, and the checksums of the other files."""
    model = SourceModel(
        classes=exported.classes,
        image_size=exported.image_size,
        sha256=exported.model_sha256,
        resize=exported.resize,
        dataset=exported.dataset,
    )
    document: dict[str, Any] = {
        "format": _FORMAT,
        "model": model.model_dump(mode="json", exclude_defaults=True),
        # In order: JavaScript puts an object's keys that are whole numbers first.
        "classes": [[name, list(color)] for name, color in exported.classes.items()],
        "runtime": f"ONNX Runtime Web {VERSION}",
        "files": {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    }
    return sealed_json(document)


def _require_own_site(out: Path) -> None:
    """Raise PetsegError unless the folder is missing, empty, or as petseg export-web wrote it."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    known: dict[str, str] = {}
    with suppress(PetsegError):
        known = read_sealed_json(out / SITE_FILE, _FORMAT, "")["files"]
    found = {
        path.relative_to(out).as_posix(): path
        for path in out.rglob("*")
        if path.is_symlink() or not path.is_dir() or not any(path.iterdir())
    }
    found.pop(SITE_FILE, None)
    foreign = [
        name
        for name, path in found.items()
        if not path.is_file() or known.get(name) != sha256_of(path)
    ]
    if not known or foreign:
        names = ", ".join(sorted(foreign)[:3]) or SITE_FILE
        raise PetsegError(
            f"{out} holds files that petseg export-web didn't write, or that were edited since "
            f"({names}); use another folder, or move them."
        )
