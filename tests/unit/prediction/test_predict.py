"""Predictions of a split, compared with the network called by hand."""

import io

import keras
import numpy as np
import pytest
from PIL import Image

from petseg.batches import example_batches
from petseg.core.errors import PetsegError
from petseg.metrics import count_labels
from petseg.model.saved import load_model
from petseg.prediction.predict import check_model_fits, keras_predict_fn, predict_split
from petseg.shards.manifest import open_shards, read_manifest


@pytest.fixture
def saved(tiny_model):
    return load_model(tiny_model)


@pytest.fixture(scope="session")
def manifest(tiny_shards):
    return read_manifest(tiny_shards)


def probabilities_of(saved, images):
    logits = saved.network(images.astype(np.float32), training=False)
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def test_predictions_match_the_network_in_shard_order(saved, manifest, tiny_shards):
    predictions = list(predict_split(saved, tiny_shards, manifest, "test", 3))
    shards = open_shards(tiny_shards, manifest, "test")
    fields = next(iter(example_batches(shards, 100)))
    names = [name.decode() for name in fields["file_name"].numpy()]
    assert [prediction.file_name for prediction in predictions] == names
    probabilities = probabilities_of(saved, fields["image"].numpy())
    assert len(np.unique(probabilities.argmax(-1))) > 1
    for prediction, expected, mask in zip(
        predictions, probabilities.argmax(-1), fields["mask"].numpy(), strict=True
    ):
        assert np.mean(prediction.predicted == expected) > 0.99
        assert np.array_equal(prediction.mask, mask)
        assert np.array_equal(prediction.confusion, count_labels(mask, prediction.predicted, 3))


def test_at_the_original_size_the_original_mask_is_the_truth(saved, manifest, tiny_shards):
    prediction = next(predict_split(saved, tiny_shards, manifest, "test", 3, original_size=True))
    fields = next(iter(example_batches(open_shards(tiny_shards, manifest, "test"), 1)))
    png = fields["original_mask"][0].numpy()
    mask = np.asarray(Image.open(io.BytesIO(png))) - 1  # the labels of a trimap begin with 1
    assert np.array_equal(prediction.mask, mask)
    resized = keras.ops.image.resize(
        probabilities_of(saved, prediction.image[None]), (48, 48), interpolation="bilinear"
    )
    predicted = np.argmax(resized[0], -1)
    assert np.mean(prediction.predicted == predicted) > 0.99
    assert np.array_equal(prediction.confusion, count_labels(mask, prediction.predicted, 3))


@pytest.mark.parametrize("batch_size", [2, 32])
def test_selected_images_get_the_same_predictions_as_in_the_whole_split(
    saved, manifest, tiny_shards, batch_size
):
    """Most batches of two contain no selected image."""
    expected = list(predict_split(saved, tiny_shards, manifest, "test", 32))[5:7]
    names = {prediction.file_name for prediction in expected}
    selected = list(
        predict_split(saved, tiny_shards, manifest, "test", batch_size, file_names=names)
    )
    assert [prediction.file_name for prediction in selected] == [
        prediction.file_name for prediction in expected
    ]
    for a, b in zip(selected, expected, strict=True):
        assert np.mean(a.predicted == b.predicted) > 0.99


def test_the_predict_fn_returns_probabilities_for_batches_of_any_length(saved):
    predict = keras_predict_fn(saved.network, saved.image_size)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(predict(images), probabilities_of(saved, images), atol=1e-5)
    np.testing.assert_allclose(predict(images[:1]), predict(images)[:1], atol=1e-5)


def test_a_model_for_other_data_is_rejected(saved, manifest, tiny_shards):
    other = type(saved)(saved.network, saved.architecture, saved.classes, 64)
    with pytest.raises(
        PetsegError,
        match=r"was trained for pet, background, border at 64 px, but the shards hold .* at 32 px",
    ):
        check_model_fits(other, manifest)
    with pytest.raises(PetsegError, match=r"run dvc repro\.$"):
        next(predict_split(other, tiny_shards, manifest, "test", 8))
