"""Tiles of a split, predicted and joined to whole images."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from petseg.batches import example_batches
from petseg.core.errors import PetsegError
from petseg.metrics import count_labels
from petseg.model.saved import load_model
from petseg.photos.predictor import Predictor
from petseg.prediction.joining import JoinedImage
from petseg.prediction.predict import check_model_fits, keras_predict_fn, predict_split
from petseg.raw import open_split, read_dataset_info
from petseg.shards.manifest import open_shards, read_manifest
from support.tiles import TILES


@pytest.fixture
def saved(tiny_model):
    return replace(load_model(tiny_model), tiles=TILES)


@pytest.fixture(scope="session")
def manifest(tiled_shards):
    return read_manifest(tiled_shards)


def test_whole_images_are_predicted_as_photos_are(saved, manifest, tiled_shards, tiny_raw):
    predictor = Predictor(
        keras_predict_fn(saved.network, saved.image_size),
        saved.classes,
        saved.image_size,
        tiles=TILES,
    )
    dataset, _ = open_split(tiny_raw, read_dataset_info(tiny_raw), "test")
    raw = {fields["file_name"].decode(): fields for fields in dataset.as_numpy_iterator()}
    predictions = list(predict_split(saved, tiled_shards, manifest, "test", 3))
    assert [prediction.file_name for prediction in predictions] == list(raw)
    for prediction in predictions:
        fields = raw[prediction.file_name]
        photo, mask = (
            np.asarray(Image.open(io.BytesIO(fields[key])))
            for key in ("image", "segmentation_mask")
        )
        assert np.mean(prediction.predicted == predictor.predict(photo).mask) > 0.99
        np.testing.assert_array_equal(prediction.mask, mask - 1)
        np.testing.assert_array_equal(prediction.image, photo)
        expected = count_labels(prediction.mask, prediction.predicted, 3)
        np.testing.assert_array_equal(prediction.confusion, expected)
        assert prediction.confusion.sum() == 48 * 48


def test_selected_images_get_the_same_predictions(saved, manifest, tiled_shards):
    expected = list(predict_split(saved, tiled_shards, manifest, "test", 32))[3:5]
    names = [prediction.file_name for prediction in expected]
    selected = predict_split(saved, tiled_shards, manifest, "test", 5, file_names=set(names))
    for a, b in zip(selected, expected, strict=True):
        assert a.file_name == b.file_name
        assert np.mean(a.predicted == b.predicted) > 0.99


def test_a_model_without_tiles_or_with_others_is_rejected(saved, manifest):
    message = r"at 32 px, but the shards hold .* at 32 px in tiles of 32 px \(overlap 8\); run dvc"
    with pytest.raises(PetsegError, match=message):
        check_model_fits(replace(saved, tiles=None), manifest)
    with pytest.raises(PetsegError, match=r"in tiles of 32 px \(overlap 4\), but the shards"):
        check_model_fits(replace(saved, tiles=TILES.model_copy(update={"overlap": 4})), manifest)


def test_tiles_that_are_missing_are_noticed(saved, manifest, tiled_shards):
    batch = next(
        example_batches(
            open_shards(tiled_shards, manifest, "test"), 8, tiled=True
        ).as_numpy_iterator()
    )
    tiles = [{key: values[i] for key, values in batch.items()} for i in range(8)]
    probabilities = np.ones((32, 32, 3), np.float32)
    for second in (tiles[2], tiles[5]):
        joined = JoinedImage(tiles[0], TILES, 3)
        joined.add(tiles[0], probabilities)
        with pytest.raises(PetsegError, match=r"The tiles of .* are incomplete; run dvc checkout"):
            joined.add(second, probabilities)


def test_a_large_image_is_drawn_small():
    """The picture is like the image shrunk as a whole; the masks follow it."""
    height, width = 600, 1200
    y, x = np.mgrid[:height, :width]
    image = np.stack([x * 255 / width, y * 255 / height, 0 * x], -1).astype(np.uint8)
    grid = TILES.grid(height, width)
    joined = None
    for top, left, _, _ in grid:
        tile = image[top : top + 32, left : left + 32]
        fields = {"height": height, "width": width, "top": top, "left": left, "image": tile}
        fields["file_name"] = b"x"
        joined = joined or JoinedImage(fields, TILES, 3)
        joined.add(fields, (tile / 255).astype(np.float32))
    assert joined.is_done
    assert joined.thumbnail.shape == (256, 512, 3)
    shrunk = Image.fromarray(image).resize((512, 256), Image.Resampling.BILINEAR)
    assert np.abs(joined.thumbnail.astype(int) - np.asarray(shrunk)).max() <= 3
    np.testing.assert_array_equal(joined.predicted, image.argmax(-1))
