"""The test pictures that the page shows: the best, those in the middle, and the worst."""

import base64
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from petseg.config.params import TtaParams
from petseg.image_encoding import encode_image
from petseg.model.saved import SavedModel
from petseg.overlays import Picture, overlay_mask
from petseg.prediction.predict import Prediction, predict_split
from petseg.shards.manifest import Manifest

_BATCH = 32


@dataclass(frozen=True)
class Shown:
    """A picture in three forms, each as a data address, and what is said of it."""

    name: str
    category: str
    mean_iou: float
    photo: str
    prediction: str
    truth: str
    predicted_shares: dict[str, float]  # of the picture, by class
    true_shares: dict[str, float]


def chosen_names(per_image: pd.DataFrame, number: int) -> dict[str, list[str]]:
    """By title, so many names each; fewer if there aren't as many pictures. `per_image` has the worst first."""
    names = [str(name) for name in per_image.dropna(subset=["mean_iou"])["file_name"]]
    start = max(0, (len(names) - number) // 2)
    return {
        "best": names[::-1][:number],
        "median": names[start : start + number],
        "worst": names[:number],
    }


def show_all(
    per_image: pd.DataFrame,
    number: int,
    saved: SavedModel,
    shards_dir: Path,
    manifest: Manifest,
    tta: TtaParams,
) -> dict[str, list[Shown]]:
    """The chosen pictures with their predictions, by title. Raises PetsegError if the shards aren't whole.

    The mean IoU told of each is that of `per_image`, which may be at the photo's own size; shown is the model's.
    """
    groups = chosen_names(per_image, number)
    scores = dict(zip(per_image["file_name"], per_image["mean_iou"], strict=True))
    wanted = {name for names in groups.values() for name in names}
    shown = {
        one.file_name: _show(one, float(scores[one.file_name]), manifest)
        for one in predict_split(
            saved, shards_dir, manifest, "test", _BATCH, tta, file_names=wanted
        )
    }
    return {title: [shown[name] for name in names] for title, names in groups.items()}


def _show(one: Prediction, mean_iou: float, manifest: Manifest) -> Shown:
    colors = list(manifest.classes.values())
    truth, prediction = (
        overlay_mask(one.image, mask, colors, manifest.background)
        for mask in (one.mask, one.predicted)
    )
    predicted_shares, true_shares = (
        {name: float(np.mean(mask == i)) for i, name in enumerate(manifest.classes)}
        for mask in (one.predicted, one.mask)
    )
    return Shown(
        name=one.file_name,
        category=one.category,
        mean_iou=mean_iou,
        photo=as_address(one.image),
        prediction=as_address(prediction),
        truth=as_address(truth),
        predicted_shares=predicted_shares,
        true_shares=true_shares,
    )


def as_address(picture: Picture) -> str:
    """A picture as a `data:` address, which needs no file and no network."""
    jpeg = encode_image(Image.fromarray(picture), "JPEG", quality=90, subsampling=0)
    return data_address(jpeg, "image/jpeg")


def data_address(content: bytes, kind: str) -> str:
    """Bytes of a media type as a `data:` address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
