"""Windows blended a few rows at a time, compared with whole images of weighted sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from petseg.config.tiles import Tiles
from petseg.core.geometry import ImageSize
from petseg.photos.sliding import predict_windows
from petseg.prediction.blending import Blender, enlarge, join

sides = st.integers(1, 150)
some_tiles = st.builds(Tiles, size=st.just(32), overlap=st.integers(0, 16))


def blended(grid, windows):
    """Blend windows (M, size, size, N); check that each pixel is finished once."""
    blender = Blender(grid, windows.shape[-1])
    image = np.full((grid.height, grid.width, windows.shape[-1]), np.nan, np.float32)
    for window in windows:
        assert not blender.is_done
        block = blender.add(window)
        assert np.all(np.isnan(image[block.area]))
        image[block.area] = block.probabilities
    assert blender.is_done
    assert not np.any(np.isnan(image))
    return image


@given(sides, sides, some_tiles)
def test_every_pixel_is_the_weighted_mean_of_its_windows(height, width, tiles):
    grid = tiles.grid(height, width)
    windows = np.random.default_rng(0).uniform(size=(len(grid), 32, 32, 2)).astype(np.float32)
    distance = np.minimum(np.arange(1, 33), np.arange(32, 0, -1))
    weight = np.outer(distance, distance)[..., None]
    total = np.zeros((max(height, 32), max(width, 32), 1))
    expected = np.zeros((*total.shape[:2], 2))
    for box, window in zip(grid, windows, strict=True):
        total[box.slices] += weight
        expected[box.slices] += weight * window
    expected = (expected / total)[:height, :width]
    np.testing.assert_allclose(blended(grid, windows), expected, atol=1e-5)


@given(sides, sides, some_tiles, st.floats(0, 1, width=32))
def test_a_constant_stays_exactly_the_same(height, width, tiles, value):
    grid = tiles.grid(height, width)
    windows = np.full((len(grid), 32, 32, 1), value, np.float32)
    assert np.all(blended(grid, windows) == np.float32(value))


def test_only_overlapping_rows_and_columns_are_held():
    grid = Tiles(size=32, overlap=4).grid(32 + 28 * 50, 60)
    blender = Blender(grid, 3)
    for _ in grid:
        blender.add(np.ones((32, 32, 3), np.float32))
        held = (blender._above, blender._below, blender._beside)
        assert sum(array.size for array in held) <= 3 * (2 * 4 * 60 + 32 * 4)


@pytest.mark.parametrize("side", [32, 64])
def test_windows_of_an_image_give_the_prediction_for_each_of_its_pixels(side):
    """A network that looks at single pixels makes the same of a window as of the whole image."""
    pixels = np.random.default_rng(1).integers(0, 256, (14, 9, 3), np.uint8)
    pixels = np.asarray(Image.fromarray(pixels).resize((90, 140), Image.Resampling.BICUBIC))

    def predict(images):
        assert images.shape[1:] == (side, side, 3)
        return (images / 255).astype(np.float32)

    grid = Tiles(size=32, overlap=8).grid(140, 90)
    blocks = list(predict_windows(predict, Image.fromarray(pixels), grid, ImageSize(side, side), 3))
    if side == 32:
        for block in blocks:
            expected = (pixels[block.area] / 255).astype(np.float32)
            np.testing.assert_array_equal(block.probabilities, expected)
    agreement = join(blocks, 140, 90, 3).argmax(-1) == pixels.argmax(-1)
    assert np.mean(agreement) > 0.97


def test_an_image_smaller_than_a_window_is_padded_and_cropped():
    seen = []

    def predict(images):
        seen.append(images)
        return np.ones((len(images), 32, 32, 2), np.float32)

    image = Image.new("RGB", (10, 20), "white")
    grid = Tiles(size=32, overlap=4).grid(20, 10)
    (block,) = predict_windows(predict, image, grid, ImageSize(32, 32), 2)
    assert block.probabilities.shape == (20, 10, 2)
    assert np.all(seen[0][0, :20, :10] == 255)
    assert seen[0].sum() == 255 * 3 * 200 + 128 * 3 * (32 * 32 - 200)


def test_probabilities_are_enlarged_to_the_window():
    probabilities = np.random.default_rng(0).uniform(size=(16, 16, 2)).astype(np.float32)
    enlarged = enlarge(probabilities, ImageSize(32, 48))
    assert enlarged.shape == (32, 48, 2)
    np.testing.assert_allclose(enlarged.mean((0, 1)), probabilities.mean((0, 1)), atol=0.01)
    assert enlarge(probabilities, ImageSize(16, 16)) is probabilities
