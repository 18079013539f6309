"""What a model is, for a person or a program to read."""

from pathlib import Path
from typing import Any

from petseg.core.hashing import sha256_of
from petseg.core.tf_import import import_tensorflow
from petseg.exporting.exported import SUFFIXES, read_exported

Facts = dict[str, dict[str, Any]]


def facts_of(model: Path) -> Facts:
    """Of a model's folder or of an exported file, by subject. Raises PetsegError if it can't be loaded."""
    return _facts_of_exported(model) if model.suffix in SUFFIXES else _facts_of_folder(model)


def _facts_of_folder(folder: Path) -> Facts:
    import_tensorflow()
    from petseg.model.saved import MODEL_FILE, WEIGHTS_FILE, load_model

    saved = load_model(folder)
    return {
        "model": {
            "folder": str(folder),
            "classes": list(saved.class_names),
            "input": [saved.image_size, saved.image_size, 3],
            "parameters": saved.network.count_params(),
        },
        "architecture": saved.architecture.as_dict(),
        "origin": saved.origin.model_dump() if saved.origin else {},
        "sha256": {name: sha256_of(folder / name) for name in (MODEL_FILE, WEIGHTS_FILE)},
    }


def _facts_of_exported(file: Path) -> Facts:
    exported = read_exported(file)
    return {
        "model": {
            "file": str(file),
            "format": exported.format,
            "bytes": len(exported.content),
            "classes": list(exported.classes),
            "input": [exported.image_size, exported.image_size, 3],
        },
        "sha256": {file.name: exported.sha256, "model.json it was made of": exported.model_sha256},
    }
