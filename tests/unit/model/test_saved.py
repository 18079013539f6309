"""Saving a model and loading it again."""

import dataclasses
import io

import h5py
import keras
import numpy as np
import pytest

from petseg.core.geometry import ImageSize
from petseg.core.labels import colors_of
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from support.encoders import small_encoder

SIZE = ImageSize(64, 96)
TINY = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 4)
CLASSES = colors_of(("a", "b", "background", "d"))
X = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)


@pytest.fixture
def tiny():
    keras.utils.set_random_seed(0)
    with small_encoder():
        yield SavedModel(build_unet(TINY), TINY, CLASSES, SIZE)


def assert_loads_again(saved, folder):
    save_model(saved, folder)
    loaded = load_model(folder)
    assert (loaded.architecture, loaded.classes, loaded.image_size) == (
        saved.architecture,
        CLASSES,
        SIZE,
    )
    assert np.array_equal(loaded.network(X, training=False), saved.network(X, training=False))


def test_a_saved_mobilenet_v2_predicts_the_same(tmp_path):
    assert_loads_again(SavedModel(build_unet(TINY), TINY, CLASSES, SIZE), tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["model.json", "model.weights.h5"]


def test_every_field_of_the_architecture_survives(tiny, tmp_path):
    architecture = dataclasses.replace(
        TINY, decoder_filters=(8, 12), input_upsampling=2, output_stride=16, alpha=0.5
    )
    saved = dataclasses.replace(tiny, network=build_unet(architecture), architecture=architecture)
    assert_loads_again(saved, tmp_path / "model")


def test_the_same_weights_give_the_same_bytes(tiny, tmp_path):
    save_model(tiny, tmp_path / "one")
    again = build_unet(TINY)
    again.set_weights(tiny.network.get_weights())
    save_model(dataclasses.replace(tiny, network=again), tmp_path / "two")
    for file in ("model.json", "model.weights.h5"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_hdf5_never_writes_to_disk(tiny, tmp_path, monkeypatch):
    """On a full disk HDF5 corrupts its own memory, and the process crashes at some later moment."""
    opened = []
    original = h5py.File

    def spy(name, *args, **kwargs):
        opened.append(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(h5py, "File", spy)
    save_model(tiny, tmp_path / "model")
    assert opened
    assert all(isinstance(name, io.BytesIO) for name in opened)
