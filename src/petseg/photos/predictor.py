"""A trained model that accepts photos of any size."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.config.params import TtaParams
from petseg.config.paths import PipelinePaths
from petseg.config.validation import validate
from petseg.core.errors import PetsegError, explain_missing, translate
from petseg.core.geometry import ImageSize, Resize
from petseg.core.hashing import sha256_of
from petseg.core.labels import Color
from petseg.core.tf_import import import_tensorflow
from petseg.exporting.exported import find_exported, read_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.images.reading import read_rgb, upright_rgb
from petseg.photos.windows import Windows
from petseg.prediction.backend import PredictFn

Photo = str | Path | Image.Image | NDArray[np.uint8]

_ROWS_AT_ONCE = 256
_CHECKSUM_DIGITS = 12


@dataclass(frozen=True)
class PhotoPrediction:
    """A model's prediction for one photo, at the photo's size except `network_probabilities`."""

    network_probabilities: NDArray[np.float32]  # (h, w, N), at the network's scale
    size: tuple[int, int]  # the photo's (width, height)
    classes: dict[str, Color]

    @cached_property
    def mask(self) -> NDArray[np.uint8]:
        """The index of each pixel's most probable class, (height, width)."""
        width, height = self.size
        mask = np.zeros((height, width), np.uint8)
        for start in range(0, height, _ROWS_AT_ONCE):  # only a few rows in memory
            stop = min(start + _ROWS_AT_ONCE, height)
            part = mask[start:stop]
            highest = np.full(part.shape, -np.inf, np.float32)
            # Eight times as fast as np.argmax on all planes.
            for index, plane in enumerate(self._resized_planes(start, stop)):
                part[plane > highest] = index
                np.maximum(highest, plane, out=highest)
        return mask

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The probability of each class at each pixel, (height, width, N)."""
        return np.stack([*self._resized_planes(0, self.size[1])], axis=-1)

    @property
    def shares(self) -> dict[str, float]:
        """The share of the photo's pixels that each class covers."""
        counts = np.bincount(self.mask.ravel(), minlength=len(self.classes))
        return {
            name: float(count / self.mask.size)
            for name, count in zip(self.classes, counts, strict=True)
        }

    def _resized_planes(self, start: int, stop: int) -> Iterator[NDArray[np.float32]]:
        """Yield rows of each class's probabilities at the photo's size, (stop - start, width)."""
        width, height = self.size
        network_height, network_width, _ = self.network_probabilities.shape
        top, bottom = (row * network_height / height for row in (start, stop))
        box = (0, top, network_width, bottom)
        for plane in np.moveaxis(self.network_probabilities, -1, 0):
            image = Image.fromarray(np.ascontiguousarray(plane))
            yield np.asarray(image.resize((width, stop - start), Image.Resampling.BILINEAR, box))


class Predictor:
    """A model that accepts photos of any size. `load` creates one."""

    def __init__(
        self,
        predict_fn: PredictFn,
        classes: dict[str, Color],
        image_size: ImageSize,
        checksum: str = "",
        resize: Resize = "stretch",
    ) -> None:
        self.classes = classes
        self.image_size = image_size
        self.resize = resize  # how photos are fitted into that size
        self.checksum = checksum  # the first digits of the sha256 that petseg info shows
        self._predict_fn = predict_fn

    def predict(self, photo: Photo) -> PhotoPrediction:
        """Predict a file, a Pillow image or an array (H, W, 3) of 0..255.

        Raises PetsegError on anything else.
        """
        return self.predict_batch([photo])[0]

    def predict_batch(self, photos: Sequence[Photo]) -> list[PhotoPrediction]:
        """Predict photos of any size in one pass through the network."""
        if not photos:
            return []
        images = [to_rgb(photo) for photo in photos]
        windows = [Windows(image, self.image_size, self.resize) for image in images]
        inputs = np.stack([pixels for of_image in windows for pixels in of_image.inputs()])
        probabilities = iter(self._predict_fn(inputs))
        return [
            PhotoPrediction(
                of_image.merge([*islice(probabilities, len(of_image))]), image.size, self.classes
            )
            for of_image, image in zip(windows, images, strict=True)
        ]


def load(
    path: str | Path = PipelinePaths.model,
    tta_flip: bool = False,
    tta_scales: Sequence[float] = (1.0,),
) -> Predictor:
    """Load a model directory, or an exported file (.tflite, .onnx), which needs no TensorFlow.

    Of a folder of exported files, the first of float32, float16, int8 and ONNX is loaded.

    Test-time augmentation averages the predictions at each of `tta_scales` times the network's
    input size and, with `tta_flip`, those of the mirror images (like evaluate.tta in params.yaml).
    Raises PetsegError if the model is missing, damaged or changed, or if an exported file is given
    scales other than 1.
    """
    path = Path(path)
    tta = validate(TtaParams, {"flip": tta_flip, "scales": tta_scales}, "petseg.load")
    exported_file = find_exported(path)
    if exported_file is None:
        return _load_keras(path, tta)
    if tta.scales != (1.0,):
        raise PetsegError(
            f"{path} has a fixed input size; remove --tta-scale (tta_scales), or use "
            f"{PipelinePaths.model}."
        )
    exported = read_exported(exported_file)
    return Predictor(
        exported_predict_fn(exported, tta.flip),
        exported.classes,
        exported.image_size,
        exported.sha256[:_CHECKSUM_DIGITS],
        exported.resize,
    )


def _load_keras(directory: Path, tta: TtaParams) -> Predictor:
    with explain_missing_keras(directory):
        import_tensorflow()
        from petseg.model.saved import WEIGHTS_FILE, load_model
        from petseg.prediction.predict import keras_predict_fn

    saved = load_model(directory)
    return Predictor(
        keras_predict_fn(saved.network, saved.image_size, tta),
        saved.classes,
        saved.image_size,
        sha256_of(directory / WEIGHTS_FILE)[:_CHECKSUM_DIGITS],
        saved.resize,
    )


def explain_missing_keras(directory: Path) -> AbstractContextManager[None]:
    """Raise a PetsegError for any package that a model directory needs and that isn't installed."""
    suggestion = f"choose an exported model, such as {PipelinePaths.exported}"

    def message(error: Exception) -> str | None:
        missing = explain_missing(error, f"{directory} (a Keras model)", alternative=suggestion)
        if missing and not directory.is_dir():
            return f"{directory} is neither an exported file nor a folder; {suggestion}."
        return missing

    return translate(message)


def to_rgb(photo: Photo) -> Image.Image:
    """Return a photo as an upright RGB image. Raises PetsegError."""
    if isinstance(photo, str | Path):
        return read_rgb(Path(photo))
    if isinstance(photo, Image.Image):
        return upright_rgb(photo)
    if not isinstance(photo, np.ndarray):
        raise PetsegError(
            f"The photo is a {type(photo).__name__}, but must be a path, a Pillow image or an "
            "array."
        )
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[-1] != 3 or 0 in photo.shape:
        raise PetsegError(
            f"The photo is {photo.dtype} of shape {photo.shape}, but must be RGB: uint8, "
            "(height, width, 3)."
        )
    return Image.fromarray(photo)
