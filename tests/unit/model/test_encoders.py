"""The encoders besides MobileNetV2, whose tests are in test_unet.py and test_encoder_weights.py.

Those of EfficientNet-Lite's weights are in test_efficientnet_lite.py.
"""

import keras
import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.labels import colors_of
from petseg.model.encoder import ENCODERS, build_encoder, load_encoder_weights
from petseg.model.folding import batch_norm_of
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet, convolutions

KERAS = {
    "mobilenet_v3_large": keras.applications.MobileNetV3Large,
    "efficientnet_v2_b0": keras.applications.EfficientNetV2B0,
}
WEIGHTS = {
    "mobilenet_v3_large": "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    "efficientnet_v2_b0": "efficientnetv2-b0_notop.h5",
}
CHANNELS = {
    "mobilenet_v3_large": (64, 72, 240, 672, 960),
    "efficientnet_v2_b0": (16, 32, 192, 672, 1280),
    "efficientnet_lite0": (96, 144, 240, 672, 1280),
    "efficientnet_lite2": (96, 144, 288, 720, 1280),
}


def images(height, width):
    return np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


@pytest.fixture(scope="module", params=CHANNELS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def network(name):
    return build_unet(Architecture(name, 1.0, (8, 8), 3))


def test_the_features_have_five_strides(name):
    features = build_encoder(name, 1.0)(images(64, 96))
    sizes = ((32, 48), (16, 24), (8, 12), (4, 6), (2, 3))
    expected = [(1, *size, n) for size, n in zip(sizes, CHANNELS[name], strict=True)]
    assert [tuple(f.shape) for f in features] == expected


@pytest.mark.parametrize("name", KERAS)
def test_the_encoder_equals_keras_own_with_its_weights(name, tmp_path):
    """Keras's scales the images itself."""
    network = build_unet(Architecture(name, 1.0, (8, 8), 3))
    keras.utils.set_random_seed(1)
    original = KERAS[name](input_shape=(64, 96, 3), include_top=False, weights=None)
    rng = np.random.default_rng(2)
    for weight in original.weights:
        if "moving" in weight.path:
            weight.assign(weight + 0.1 * rng.uniform(size=weight.shape))
    path = tmp_path / "original.weights.h5"
    original.save_weights(path)

    encoder = network.get_layer("encoder")
    load_encoder_weights(encoder, name, 1.0, str(path))
    assert encoder.count_params() == original.count_params()
    scaled = network.get_layer("scale")(images(64, 96))
    found, expected = encoder(scaled)[-1], original(images(64, 96), training=False)
    assert np.std(expected) > 0.001
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_an_encoder_cut_at_stride_16_ends_with_the_fourth_feature(name):
    encoder = build_encoder(name, 1.0, 16)
    assert [output.shape[-1] for output in encoder.outputs] == list(CHANNELS[name][:4])


@pytest.mark.parametrize("name", KERAS)
def test_imagenet_downloads_the_weights_that_keras_publishes(name, monkeypatch):
    """Keras's module for an encoder says from where."""
    asked = []

    def refuse(file_name, url, **options):
        asked.append(file_name)
        raise OSError("no network")

    module = KERAS[name].__module__
    monkeypatch.setattr(f"{module}.file_utils.get_file", refuse)
    with pytest.raises(PetsegError, match=r"model\.weights is imagenet, but .*no network"):
        load_encoder_weights(build_encoder(name, 1.0), name, 1.0, "imagenet")
    assert asked == [WEIGHTS[name]]


def test_a_saved_model_predicts_the_same(name, network, tmp_path):
    architecture = Architecture(name, 1.0, (8, 8), 3)
    size = ImageSize(64, 96)
    classes = colors_of(("pet", "background", "border"))
    save_model(SavedModel(network, architecture, classes, size), tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.architecture == architecture
    expected = network(images(64, 96), training=False)
    assert np.array_equal(loaded.network(images(64, 96), training=False), expected)


def test_two_networks_have_the_same_names(name):
    """Exported files contain the names of the layers."""
    first, second = (build_encoder(name, 1.0) for _ in range(2))
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]


def test_stochastic_depth_is_off():
    network = build_unet(Architecture("efficientnet_v2_b0", 1.0, (8, 8), 3))
    first, second = (network(images(64, 64), training=True).numpy() for _ in range(2))
    assert np.array_equal(first, second)


def test_every_batch_norm_is_folded_into_a_convolution(network):
    folded = [conv for conv in convolutions(network) if batch_norm_of(conv)]
    assert len(folded) == sum("moving_mean" in weight.path for weight in network.weights)


def test_every_encoder_is_tested():
    assert set(ENCODERS) == {"mobilenet_v2", *CHANNELS}
