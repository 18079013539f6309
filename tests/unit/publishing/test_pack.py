"""Making a pretrained model of a trained one, and reading its weights back."""

import shutil

import keras
import numpy as np
import pytest
from click.testing import CliRunner

from petseg.core.errors import PetsegError
from petseg.exporting.exported import read_exported
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import build_unet
from petseg.pretrained.weights import load_pretrained_weights, read_pretrained_weights
from petseg.publishing.pack import pack
from support.models import SMALL_ARCHITECTURE
from support.robustness import matches

SECTION = "Models"
CASES = {
    "a changed file of a pretrained model": "pets/batch_norms.npz is missing or changed (sha256 differs); install petseg again.",
    "a pretrained model of another model's int8 file": "unet_int8.tflite was not made of this model; run dvc repro export.",
}  # fmt: skip


def run_pack(*arguments):
    CliRunner().invoke(pack, list(map(str, arguments)), catch_exceptions=False)


@pytest.fixture
def packed(tiny_model, exported_run, tmp_path):
    run_pack(tiny_model, exported_run.exported, tmp_path / "pets")
    return tmp_path / "pets"


def unfolded(packed):
    keras.utils.set_random_seed(7)
    network = build_unet(SMALL_ARCHITECTURE)
    load_pretrained_weights(network, packed, read_pretrained_weights(packed))
    return network


def test_the_network_computes_what_the_trained_one_does(tiny_model, packed):
    trained, network = load_model(tiny_model).network, unfolded(packed)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    for training in (False, True):  # the batch norms' own weights matter in training alone
        expected = np.asarray(trained(images, training=training))
        found = np.asarray(network(images, training=training))
        assert np.abs(found - expected).mean() < 0.05 * np.abs(expected).mean(), training


def test_batch_norms_keep_their_statistics(tiny_model, packed):
    trained, network = load_model(tiny_model).network, unfolded(packed)
    for layer in trained.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            for ours, theirs in zip(
                network.get_layer(layer.name).weights, layer.weights, strict=True
            ):
                np.testing.assert_allclose(ours, theirs, atol=1e-2, err_msg=ours.path)


def test_it_is_described_like_any_exported_file(packed, exported_run):
    assert read_exported(packed / "unet_int8.tflite").classes
    names = {path.name for path in packed.iterdir()}
    assert names == {"exported.json", "unet_int8.tflite", "batch_norms.npz", "weights.json"}


def test_a_changed_file_is_an_error(packed, tmp_path):
    (packed / "batch_norms.npz").write_bytes(b"x")
    with pytest.raises(PetsegError) as caught:
        read_pretrained_weights(packed)
    assert matches(CASES["a changed file of a pretrained model"], str(caught.value), tmp_path)


def test_a_changed_int8_file_is_an_error_and_nothing_is_written(tiny_model, exported_run, tmp_path):
    exported = shutil.copytree(exported_run.exported, tmp_path / "exported")
    with (exported / "unet_int8.tflite").open("ab") as file:
        file.write(b"x")
    with pytest.raises(PetsegError, match="is not the file that"):
        run_pack(tiny_model, exported, tmp_path / "pets")
    assert not (tmp_path / "pets").exists()


def test_another_models_int8_file_is_an_error_and_nothing_is_written(
    tiny_model, exported_run, tmp_path
):
    saved = load_model(tiny_model)
    network = saved.network
    network.set_weights([weight + 1 for weight in network.get_weights()])
    other = SavedModel(network, saved.architecture, saved.classes, saved.image_size)
    save_model(other, tmp_path / "other")
    with pytest.raises(PetsegError) as caught:
        run_pack(tmp_path / "other", exported_run.exported, tmp_path / "pets")
    expected = CASES["a pretrained model of another model's int8 file"]
    assert matches(expected, str(caught.value), tmp_path)
    assert not (tmp_path / "pets").exists()
