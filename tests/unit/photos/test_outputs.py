"""The mask, overlay and cutout of a photo."""

import io

import numpy as np
from PIL import Image

from petseg.core.labels import colors_of
from petseg.photos.outputs import cutout, mask_image, overlay
from petseg.photos.prediction import PhotoPrediction
from support.predictors import TRIMAP, noise_photo


def pet_in_the_middle(classes=TRIMAP):
    """A prediction for a photo of 30 x 30: a pet in the middle, a border around it, background outside."""
    mask = np.ones((30, 30), int)
    mask[8:22, 8:22] = 2
    mask[10:20, 10:20] = 0
    probabilities = 0.98 * np.eye(3, dtype=np.float32)[mask] + 0.02 / 3
    return PhotoPrediction(probabilities, (30, 30), classes), Image.fromarray(noise_photo(30, 30))


def test_a_mask_holds_class_indices_and_shows_their_colors():
    prediction, _ = pet_in_the_middle()
    content = io.BytesIO()
    mask_image(prediction).save(content, "PNG")
    with Image.open(content) as read:
        np.testing.assert_array_equal(np.asarray(read), prediction.mask)
        assert read.convert("RGB").getpixel((15, 15)) == TRIMAP["pet"]
        assert read.convert("RGB").getpixel((0, 0)) == TRIMAP["background"]


def test_an_overlay_blends_in_the_colors_and_keeps_the_background():
    prediction, photo = pet_in_the_middle()
    blended, pixels = np.asarray(overlay(photo, prediction)), np.asarray(photo)
    background = prediction.mask == 1
    np.testing.assert_array_equal(blended[background], pixels[background])
    for index, name in ((0, "pet"), (2, "border")):
        expected = 0.45 * pixels[prediction.mask == index] + 0.55 * np.array(TRIMAP[name])
        assert np.abs(blended[prediction.mask == index] - expected).max() <= 2


def test_an_overlay_drawn_in_parts_has_no_seams(monkeypatch):
    prediction, photo = pet_in_the_middle()
    whole = np.asarray(overlay(photo, prediction))
    monkeypatch.setattr("petseg.photos.outputs._PIXELS_AT_ONCE", 7 * 30)
    np.testing.assert_array_equal(np.asarray(overlay(photo, prediction)), whole)


def test_a_cutout_keeps_the_pet_and_ends_within_the_border():
    prediction, photo = pet_in_the_middle()
    cut = np.asarray(cutout(photo, prediction))
    np.testing.assert_array_equal(cut[..., :3], np.asarray(photo))
    assert cut[15, 15, 3] > 250
    assert cut[0, 0, 3] < 5
    assert 100 < cut[9, 15, 3] < 156  # in the border, pet and background are equally probable


def test_there_is_no_cutout_without_a_background_class():
    prediction, photo = pet_in_the_middle(colors_of(("cat", "dog", "sofa")))
    assert cutout(photo, prediction) is None


def test_a_class_of_the_users_own_called_border_is_cut_out():
    prediction, photo = pet_in_the_middle(colors_of(("cat", "background", "border", "sofa")))
    probabilities = np.pad(prediction.network_probabilities, [(0, 0), (0, 0), (0, 1)])
    own = PhotoPrediction(probabilities, prediction.size, prediction.classes)
    assert np.asarray(cutout(photo, own))[9, 15, 3] > 250
