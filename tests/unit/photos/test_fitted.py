"""Photos of any shape in the network's input, and predictions back in the photo."""

import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from petseg.core.geometry import PADDING_GRAY, ImageSize
from petseg.core.labels import colors_of
from petseg.photos.fitted import FittedPhoto
from petseg.photos.predictor import Predictor
from petseg.preprocessing.transform import fit, resize_image
from support.predictors import noise_photo

SIZE = ImageSize(64, 96)
RESIZES = ["stretch", "letterbox", "crop"]
SHAPES = [(64, 96), (120, 180), (500, 375), (1000, 90), (90, 260), (40, 30), (300, 300)]


def ramps(height, width):
    """Return a photo whose red rises from top to bottom, and whose green from left to right."""
    y, x = np.meshgrid(np.linspace(0, 255, height), np.linspace(0, 255, width), indexing="ij")
    return np.stack([y, x, np.zeros_like(x)], -1).round().astype(np.uint8)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_predictions_are_brought_back_to_where_they_came_from(resize, shape):
    """The network's probabilities are the colors it sees: the photo must come out again."""
    photo = ramps(*shape)
    classes = colors_of(("y", "x", "z"))
    predictor = Predictor(lambda images: images.astype(np.float32), classes, SIZE, resize=resize)
    prediction = predictor.predict(photo)
    returned = prediction.probabilities
    assert returned.shape == photo.shape
    for axis in (0, 1):
        pixel = math.ceil(shape[axis] / prediction.network_probabilities.shape[axis])
        inner = np.arange(pixel, shape[axis] - pixel)  # beyond, resampling flattens the ramps
        error = np.abs(returned - photo)[..., axis]
        assert error.take(inner, axis).max() < 2
        assert error.max() < 255 * pixel / shape[axis] + 2


@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_network_sees_photos_as_it_saw_images_in_training(resize, shape):
    photo = noise_photo(*shape)
    in_training = fit(tf.constant(photo), SIZE, resize, resize_image, PADDING_GRAY).numpy()
    [seen] = FittedPhoto(Image.fromarray(photo), SIZE, resize).inputs()
    assert np.abs(seen.astype(int) - in_training.astype(int)).max() <= 1


def test_several_windows_cover_a_photo_at_the_scale_of_its_center():
    photo = noise_photo(128, 400)
    fitted = FittedPhoto(Image.fromarray(photo), SIZE, "crop")
    inputs = list(fitted.inputs())
    assert len(inputs) == len(fitted) == 3
    center = fit(tf.constant(photo), SIZE, "crop", resize_image, PADDING_GRAY).numpy()
    assert np.abs(inputs[1].astype(int) - center.astype(int))[4:-4, 4:-4].max() <= 1
    assert not any((image == PADDING_GRAY).all(-1).all(0).any() for image in inputs)


def test_overlapping_windows_blend_without_seams():
    fitted = FittedPhoto(Image.fromarray(noise_photo(64, 150)), SIZE, "crop")
    first, second = (np.full((*SIZE, 1), value, np.float32) for value in (0, 1))
    merged = fitted.merge([first, second])[..., 0]
    assert merged.shape == (64, 150)
    assert (merged[:, :54] == 0).all()
    assert (merged[:, 96:] == 1).all()
    assert (np.diff(merged[32, 53:97]) > 0).all()
    assert np.diff(merged, axis=1).max() < 0.05
