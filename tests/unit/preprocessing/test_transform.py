"""Decoding, checking and resizing one image and its mask."""

import numpy as np
import pytest
import tensorflow as tf

from petseg.core.geometry import PADDING_GRAY, ImageSize, place
from petseg.preprocessing.transform import (
    decode_and_resize,
    labels_known,
    resize_image,
    resize_mask,
)
from petseg.shards.label_map import UNKNOWN_LABEL, label_lookup

SQUARE = ImageSize(32, 32)


@pytest.mark.parametrize(
    ("values", "first_label", "num_classes", "unknown"),
    [
        ([1, 2, 3, 255], 1, 3, []),
        ([0, 1, 255], 0, 2, []),
        ([1, 0], 1, 3, [0]),
        ([1, 4, 254], 1, 3, [4, 254]),
        ([0, 2, 7], 0, 2, [2, 7]),
        (list(range(254)), 0, 254, []),
        (list(range(1, 255)), 1, 254, []),
        (list(range(256)), 0, 254, [254]),
        (list(range(256)), 1, 254, [0]),
    ],
)
def test_unknown_labels_are_detected(values, first_label, num_classes, unknown):
    mask = np.array(values, np.uint8).reshape(-1, 1, 1)
    assert bool(labels_known(tf.constant(mask), first_label, num_classes)) == (not unknown)
    lookup = label_lookup(first_label, num_classes)
    assert mask[lookup[mask] == UNKNOWN_LABEL].tolist() == unknown


def test_resizing_keeps_an_image_of_the_right_size():
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(resize_image(tf.constant(image), SQUARE), image)


def test_resizing_a_mask_creates_no_labels():
    mask = np.random.default_rng(0).choice(np.array([0, 2, 255], np.uint8), (100, 70, 1))
    resized = resize_mask(tf.constant(mask), ImageSize(32, 64)).numpy()
    assert resized.shape == (32, 64, 1)
    assert set(np.unique(resized)) <= {0, 2, 255}


def test_image_and_mask_stay_aligned_when_resized():
    image = np.zeros((96, 96, 3), np.uint8)
    image[30:60, 12:48] = 255
    mask = (image[..., :1] // 255).astype(np.uint8)
    bright = resize_image(tf.constant(image), SQUARE).numpy()[..., 0] > 127
    assert np.array_equal(bright, resize_mask(tf.constant(mask), SQUARE).numpy()[..., 0] == 1)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (64, 128), (20, 10)], ids=str)
@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_an_image_and_its_mask_are_fitted_in_the_same_way(resize, shape):
    """The left half is white and labeled 2, the right half black and labeled 1.

    What a crop must not show is ignored.
    """
    height, width = shape
    size = ImageSize(32, 64)
    source, target = place(height, width, size, resize)
    labels = np.repeat([[2] * (width // 2) + [1] * (width // 2)], height, 0)[..., None]
    image = np.repeat((labels == 2) * 255, 3, -1)
    cut = np.ones((height, width), bool)
    cut[source.slices] = False
    labels[cut] = 255
    encoded = [tf.io.encode_png(x.astype(np.uint8)) for x in (image, labels)]
    fitted = {
        key: value.numpy() for key, value in decode_and_resize(*encoded, size, resize, 1, 2).items()
    }
    inside = np.zeros(size, bool)
    inside[target.slices] = True
    assert (fitted["mask"][~inside] == 255).all()
    assert (fitted["image"][~inside] == PADDING_GRAY).all()
    assert fitted["num_padding"] == (~inside).sum()
    assert fitted["num_cut"] == cut.sum()
    left = np.arange(64) < 32  # the center stays in the center
    assert (fitted["mask"] == np.where(left, 1, 0))[inside].all()
    far = inside & (np.abs(np.arange(64) - 31.5) > 5)  # from the soft edge
    assert (fitted["image"][..., 0] == np.where(left, 255, 0))[far].all()
