import dataclasses
import io

import h5py
import keras
import numpy as np
import pytest

from petseg.core.errors import PetsegError
from petseg.core.labels import colors_of
from petseg.model.encoder import build_encoder, load_encoder_weights, set_encoder_trainable
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet

SMALL = Architecture("mobilenet_v2", 0.35, (64, 48, 32, 24, 16), 3)
LARGE = Architecture("mobilenet_v2", 1.0, (256, 192, 128, 64, 32), 3)
TINY = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 4)


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(0)
    return SavedModel(build_unet(TINY), TINY, colors_of(("a", "b", "background", "d")), 64)


def images(size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, *size, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("architecture", "parameters"), [(SMALL, 539_235), (LARGE, 3_097_363)], ids=["small", "large"]
)
def test_the_network_has_exactly_so_many_parameters(architecture, parameters):
    assert build_unet(architecture).count_params() == parameters


@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_logits_have_the_image_s_size(tiny, size):
    logits = tiny.network(images(size), training=False)
    assert logits.shape == (2, *size, 4)
    assert logits.dtype == "float32"


VARIANTS = {
    "full convolutions": {"decoder": "full"},
    "transposed convolutions": {"decoder": "transposed"},
    "context": {"context": "aspp"},
    "attention": {"attention": True},
    "no block at full size": {"decoder_filters": (8, 8, 8, 8)},
    "an encoder cut at stride 16": {"output_stride": 16, "decoder_filters": (8, 8, 8, 8)},
    "cut, and no block at full size": {"output_stride": 16, "decoder_filters": (8, 8)},
    "an image enlarged for the encoder": {"decoder_filters": (8, 8, 8, 8), "input_upsampling": 2},
    "enlarged, cut, and no block at full size": {"decoder_filters": (8, 8), "input_upsampling": 2, "output_stride": 16},
    "three blocks, and all together": {
        "decoder_filters": (8, 8, 8), "decoder": "full", "context": "aspp", "attention": True,
    },
}  # fmt: skip


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_kind_of_network_is_built_trained_and_saved(changes, tmp_path):
    architecture = dataclasses.replace(TINY, **changes)
    network = build_unet(architecture)
    assert network.count_params() != build_unet(TINY).count_params()
    assert network(images((64, 96)), training=True).shape == (2, 64, 96, 4)
    save_model(
        SavedModel(network, architecture, colors_of(("a", "b", "background", "d")), 64),
        tmp_path / "model",
    )
    back = load_model(tmp_path / "model")
    assert back.architecture == architecture
    assert np.array_equal(
        network(images((64, 64)), training=False), back.network(images((64, 64)), training=False)
    )


def test_the_encoder_gives_features_at_five_strides():
    features = build_encoder("mobilenet_v2", 0.35)(images((64, 96)))
    assert [tuple(f.shape[1:3]) for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_inputs_are_scaled_inside_as_the_weights_expect(tiny):
    scaled = tiny.network.get_layer("scale")(np.array([[[[0.0, 127.5, 255.0]]]], np.float32))
    assert np.allclose(scaled, [[[[-1, 0, 1]]]])


def test_frozen_batch_norms_stay_as_they_are_in_training():
    for batch_norm in (True, False):
        network = build_unet(TINY)
        encoder = network.get_layer("encoder")
        set_encoder_trainable(encoder, False, batch_norm)
        assert not encoder.trainable_variables
        set_encoder_trainable(encoder, True, batch_norm)
        assert any("gamma" in w.path for w in encoder.trainable_variables) == batch_norm
        assert any("kernel" in w.path for w in encoder.trainable_variables)
        statistics = [w for w in encoder.weights if "moving" in w.path]
        before = [w.numpy() for w in statistics]
        network(images((32, 32)), training=True)
        changed = [
            not np.array_equal(a, b.numpy()) for a, b in zip(before, statistics, strict=True)
        ]
        assert all(changed) if batch_norm else not any(changed)


def test_an_enlarged_image_gives_the_encoder_twice_the_size_and_the_mask_its_own():
    network = build_unet(
        dataclasses.replace(TINY, decoder_filters=(8, 8, 8, 8), input_upsampling=2)
    )
    assert network.get_layer("enlarge_image")(np.zeros((1, 32, 64, 3))).shape == (1, 64, 128, 3)
    assert network.get_layer("decoder_2_relu1").output.shape[-1] == 8
    assert network(images((32, 64))).shape == (2, 32, 64, 4)
    assert "input_upsampling" not in [
        layer.name for layer in network.layers
    ]  # the last block is as large as the mask


def test_a_saved_model_predicts_the_same(tiny, tmp_path):
    save_model(tiny, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.classes == tiny.classes
    assert loaded.image_size == 64
    x = images((64, 64))
    assert np.array_equal(loaded.network(x, training=False), tiny.network(x, training=False))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "model.weights.h5",
    ]


def test_the_same_weights_give_the_same_bytes(tiny, tmp_path):
    save_model(tiny, tmp_path / "one")
    again = build_unet(TINY)
    again.set_weights(tiny.network.get_weights())
    save_model(SavedModel(again, TINY, tiny.classes, tiny.image_size), tmp_path / "two")
    for file in ("model.json", "model.weights.h5"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_hdf5_writes_to_no_disk(tiny, tmp_path, monkeypatch):
    """If that were full, HDF5 would leave its memory damaged, and the process would crash at some later moment."""
    opened = []

    def spy(name, *args, **kwargs):
        opened.append(name)
        return of_hdf5(name, *args, **kwargs)

    of_hdf5 = h5py.File
    monkeypatch.setattr(h5py, "File", spy)
    save_model(tiny, tmp_path / "model")
    assert opened
    assert all(isinstance(name, io.BytesIO) for name in opened)


@pytest.mark.parametrize(
    "damage", ["no folder", "weights changed", "weights gone", "json cut", "format"]
)
def test_a_damaged_model_is_told(tiny, tmp_path, damage):
    folder = tmp_path / "model"
    if damage != "no folder":
        save_model(tiny, folder)
        weights, description = folder / "model.weights.h5", folder / "model.json"
        if damage == "weights changed":
            weights.write_bytes(weights.read_bytes()[:-1] + b"x")
        elif damage == "weights gone":
            weights.unlink()
        elif damage == "json cut":
            description.write_text(description.read_text()[:50])
        else:
            description.write_text(description.read_text().replace('"format": 4', '"format": 5'))
    with pytest.raises(PetsegError, match=r"model\.(json|weights\.h5) is"):
        load_model(folder)


def test_pretrained_weights_are_loaded_from_a_path(tmp_path):
    keras.utils.set_random_seed(1)
    pretrained = keras.applications.MobileNetV2(
        (96, 96, 3), alpha=0.35, include_top=False, weights=None
    )
    rng = np.random.default_rng(2)
    for weight in pretrained.weights:
        if "moving" in weight.path:  # else all batch norms would be alike
            weight.assign(weight + 0.1 * rng.uniform(size=weight.shape))
    pretrained.save_weights(tmp_path / "pretrained.weights.h5")
    encoder = build_encoder("mobilenet_v2", 0.35)
    load_encoder_weights(encoder, "mobilenet_v2", 0.35, str(tmp_path / "pretrained.weights.h5"))
    x = np.random.default_rng(0).uniform(-1, 1, (1, 96, 96, 3)).astype(np.float32)
    expected = pretrained(x, training=False)
    assert np.std(expected) > 0.001
    assert np.allclose(encoder(x, training=False)[-1], expected, atol=1e-6)
    cut = build_encoder("mobilenet_v2", 0.35, 16)
    load_encoder_weights(cut, "mobilenet_v2", 0.35, str(tmp_path / "pretrained.weights.h5"))
    assert len(cut(x)) == 4
    for a, b in zip(cut(x, training=False), encoder(x, training=False), strict=False):
        assert np.allclose(a, b, atol=1e-6)
    with pytest.raises(
        PetsegError, match=r"doesn't hold the weights of mobilenet_v2 with alpha 0\.5"
    ):
        load_encoder_weights(
            build_encoder("mobilenet_v2", 0.5),
            "mobilenet_v2",
            0.5,
            str(tmp_path / "pretrained.weights.h5"),
        )


def test_weights_that_are_no_weights_are_told(tmp_path):
    (tmp_path / "broken.h5").write_bytes(b"not HDF5")
    with pytest.raises(PetsegError, match=r"broken\.h5', which doesn't hold the weights"):
        load_encoder_weights(
            build_encoder("mobilenet_v2", 0.35), "mobilenet_v2", 0.35, str(tmp_path / "broken.h5")
        )


def test_imagenet_weights_without_a_network_are_told(monkeypatch):
    def unreachable(*args, **kwargs):
        raise Exception("URL fetch failure on https://example.org/weights.h5")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", unreachable)
    with pytest.raises(PetsegError, match=r"model\.weights is imagenet, but .* or to none"):
        load_encoder_weights(build_encoder("mobilenet_v2", 0.35), "mobilenet_v2", 0.35, "imagenet")
