"""The SavedModel for TensorFlow Serving: its signatures give what petseg.load gives."""

import io
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.labels import colors_of
from petseg.exporting.convert import convert
from petseg.exporting.saved_model import convert_to_saved_model
from petseg.exporting.saved_model_process import saved_model_predict_fn
from petseg.exporting.serving_graph import _decode
from petseg.model.saved import SavedModel
from petseg.photos.predictor import Predictor
from petseg.prediction.predict import keras_predict_fn
from support.models import SMALL_ARCHITECTURE, build_decided_network
from support.predictors import noise_photo
from support.tiles import TILES

CLASSES = colors_of(("pet", "background", "border"))
SIZE = ImageSize(32, 64)


def saved_model(resize="stretch"):
    return SavedModel(build_decided_network(), SMALL_ARCHITECTURE, CLASSES, SIZE, resize=resize)


def loaded(contents, folder):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return tf.saved_model.load(str(folder / "1")).signatures


def encoded(pixels, kind="PNG", orientation=1):
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.fixture(scope="module", params=["stretch", "letterbox"])
def model(request, tmp_path_factory):
    """The signatures of a SavedModel, and petseg's predictor of the same network."""
    from support.encoders import small_encoder

    with small_encoder():
        saved = saved_model(request.param)
    signatures = loaded(convert_to_saved_model(saved), tmp_path_factory.mktemp("saved_model"))
    predict = keras_predict_fn(saved.network, SIZE)
    return signatures, Predictor(predict, CLASSES, SIZE, resize=request.param)


def test_files_of_any_size_give_masks_of_their_size(model):
    signatures, predictor = model
    photos = [noise_photo(90, 50), noise_photo(20, 30), noise_photo(64, 128)]
    files = tf.constant([encoded(photo) for photo in photos])
    outputs = signatures["serving_default"](image_bytes=files)
    assert outputs["probabilities"].shape == (3, *SIZE, 3)
    for photo, mask_bytes in zip(photos, outputs["mask_bytes"].numpy(), strict=True):
        mask, expected = (
            np.asarray(Image.open(io.BytesIO(mask_bytes))),
            predictor.predict(photo).mask,
        )
        assert mask.shape == photo.shape[:2]
        assert len(np.unique(expected)) > 1
        assert (mask == expected).mean() > 0.99
    alone = signatures["mask"](image_bytes=files)
    assert list(alone) == ["mask_bytes"]
    assert alone["mask_bytes"].numpy().tolist() == outputs["mask_bytes"].numpy().tolist()


def test_images_give_masks_of_their_size(model):
    signatures, predictor = model
    photos = np.stack([noise_photo(40, 30), noise_photo(40, 30)[::-1]])
    outputs = signatures["images"](image=tf.constant(photos))
    assert (outputs["mask"].dtype, outputs["mask"].shape) == (tf.uint8, (2, 40, 30))
    for photo, mask in zip(photos, outputs["mask"].numpy(), strict=True):
        assert (mask == predictor.predict(photo).mask).mean() > 0.99


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation):
    file = encoded(noise_photo(24, 40), "JPEG", orientation)
    jfif = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"  # many programs put it first
    for data in (file, file[:2] + jfif + file[2:]):
        expected = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        np.testing.assert_array_equal(_decode(tf.constant(data)).numpy(), np.asarray(expected))


def test_the_same_weights_give_the_same_bytes(small_encoder):
    saved = saved_model()
    first, second = convert_to_saved_model(saved), convert_to_saved_model(saved)
    assert [*first] == [
        "1/saved_model.pb",
        "1/variables/variables.data-00000-of-00001",
        "1/variables/variables.index",
    ]
    assert first == second


@pytest.mark.parametrize("change", [{"resize": "crop"}, {"tiles": TILES}])
def test_a_network_that_sees_windows_is_refused(small_encoder, change):
    with pytest.raises(PetsegError, match=r"several windows, .* remove saved_model from"):
        convert(replace(saved_model(), **change), "saved_model", [])


def test_a_server_that_fails_is_a_petseg_error(tmp_path, monkeypatch):
    program = "raise OSError('SavedModel file does not exist')"
    monkeypatch.setattr("petseg.exporting.saved_model_process._PROGRAM", program)
    with (
        pytest.raises(PetsegError, match=r"can't be run \(OSError: SavedModel file does not exist"),
        saved_model_predict_fn(tmp_path) as predict,
    ):
        predict(np.zeros((1, 32, 32, 3), np.uint8))


def test_a_server_that_ends_within_its_answer_is_an_error(tmp_path, monkeypatch):
    program = """
import pickle, sys
pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(bytes(1000))[:500])
sys.exit("out of memory")
"""
    monkeypatch.setattr("petseg.exporting.saved_model_process._PROGRAM", program)
    with (
        pytest.raises(
            PetsegError,
            match=r"can't be run \(out of memory\); run dvc repro export again, or remove",
        ),
        saved_model_predict_fn(tmp_path) as predict,
    ):
        predict(np.zeros((1, 32, 32, 3), np.uint8))
