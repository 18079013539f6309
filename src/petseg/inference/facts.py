"""What a model is, for a person or a program to read."""

from pathlib import Path
from typing import Any

from petseg.hashing import sha256_of
from petseg.model.saved import MODEL_FILE, WEIGHTS_FILE, load_model


def facts_of(model_dir: Path) -> dict[str, dict[str, Any]]:
    """Of a model's folder, by subject. Raises PetsegError like `load_model`."""
    saved = load_model(model_dir)
    return {
        "model": {
            "folder": str(model_dir),
            "classes": list(saved.class_names),
            "input": [saved.image_size, saved.image_size, 3],
            "parameters": saved.network.count_params(),
        },
        "architecture": saved.architecture.as_dict(),
        "origin": saved.origin.model_dump() if saved.origin else {},
        "sha256": {name: sha256_of(model_dir / name) for name in (MODEL_FILE, WEIGHTS_FILE)},
    }
