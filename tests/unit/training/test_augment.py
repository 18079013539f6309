"""Augmentation: image and mask change together, by the documented formulas."""

import numpy as np
import pytest
import tensorflow as tf

from petseg.config.train_params import AugmentParams
from petseg.training.augment import (
    NUM_DRAWS,
    augment,
    change_colors,
    crop_and_resize,
    draw_uniform,
    geometry,
    project,
)
from support.project import NO_AUGMENTATION


def params(**changes):
    return AugmentParams(**{**NO_AUGMENTATION, **changes})


def blobs(count=6, height=48, width=64):
    """Draw images whose brightness shows the mask's class: smooth blobs, whose edges resampling doesn't move."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    masks = []
    for _ in range(count):
        cx, cy, r = rng.uniform([12, 12, 6], [width - 12, height - 12, 14])
        masks.append(((x - cx) ** 2 + (y - cy) ** 2 < r * r).astype(np.uint8))
    mask = np.stack(masks)
    return np.repeat((mask * 200 + 20)[..., None], 3, -1).astype(np.uint8), mask


def draws_of(count, seed=0):
    return draw_uniform(seed, tf.constant(1, tf.int64), tf.range(count, dtype=tf.int64))


GEOMETRIES = [
    {"flip": True},
    {"crop_scale": (0.5, 1.0)},
    {"crop_scale": (1.0, 1.6)},
    {"rotation": 90.0},
    {"flip": True, "crop_scale": (0.6, 1.3), "rotation": 30.0},
]


@pytest.mark.parametrize("changes", GEOMETRIES, ids=lambda changes: "+".join(changes))
@pytest.mark.parametrize("inside_map", [False, True], ids=["eager", "Dataset.map"])
def test_image_and_mask_stay_aligned(changes, inside_map):
    image, mask = blobs()
    settings = params(**changes)
    if inside_map:
        data = tf.data.Dataset.from_tensors((image, mask, draws_of(6)))
        new_image, new_mask = next(iter(data.map(lambda i, m, d: augment(i, m, d, settings))))
    else:
        new_image, new_mask = augment(tf.constant(image), tf.constant(mask), draws_of(6), settings)
    new_image, new_mask = new_image.numpy()[..., 0], new_mask.numpy()
    assert not np.array_equal(new_mask, mask)
    counted = new_mask != 255
    agree = (new_image > 120) == (new_mask == 1)
    assert agree[counted].mean() > 0.985  # except on soft edges
    for k in range(6):  # the blobs' centers coincide to half a pixel
        bright, labeled = (new_image[k] > 120) & counted[k], new_mask[k] == 1
        if labeled.sum() > 30:
            assert np.allclose(np.argwhere(bright).mean(0), np.argwhere(labeled).mean(0), atol=0.5)


@pytest.mark.parametrize("method", ["bilinear", "nearest"])
def test_without_rotation_both_ways_to_warp_agree(method):
    image = np.random.default_rng(1).uniform(0, 255, (64, 48, 32, 3)).astype(np.float32)
    transforms = geometry(
        draws_of(64), params(flip=True, crop_scale=(0.5, 1.0)), tf.constant([48, 32])
    )
    one, other = (
        warp(image, transforms, method, -1.0).numpy() for warp in (crop_and_resize, project)
    )
    assert np.allclose(one, other, atol=0.02)
    assert not np.allclose(one, image, atol=50)


def test_zooming_out_slightly_keeps_every_label():
    image, mask = blobs(1)
    largest = np.array([[0.9, 1.0, 0.5, 0.5, *[0.5] * (NUM_DRAWS - 4)]], np.float32)
    new_image, new_mask = (
        x.numpy() for x in augment(image, mask, largest, params(crop_scale=(1.0, 1.01)))
    )
    assert 255 not in new_mask
    assert (new_image[0, 0] != 127.5).any()


def test_a_flip_mirrors_every_pixel_exactly():
    image, mask = blobs(2)
    image = np.random.default_rng(1).integers(0, 256, image.shape, np.uint8)
    mirrored, straight = (
        np.zeros((1, NUM_DRAWS), np.float32),
        np.full((1, NUM_DRAWS), 0.9, np.float32),
    )
    new_image, new_mask = augment(
        image, mask, np.concatenate([mirrored, straight]), params(flip=True)
    )
    assert np.array_equal(new_image[0], image[0, :, ::-1])
    assert np.array_equal(new_mask[0], mask[0, :, ::-1])
    assert np.array_equal(new_image[1], image[1])


def test_no_augmentation_changes_nothing():
    image, mask = blobs()
    new_image, new_mask = augment(image, mask, draws_of(6), params())
    assert np.array_equal(new_image, image)
    assert np.array_equal(new_mask, mask)


def test_a_crop_stays_inside_the_image():
    image, mask = blobs()
    corners = np.array(
        [[0.9, 0.0, x, y, *[0] * (NUM_DRAWS - 4)] for x in (0, 1) for y in (0, 1)], np.float32
    )
    new_image, new_mask = augment(image[:4], mask[:4], corners, params(crop_scale=(0.3, 1.0)))
    assert 255 not in np.unique(new_mask)
    assert new_image.numpy().min() >= 20 - 1e-3  # neither the fill color nor anything outside
    assert np.allclose(new_image[0, 0, 0], image[0, 0, 0], atol=1e-3)


def test_what_a_rotation_uncovers_is_ignored():
    image, mask = blobs(1)
    _, new_mask = augment(
        image,
        mask,
        np.array([[0.9, 0, 0, 0, 1, *[0] * (NUM_DRAWS - 5)]], np.float32),
        params(rotation=45.0),
    )
    assert new_mask[0, 0, 0] == 255
    assert new_mask[0, 24, 24] != 255


def test_zooming_out_shrinks_the_image_and_ignores_the_margin():
    image, mask = blobs(1)
    largest = np.array([[0.9, 1.0, 0.5, 0.5, *[0.5] * (NUM_DRAWS - 4)]], np.float32)
    new_image, new_mask = (
        x.numpy() for x in augment(image, mask, largest, params(crop_scale=(1.0, 2.0)))
    )
    assert np.all(new_mask[0, [0, 11, -12, -1]] == 255)
    assert np.all(new_image[0, 0] == 127.5)
    assert not np.any(new_mask[0, 13:35, 17:47] == 255)
    assert np.sum(new_mask == 1) == pytest.approx(np.sum(mask == 1) / 4, rel=0.1)


def test_colors_change_and_stay_in_range():
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (6, 16, 16, 3)).astype(np.float32)
    new = change_colors(
        image, draws_of(6), params(brightness=0.5, contrast=0.5, saturation=1.0)
    ).numpy()
    assert new.min() >= 0
    assert new.max() <= 255
    assert not np.allclose(new, image, atol=5)
    gray = change_colors(
        image, np.zeros((6, NUM_DRAWS), np.float32), params(saturation=1.0)
    ).numpy()
    assert np.allclose(gray[..., 0], gray[..., 2], atol=1e-3)


@pytest.mark.parametrize("changed", ["brightness", "contrast", "saturation", None])
def test_colors_follow_the_formulas(changed):
    """Saturation about a pixel's gray (the luma of BT.601), then contrast about the mean, then brightness."""
    image = np.random.default_rng(0).uniform(60, 190, (3, 8, 8, 3)).astype(np.float32)
    strength = {
        name: 0.2 * (changed in (name, None)) for name in ("brightness", "contrast", "saturation")
    }
    draws = draws_of(3).numpy()
    shift, stretch, vivid = (2 * draws[:, 5:8].T - 1)[..., None, None, None]
    gray = (image @ [0.299, 0.587, 0.114])[..., None]
    expected = gray + (image - gray) * (1 + strength["saturation"] * vivid)
    mean = gray.mean(axis=(1, 2), keepdims=True)
    expected = (
        mean
        + (expected - mean) * (1 + strength["contrast"] * stretch)
        + 255 * strength["brightness"] * shift
    )
    assert np.allclose(
        change_colors(image, draws, params(**strength)), expected.clip(0, 255), atol=1e-3
    )


def test_random_numbers_depend_only_on_seed_epoch_and_index():
    one = draw_uniform(7, tf.constant(3, tf.int64), tf.constant([5], tf.int64)).numpy()
    many = draw_uniform(7, tf.constant(3, tf.int64), tf.constant([9, 5, 2], tf.int64)).numpy()
    assert np.array_equal(one[0], many[1])
    assert not np.array_equal(
        one, draw_uniform(7, tf.constant(4, tf.int64), tf.constant([5], tf.int64))
    )
    assert not np.array_equal(
        one, draw_uniform(8, tf.constant(3, tf.int64), tf.constant([5], tf.int64))
    )
    uniform = draw_uniform(0, tf.constant(1, tf.int64), tf.range(500, dtype=tf.int64)).numpy()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert np.abs(uniform.mean(0) - 0.5).max() < 0.06
