"""A trained model, ready for photos of any size."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.config.params import TtaParams
from petseg.config.validation import validate
from petseg.core.errors import PetsegError
from petseg.core.labels import Color
from petseg.core.tf_import import import_tensorflow
from petseg.exporting.exported import EXPORTED_FILE, FILE_NAMES, SUFFIXES, read_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.image_io import read_rgb, upright_rgb
from petseg.prediction.backend import PredictFn

Photo = str | Path | Image.Image | NDArray[np.uint8]

_ROWS = 256


@dataclass(frozen=True)
class PhotoPrediction:
    """What a model makes of a photo: probabilities at the model's size, everything else at the photo's own."""

    scores: NDArray[np.float32]  # (S, S, N)
    size: tuple[int, int]  # the photo's (width, height)
    classes: dict[str, Color]

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """The most probable class's index for every pixel, (height, width)."""
        width, height = self.size
        mask = np.empty((height, width), np.uint8)
        for start in range(
            0, height, _ROWS
        ):  # so that memory holds the probabilities of a few rows only
            stop = min(start + _ROWS, height)
            mask[start:stop] = np.argmax(self._enlarged(start, stop), axis=0)
        return mask

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Of each class for every pixel, (height, width, N)."""
        return np.moveaxis(self._enlarged(0, self.size[1]), 0, -1)

    @property
    def shares(self) -> dict[str, float]:
        """The share of the photo that each class covers."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        return {
            name: float(count / self.mask.size)
            for name, count in zip(self.classes, counts, strict=True)
        }

    def _enlarged(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows `start` to `stop` of the probabilities at the photo's size, (N, rows, width)."""
        size, (width, height) = self.scores.shape[0], self.size
        box = (0, start * size / height, size, stop * size / height)
        planes = (
            Image.fromarray(np.ascontiguousarray(plane))
            for plane in np.moveaxis(self.scores, -1, 0)
        )
        return np.stack(
            [
                np.asarray(plane.resize((width, stop - start), Image.Resampling.BILINEAR, box))
                for plane in planes
            ]
        )


class Predictor:
    """A model that takes photos of any size. `load` makes one."""

    def __init__(self, scorer: PredictFn, classes: dict[str, Color], image_size: int) -> None:
        self.classes, self.image_size = classes, image_size
        self._scorer = scorer

    def predict(self, photo: Photo) -> PhotoPrediction:
        """Of a file, a Pillow image, or an array (H, W, 3) of 0..255. Raises PetsegError on what is none of them."""
        return self.predict_batch([photo])[0]

    def predict_batch(self, photos: Sequence[Photo]) -> list[PhotoPrediction]:
        """The predictions for several photos, whose sizes may differ, in one pass through the network."""
        if not photos:
            return []
        images = [as_image(photo) for photo in photos]
        scores = self._scorer(np.stack([fit_to(image, self.image_size) for image in images]))
        return [
            PhotoPrediction(one, image.size, self.classes)
            for one, image in zip(scores, images, strict=True)
        ]


def load(
    path: str | Path = "models/unet", flip_tta: bool = False, scales: Sequence[float] = (1.0,)
) -> Predictor:
    """The predictor of a model's folder, or of an exported file (.tflite, .onnx), which needs no TensorFlow.

    A prediction is the mean over the photo at so many times the model's size, with `flip_tta` mirrored as well (see
    evaluate.tta in params.yaml). Raises PetsegError if the model is missing, damaged or changed, or if an exported one
    is asked for other sizes than its own.
    """
    path = Path(path)
    tta = validate(TtaParams, {"flip": flip_tta, "scales": scales}, "petseg.load")
    if path.suffix not in SUFFIXES:
        return _load_keras(path, tta)
    if tta.scales != (1.0,):
        raise PetsegError(
            f"{path} takes pictures at its own size alone; leave the scales out, or name models/unet."
        )
    exported = read_exported(path)
    return Predictor(exported_predict_fn(exported, tta.flip), exported.classes, exported.image_size)


def _load_keras(folder: Path, tta: TtaParams) -> Predictor:
    import_tensorflow()
    from petseg.model.saved import load_model
    from petseg.prediction.predict import keras_predict_fn

    if (folder / EXPORTED_FILE).is_file():
        raise PetsegError(
            f"{folder} holds exported models; name one of its files, such as {folder / FILE_NAMES['onnx']}."
        )
    saved = load_model(folder)
    return Predictor(
        keras_predict_fn(saved.network, saved.image_size, tta), saved.classes, saved.image_size
    )


def as_image(photo: Photo) -> Image.Image:
    """A photo as an upright RGB picture. Raises PetsegError."""
    if isinstance(photo, str | Path):
        return read_rgb(Path(photo))
    if isinstance(photo, Image.Image):
        return upright_rgb(photo)
    if not isinstance(photo, np.ndarray):
        raise PetsegError(
            f"The photo is a {type(photo).__name__}, but must be a path, a Pillow image or an array."
        )
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[-1] != 3 or 0 in photo.shape:
        raise PetsegError(
            f"The photo is {photo.dtype} of shape {photo.shape}, but must be RGB: uint8, (height, width, 3)."
        )
    return Image.fromarray(photo)


def fit_to(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """(size, size, 3): bilinear with antialiasing, aspect ratio not kept, as the training pictures were resized."""
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR))
