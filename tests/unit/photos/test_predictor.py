"""`petseg.load` and its predictor: what it accepts, and predictions at the photo's own size."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import petseg
from petseg.config.tiles import Tiles
from petseg.core.errors import PetsegError
from petseg.model.saved import load_model, save_model
from petseg.photos import prediction as prediction_module
from petseg.photos.model_info import model_info
from petseg.photos.outputs import cutout
from petseg.photos.prediction import PhotoPrediction
from petseg.photos.predictor import Predictor, load
from support.predictors import (
    SIZE,
    TRIMAP,
    brightness_predictor,
    noise_photo,
    predict_from_brightness,
)
from support.tiles import TILES

PREDICTOR = brightness_predictor()


def random_probabilities(size):
    raw = np.random.default_rng(0).uniform(0.01, 1, (size, size, 3)).astype(np.float32)
    return raw / raw.sum(-1, keepdims=True)


def test_the_package_offers_load_and_nothing_else():
    assert petseg.load is load
    with pytest.raises(AttributeError, match="module 'petseg' has no attribute 'lode'"):
        petseg.lode  # noqa: B018


def test_a_saved_model_predicts_a_photo_at_its_own_size(tiny_model):
    photo = noise_photo(90, 150)
    prediction = petseg.load(tiny_model).predict(photo)
    assert prediction.mask.shape == (90, 150)
    assert prediction.mask.dtype == np.uint8
    assert prediction.network_probabilities.shape == (32, 32, 3)
    assert prediction.probabilities.shape == (90, 150, 3)
    np.testing.assert_allclose(prediction.probabilities.sum(-1), 1, atol=1e-5)
    assert sum(prediction.shares.values()) == pytest.approx(1)
    assert prediction.shares["border"] == pytest.approx(np.mean(prediction.mask == 2))


def test_with_tta_flip_a_mirrored_photo_gets_the_mirrored_prediction(tiny_model):
    predictor, photo = petseg.load(tiny_model, tta_flip=True), noise_photo(64, 64)
    mirrored = predictor.predict(np.ascontiguousarray(photo[:, ::-1])).network_probabilities
    straight = predictor.predict(photo).network_probabilities
    np.testing.assert_allclose(straight[:, ::-1], mirrored, atol=1e-5)
    assert not np.allclose(straight, petseg.load(tiny_model).predict(photo).network_probabilities)


def kinds_of_photos():
    """Pillow images of each kind, and the RGB pixels that a viewer shows."""
    rgb = Image.fromarray(noise_photo(60, 80))
    gray = np.asarray(rgb.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: rotate by 90 degrees clockwise
    rotated = Image.fromarray(np.rot90(np.asarray(rgb)))
    rotated.info["exif"] = exif.tobytes()
    with_alpha = Image.merge("RGBA", [*rgb.split(), Image.new("L", rgb.size, 9)])
    return {
        "RGB": (rgb, np.asarray(rgb)),
        "gray": (rgb.convert("L"), np.stack([gray] * 3, -1)),
        "16 bits": (Image.fromarray(gray.astype(np.uint16) << 8), np.stack([gray] * 3, -1)),
        "palette": (rgb.quantize(20), np.asarray(rgb.quantize(20).convert("RGB"))),
        "alpha": (with_alpha, np.asarray(rgb)),
        "EXIF orientation": (rotated, np.asarray(rgb)),
        "one pixel": (rgb.crop((0, 0, 1, 1)), np.asarray(rgb)[:1, :1]),
    }


@pytest.mark.parametrize("kind", kinds_of_photos())
def test_a_photo_may_be_a_path_a_string_an_image_or_an_array(tmp_path, kind):
    image, pixels = kinds_of_photos()[kind]
    image.save(tmp_path / "photo.png", exif=image.info.get("exif", b""))
    expected = PREDICTOR.predict(pixels)
    for photo in (tmp_path / "photo.png", str(tmp_path / "photo.png"), image):
        prediction = PREDICTOR.predict(photo)
        np.testing.assert_array_equal(
            prediction.network_probabilities, expected.network_probabilities
        )
        assert prediction.mask.shape == pixels.shape[:2]


def test_anything_else_is_rejected():
    with pytest.raises(
        PetsegError, match="The photo is a NoneType, but must be a path, a Pillow image or an array"
    ):
        PREDICTOR.predict(None)
    with pytest.raises(PetsegError, match="floating-point"):
        PREDICTOR.predict(Image.new("F", (4, 4)))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((4, 4), np.uint8), ((4, 4, 4), np.uint8), ((4, 4, 3), float), ((0, 4, 3), np.uint8)],
    ids=["gray", "RGBA", "float", "empty"],
)
def test_an_array_that_is_not_rgb_is_rejected(shape, dtype):
    with pytest.raises(PetsegError, match=r"but must be RGB: uint8, \(height, width, 3\)"):
        PREDICTOR.predict(np.zeros(shape, dtype))


def test_a_batch_gives_the_same_predictions_as_single_photos():
    photos = [noise_photo(64, 64), noise_photo(100, 40), noise_photo(33, 70)]
    for photo, in_batch in zip(photos, PREDICTOR.predict_batch(photos), strict=True):
        single = PREDICTOR.predict(photo)
        np.testing.assert_allclose(
            single.network_probabilities, in_batch.network_probabilities, atol=1e-5
        )
        assert in_batch.mask.shape == photo.shape[:2]
    assert PREDICTOR.predict_batch([]) == []


def test_the_windows_of_a_model_trained_on_centers_are_predicted_a_few_at_a_time():
    batches = []

    def predict_fn(images):
        batches.append(len(images))
        return predict_from_brightness(images)

    predictor = Predictor(predict_fn, TRIMAP, SIZE, resize="crop")
    photos = [noise_photo(40, 300), noise_photo(300, 40), noise_photo(32, 32)]
    for photo, prediction in zip(photos, predictor.predict_batch(photos), strict=True):
        expected = Predictor(predict_from_brightness, TRIMAP, SIZE, resize="crop").predict(photo)
        np.testing.assert_array_equal(prediction.mask, expected.mask)
    assert max(batches) <= 16 < sum(batches)


@pytest.mark.parametrize("shape", [(100, 75), (32, 32), (20, 90), (5, 7)])
def test_a_model_with_tiles_predicts_windows_and_blends_them(shape):
    """The predictor looks at single pixels, so windows change nothing."""
    tiles = Tiles(size=32, overlap=8)
    photo = noise_photo(*shape)
    expected = predict_from_brightness(photo[None])[0]
    tiled = Predictor(predict_from_brightness, TRIMAP, SIZE, tiles=tiles)
    [prediction] = tiled.predict_batch([photo], with_alpha=True)
    assert prediction.mask.shape == shape
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    clear = np.abs(expected[..., 0] - 0.5) > 1e-5
    np.testing.assert_array_equal(prediction.mask[clear], expected.argmax(-1)[clear])
    alpha = 255 * expected[..., 0]
    assert np.abs(prediction.alpha - alpha).max() <= 1
    assert sum(prediction.shares.values()) == pytest.approx(1)
    cut = np.asarray(cutout(Image.fromarray(photo), prediction))
    np.testing.assert_array_equal(cut[..., 3], prediction.alpha)


def test_alpha_is_computed_only_when_it_is_wanted(monkeypatch):
    sizes, original = [], prediction_module.alpha_of

    def alpha_of(probabilities, classes):
        sizes.append(probabilities.shape[:2])
        return original(probabilities, classes)

    monkeypatch.setattr(prediction_module, "alpha_of", alpha_of)
    tiled = Predictor(predict_from_brightness, TRIMAP, SIZE, tiles=Tiles(size=32, overlap=8))
    photo = noise_photo(40, 30)
    prediction = tiled.predict(photo)
    assert prediction.mask.shape == (40, 30)
    assert not sizes
    [at_once] = tiled.predict_batch([photo], with_alpha=True)
    num_blocks = len(sizes)
    assert num_blocks > 0
    np.testing.assert_array_equal(at_once.alpha, prediction.alpha)
    assert len(sizes) == 2 * num_blocks  # in a second pass, for the first prediction alone


def test_a_model_with_tiles_says_so_and_takes_larger_photos(tiny_model, tmp_path):
    saved = load_model(tiny_model)
    save_model(replace(saved, tiles=TILES), tmp_path / "model")
    plain, tiled = petseg.load(tiny_model), petseg.load(tmp_path / "model")
    assert (plain.tiles, tiled.tiles) == (None, TILES)
    assert (plain.max_pixels, tiled.max_pixels) == (89_478_485, 2**29)
    info = model_info(tmp_path / "model")
    assert info["model"]["tiles"] == "32 px (overlap 8)"
    assert info["origin"]["val_tile_mean_iou"] == saved.origin.val_mean_iou
    assert "val_mean_iou" not in info["origin"]
    assert "tiles" not in (tiny_model / "model.json").read_text()


@pytest.mark.parametrize("size", [(300, 20), (20, 300), (700, 511), (64, 64), (17, 9)])
def test_the_mask_matches_the_one_that_evaluate_counts(size):
    """Pillow resizes in bands of rows, TensorFlow at once; near ties between classes may differ."""
    probabilities = random_probabilities(64)
    mask = PhotoPrediction(probabilities, (size[1], size[0]), TRIMAP).mask
    antialias = min(size) < 64
    resized = tf.image.resize(probabilities, size, method="bilinear", antialias=antialias).numpy()
    ordered = np.sort(resized, -1)
    clear = ordered[..., -1] - ordered[..., -2] > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(mask[clear], resized.argmax(-1)[clear])


def test_a_mask_computed_in_bands_has_no_seams():
    prediction = PhotoPrediction(random_probabilities(32), (40, 1000), TRIMAP)
    np.testing.assert_array_equal(prediction.mask, prediction.probabilities.argmax(-1))
