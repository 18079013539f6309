"""What a model is, in a few lines that a person or a program can read."""

from pathlib import Path
from typing import Any

from petseg.hashing import sha256_of
from petseg.model.saved import MODEL_FILE, load_model


def facts_of(model_dir: Path) -> dict[str, Any]:
    """Of a model's folder, in the order in which they are shown. Raises PetsegError like `load_model`."""
    saved = load_model(model_dir)
    architecture, origin = saved.architecture, saved.origin
    facts: dict[str, Any] = {
        "model": str(model_dir),
        "classes": list(saved.class_names),
        "input": f"RGB, resized to {saved.image_size} x {saved.image_size}",
        "network": f"U-Net, {architecture.encoder} {architecture.alpha} down to stride {architecture.encoder_stride}",
        "decoder": f"{architecture.decoder}, {' '.join(map(str, architecture.decoder_filters))} channels",
        "parameters": saved.network.count_params(),
    }
    if origin:
        facts |= {
            "trained on": f"{origin.data}, {origin.train_pictures} pictures, seed {origin.seed}, {origin.epoch} epochs",
            "mean IoU": f"{origin.val_mean_iou} on {origin.val_pictures} validation pictures",
            "accuracy": f"{origin.val_pixel_accuracy} on the same",
        }
    return facts | {"sha256": sha256_of(model_dir / MODEL_FILE)}
