"""Describe a model, for people and for programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from petseg.core.hashing import sha256_of
from petseg.core.tf_import import import_tensorflow
from petseg.exporting.exported import find_exported, read_exported
from petseg.photos.find_model import find_model
from petseg.photos.predictor import check_is_model, explain_missing_keras

if TYPE_CHECKING:
    from petseg.model.saved import SavedModel

ModelInfo = dict[str, dict[str, Any]]
"""Values by section and name."""


def model_info(model: str | Path | None = None) -> ModelInfo:
    """Describe a model, as `petseg.load` finds it. Raises PetsegError if it can't be loaded."""
    path = find_model(model)
    exported_file = find_exported(path)
    return _exported_info(exported_file) if exported_file else _directory_info(path)


def _directory_info(directory: Path) -> ModelInfo:
    with explain_missing_keras(directory):
        import_tensorflow()
        from petseg.model.saved import MODEL_FILE, WEIGHTS_FILE, load_model

    check_is_model(directory)
    saved = load_model(directory)
    return {
        "model": {
            "directory": str(directory),
            "classes": list(saved.class_names),
            "input": [*saved.image_size, 3],
            "resize": saved.resize,
            **({"tiles": str(saved.tiles)} if saved.tiles else {}),
            "parameters": saved.network.count_params(),
        },
        "architecture": saved.architecture.as_dict(),
        "origin": _describe_origin(saved),
        "sha256": {name: sha256_of(directory / name) for name in (MODEL_FILE, WEIGHTS_FILE)},
    }


def _describe_origin(saved: "SavedModel") -> dict[str, Any]:
    """Name the metrics of a model with tiles for what they are of: tiles, not whole images."""
    if saved.origin is None:
        return {}
    tile_names = {
        "val_mean_iou": "val_tile_mean_iou",
        "val_pixel_accuracy": "val_tile_pixel_accuracy",
    }
    return {
        tile_names.get(name, name) if saved.tiles else name: value
        for name, value in saved.origin.model_dump(exclude_none=True).items()
    }


def _exported_info(file: Path) -> ModelInfo:
    exported = read_exported(file)
    card = file.with_name("README.md")  # a pretrained model has one
    return {
        "model": {
            "file": str(file),
            "format": exported.format,
            "bytes": len(exported.content),
            "classes": list(exported.classes),
            "input": [*exported.image_size, 3],
            "resize": exported.resize,
            **({"tiles": str(exported.tiles)} if exported.tiles else {}),
            **({"card": str(card)} if card.is_file() else {}),
        },
        "sha256": {file.name: exported.sha256, "source model.json": exported.model_sha256},
    }
