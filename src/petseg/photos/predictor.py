"""A trained model that accepts photos of any size."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from petseg.config.params import TtaParams
from petseg.config.paths import PipelinePaths
from petseg.config.tiles import Tiles
from petseg.config.validation import validate
from petseg.core.errors import PetsegError, explain_missing, translate
from petseg.core.geometry import MAX_PIXELS, MAX_TILED_PIXELS, ImageSize, Resize
from petseg.core.hashing import sha256_of
from petseg.core.labels import BACKGROUND, Color
from petseg.core.tf_import import import_tensorflow
from petseg.exporting.exported import find_exported, read_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.images.reading import read_rgb, upright_rgb
from petseg.photos.find_model import find_model
from petseg.photos.fitted import FittedPhoto
from petseg.photos.prediction import PhotoPrediction, TiledPrediction
from petseg.photos.sliding import predict_in_batches, predict_windows
from petseg.prediction.backend import PredictFn
from petseg.prediction.blending import Block
from petseg.pretrained import warn_of_synthetic_pets

Photo = str | Path | Image.Image | NDArray[np.uint8]

_CHECKSUM_DIGITS = 12


class Predictor:
    """A model that accepts photos of any size. `load` creates one."""

    def __init__(
        self,
        predict_fn: PredictFn,
        classes: dict[str, Color],
        image_size: ImageSize,
        checksum: str = "",
        resize: Resize = "stretch",
        tiles: Tiles | None = None,
    ) -> None:
        self.classes = classes
        self.image_size = image_size
        self.resize = resize  # how photos are fitted into that size
        self.checksum = checksum  # the first digits of the sha256 that petseg info shows
        self.tiles = tiles  # windows that the network sees of a photo; None: all of it
        self._predict_fn = predict_fn

    @property
    def max_pixels(self) -> int:
        """The number of pixels that a photo may have."""
        return MAX_TILED_PIXELS if self.tiles else MAX_PIXELS

    def predict(self, photo: Photo) -> PhotoPrediction:
        """Predict a file, a Pillow image or an array (H, W, 3) of 0..255.

        Raises PetsegError on anything else.
        """
        return self.predict_batch([photo])[0]

    def predict_batch(
        self, photos: Sequence[Photo], progress: bool = False, with_alpha: bool = False
    ) -> list[PhotoPrediction]:
        """Predict photos of any size in one pass through the network.

        A model that was trained on the centers of images predicts the photos' windows in batches of
        a limited size, however many there are. A model with tiles predicts and blends the windows
        of one photo after the other, with a progress bar for each of several windows if `progress`.
        Its alpha, for cutouts, is computed in the same pass if `with_alpha`, and otherwise in a
        second one once it is asked for.
        """
        if not photos:
            return []
        images = [to_rgb(photo, self.max_pixels) for photo in photos]
        if self.tiles:
            return [
                self._predict_tiled(image, self.tiles, progress, with_alpha) for image in images
            ]
        fitted = [FittedPhoto(image, self.image_size, self.resize) for image in images]
        inputs = (pixels for photo in fitted for pixels in photo.inputs())
        if self.resize == "crop":
            probabilities = predict_in_batches(
                self._predict_fn, inputs, self.image_size, len(self.classes)
            )
        else:
            probabilities = iter(self._predict_fn(np.stack([*inputs])))
        return [
            PhotoPrediction(
                photo.merge([*islice(probabilities, len(photo))]), image.size, self.classes
            )
            for photo, image in zip(fitted, images, strict=True)
        ]

    def _predict_tiled(
        self, image: Image.Image, tiles: Tiles, progress: bool, with_alpha: bool
    ) -> TiledPrediction:
        grid = tiles.grid(image.height, image.width)

        def blocks() -> Iterator[Block]:
            found = predict_windows(
                self._predict_fn, image, grid, self.image_size, len(self.classes)
            )
            shown = progress and len(grid) > 1
            disable = None if shown else True
            return iter(
                tqdm(found, "windows", len(grid), unit="window", leave=False, disable=disable)
            )

        with_alpha = with_alpha and BACKGROUND in self.classes
        return TiledPrediction.of_blocks(blocks, image.size, self.classes, with_alpha)


def load(
    model: str | Path | None = None,
    tta_flip: bool = False,
    tta_scales: Sequence[float] = (1.0,),
) -> Predictor:
    """Load a model directory, or an exported file (.tflite, .onnx), which needs no TensorFlow.

    "pets" is the model that comes with petseg, trained on Oxford-IIIT Pet. It is also the default
    when there is no models/unet, which a line on stderr then says.

    Of a folder of exported files, the first of float32, float16, int8, ONNX and the ONNX that takes
    photos is loaded.

    Test-time augmentation averages the predictions at each of `tta_scales` times the network's
    input size and, with `tta_flip`, those of the mirror images (like evaluate.tta in params.yaml).
    Raises PetsegError if the model is missing, damaged or changed, or if an exported file is given
    scales other than 1.
    """
    tta = validate(TtaParams, {"flip": tta_flip, "scales": tta_scales}, "petseg.load")
    path = find_model(model)
    exported_file = find_exported(path)
    if exported_file is None:
        return _load_keras(path, tta)
    if tta.scales != (1.0,):
        raise PetsegError(
            f"{path if model is None else model} is an exported model, which predicts at one scale "
            "only; remove --tta-scale (tta_scales), or choose the folder of a trained model."
        )
    exported = read_exported(exported_file)
    predict_fn = exported_predict_fn(exported, tta.flip)
    warn_of_synthetic_pets(path, exported.dataset)
    return Predictor(
        predict_fn,
        exported.classes,
        exported.image_size,
        exported.sha256[:_CHECKSUM_DIGITS],
        exported.resize,
        exported.tiles,
    )


def _load_keras(directory: Path, tta: TtaParams) -> Predictor:
    with explain_missing_keras(directory):
        import_tensorflow()
        from petseg.model.saved import WEIGHTS_FILE, load_model
        from petseg.prediction.predict import keras_predict_fn

    check_is_model(directory)
    saved = load_model(directory)
    warn_of_synthetic_pets(directory, saved.origin.dataset if saved.origin else None)
    return Predictor(
        keras_predict_fn(saved.network, saved.image_size, tta),
        saved.classes,
        saved.image_size,
        sha256_of(directory / WEIGHTS_FILE)[:_CHECKSUM_DIGITS],
        saved.resize,
        saved.tiles,
    )


def check_is_model(directory: Path) -> None:
    """Raise PetsegError if a path is a typo, or a folder of something else than a model."""
    from petseg.model.saved import MODEL_FILE, WEIGHTS_FILE

    is_model = any((directory / name).is_file() for name in (MODEL_FILE, WEIGHTS_FILE))
    if not is_model and directory != PipelinePaths.model:
        found = "is not a model" if directory.exists() else "doesn't exist"
        raise PetsegError(
            f"{directory} {found}; choose pets, an exported file (.tflite or .onnx), or a folder "
            f"with a model or exported files, such as {PipelinePaths.model}."
        )


def explain_missing_keras(directory: Path) -> AbstractContextManager[None]:
    """Raise a PetsegError for any package that a model directory needs and that isn't installed."""
    suggestion = f"choose an exported model, such as {PipelinePaths.exported} or pets"

    def message(error: Exception) -> str | None:
        missing = explain_missing(error, f"{directory} (a Keras model)", alternative=suggestion)
        if missing and not directory.is_dir():
            return f"{directory} is neither an exported file nor a folder; {suggestion}."
        return missing

    return translate(message)


def to_rgb(photo: Photo, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return a photo as an upright RGB image. Raises PetsegError."""
    if isinstance(photo, str | Path):
        return read_rgb(Path(photo), max_pixels=max_pixels)
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
