"""Predictions of a split, compared with the network called by hand."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from petseg.batches import example_batches
from petseg.config.params import parse_params
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize, place
from petseg.datasets.prepare import prepare_dataset
from petseg.metrics import count_labels
from petseg.model.saved import SavedModel, load_model
from petseg.model.unet import Architecture
from petseg.prediction import predict
from petseg.prediction.predict import check_model_fits, keras_predict_fn, predict_split
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import open_shards, read_manifest
from support.datasets import save
from support.project import with_values


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
    prediction = next(predict_split(saved, tiny_shards, manifest, "test", 3, resolution="original"))
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


@pytest.mark.parametrize("num_classes", [2, 3, 20])
@pytest.mark.parametrize("size", [(317, 500), (50, 64), (96, 80)])
def test_one_class_is_resized_after_the_other_with_the_same_result(monkeypatch, num_classes, size):
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([0.3] * num_classes, (96, 80)).astype(np.float32)
    probabilities[::2] = probabilities[::2].round(1)  # equal ones
    expected = tf.argmax(tf.image.resize(probabilities, size), -1).numpy()
    channels, resize = [], tf.image.resize

    def counting(image, *arguments, **options):
        channels.append(image.shape[-1])
        return resize(image, *arguments, **options)

    monkeypatch.setattr(tf.image, "resize", counting)
    predicted = predict._predict_at(tf.constant(probabilities), size)
    np.testing.assert_array_equal(predicted, expected)
    assert predicted.dtype == np.uint8
    assert channels == [1] * num_classes


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
    predict_fn = keras_predict_fn(saved.network, saved.image_size)
    images = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(predict_fn(images), probabilities_of(saved, images), atol=1e-5)
    np.testing.assert_allclose(predict_fn(images[:1]), predict_fn(images)[:1], atol=1e-5)


@pytest.fixture(scope="session")
def tall_photos(tiny_params, tmp_path_factory):
    """A prepared data set of dark images with a bright square each, of several shapes."""
    folder = tmp_path_factory.mktemp("tall")
    for number, shape in enumerate([(60, 40), (90, 40), (40, 90), (70, 70), (33, 97), (64, 64)]):
        mask = np.zeros(shape, np.uint8)
        mask[5:25, 8:30] = 1
        save(mask * 200 + 20, folder / "mine" / "images" / f"{number}.png")
        save(mask, folder / "mine" / "masks" / f"{number}.png")
    values = {
        "dataset.name": "folder",
        "dataset.folder.path": str(folder / "mine"),
        "dataset.folder.classes": ["background", "square"],
        "dataset.folder.test_fraction": 0.5,
        "preprocess.val_fraction": 0.4,
        "preprocess.image_size": [96, 64],
    }
    params = parse_params(with_values(tiny_params.model_dump(mode="json"), values))
    prepare_dataset(params.dataset, folder / "raw", folder)
    return params.preprocess, folder


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("resolution", ["model", "original", 80])
def test_predictions_are_compared_where_the_images_were(
    tall_photos, monkeypatch, resize, resolution
):
    """The network is replaced by one that tells bright from dark."""
    settings, folder = tall_photos
    settings, shards = settings.model_copy(update={"resize": resize}), folder / resize
    if not shards.exists():
        preprocess(settings, 0, folder / "raw", shards)
    manifest = read_manifest(shards)

    def forward(images):
        bright = tf.cast(images[..., :1], tf.float32) / 255
        return tf.concat([1 - bright, bright], -1)

    monkeypatch.setattr(predict, "_trace_forward", lambda *args: forward)
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8), 2)
    saved = SavedModel(None, architecture, manifest.classes, settings.image_size, None, resize)
    predictions = [
        prediction
        for split in manifest.splits
        if split != "train"
        for prediction in predict_split(saved, shards, manifest, split, 2, resolution=resolution)
    ]
    assert predictions
    for prediction in predictions:
        number = int(prediction.file_name.split(".")[0])
        original = np.asarray(Image.open(folder / "mine" / "masks" / f"{number}.png"))
        source, target = place(*original.shape, settings.image_size, resize)
        expected = original[source.slices]
        if resolution == 80:
            small = Image.fromarray(expected).resize((80, 80), Image.Resampling.NEAREST)
            np.testing.assert_array_equal(prediction.mask, np.asarray(small))
        elif resolution == "original":
            np.testing.assert_array_equal(prediction.mask, expected)
        else:
            assert prediction.mask.shape == prediction.image.shape[:2] == target[2:]
            assert 255 not in prediction.mask
        assert prediction.predicted.shape == prediction.mask.shape
        assert np.mean(prediction.predicted == prediction.mask) > 0.96, prediction.file_name


def test_a_model_for_other_data_is_rejected(saved, manifest, tiny_shards):
    other = type(saved)(saved.network, saved.architecture, saved.classes, ImageSize(64, 64))
    with pytest.raises(
        PetsegError,
        match=r"was trained for pet, background, border at 64 px, but the shards hold .* at 32 px",
    ):
        check_model_fits(other, manifest)
    with pytest.raises(PetsegError, match=r"run dvc repro\.$"):
        next(predict_split(other, tiny_shards, manifest, "test", 8))
