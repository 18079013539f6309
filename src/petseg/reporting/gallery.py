"""The test images on the page: the best, the median and the worst."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from petseg.config.params import TtaParams
from petseg.image_encoding import encode_image
from petseg.model.saved import SavedModel
from petseg.overlays import Mask, RgbImage, overlay_mask
from petseg.prediction.predict import Prediction, predict_split
from petseg.shards.manifest import Manifest

_BATCH_SIZE = 32


@dataclass(frozen=True)
class GalleryImage:
    """An image with its overlays as data URLs, and its caption."""

    name: str
    category: str
    height: int  # in pixels, like width
    width: int
    mean_iou: float
    original: str
    prediction: str
    truth: str
    predicted_shares: dict[str, float]  # of the image's pixels, by class
    true_shares: dict[str, float]


def select_names(per_image: pd.DataFrame, count: int) -> dict[str, list[str]]:
    """Select up to `count` names for each title, from a table that lists the worst image first."""
    names = [str(name) for name in per_image.dropna(subset=["mean_iou"])["file_name"]]
    start = max(0, (len(names) - count) // 2)
    return {
        "best": names[::-1][:count],
        "median": names[start : start + count],
        "worst": names[:count],
    }


def build_gallery(
    per_image: pd.DataFrame,
    count: int,
    saved: SavedModel,
    shards_dir: Path,
    manifest: Manifest,
    tta: TtaParams,
) -> dict[str, list[GalleryImage]]:
    """Predict the selected images and return them by title. Raises PetsegError.

    The mean IoU is that of `per_image`, which may be at the original resolution; the masks are
    at the model's.
    """
    groups = select_names(per_image, count)
    scores = dict(zip(per_image["file_name"], per_image["mean_iou"], strict=True))
    selected = {name for names in groups.values() for name in names}
    images = {
        prediction.file_name: _gallery_image(
            prediction, float(scores[prediction.file_name]), manifest
        )
        for prediction in predict_split(
            saved, shards_dir, manifest, "test", _BATCH_SIZE, tta, file_names=selected
        )
    }
    return {title: [images[name] for name in names] for title, names in groups.items()}


def _gallery_image(prediction: Prediction, mean_iou: float, manifest: Manifest) -> GalleryImage:
    drawn = prediction.for_drawing()

    def overlay(mask: Mask) -> str:
        colors = list(manifest.classes.values())
        return image_data_url(overlay_mask(prediction.image, mask, colors, manifest.background))

    def shares(mask: Mask) -> dict[str, float]:
        return {name: float(np.mean(mask == i)) for i, name in enumerate(manifest.classes)}

    return GalleryImage(
        name=prediction.file_name,
        category=prediction.category,
        height=prediction.image.shape[0],
        width=prediction.image.shape[1],
        mean_iou=mean_iou,
        original=image_data_url(prediction.image),
        prediction=overlay(drawn.predicted),
        truth=overlay(drawn.mask),
        predicted_shares=shares(prediction.predicted),
        true_shares=shares(prediction.mask),
    )


def image_data_url(image: RgbImage) -> str:
    """Encode an image as JPEG in a `data:` URL."""
    jpeg = encode_image(Image.fromarray(image), "JPEG", quality=90, subsampling=0)
    return data_url(jpeg, "image/jpeg")


def data_url(content: bytes, media_type: str) -> str:
    """Encode bytes as a `data:` URL."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
