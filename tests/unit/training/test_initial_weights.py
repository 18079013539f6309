"""Starting a training from a model that was trained before."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.model.saved import load_model, save_model
from petseg.model.unet import build_unet
from petseg.pretrained import pretrained_folder
from petseg.training import train as train_module
from petseg.training.initial_weights import (
    MAY_HAVE_SEEN,
    NOT_KNOWN,
    describe_start,
    identifying_file,
    load_initial_weights,
)
from support.models import SMALL_ARCHITECTURE, empty_manifest
from support.robustness import matches
from support.training import change_params

pytestmark = pytest.mark.usefixtures("small_encoder")

SECTION = "Models"
CASES = {
    "a starting model with another network": "model.weights is 'start', a network with alpha 0.35, decoder_filters [8,8,8,8], but the parameters say alpha 0.5, decoder_filters [8,8]; add -S 'model.alpha=0.35' -S 'model.decoder_filters=[8,8,8,8]', or start from another model.",
    "a starting model that is damaged": "start/model.weights.h5 is missing or not the file that start/model.json names (sha256 differs); copy it again, or choose another model.",
    "a file of a starting model instead of its folder": "model.weights is 'start/model.weights.h5', a file of a trained model; set it to the folder, 'start'.",
}  # fmt: skip


@pytest.fixture
def start(tiny_model, tmp_path):
    """A copy of a trained model."""
    return shutil.copytree(tiny_model, tmp_path / "start")


def fresh(architecture=SMALL_ARCHITECTURE):
    keras.utils.set_random_seed(5)
    return build_unet(architecture)


def weights_by_layer(network):
    return {
        layer.name: [np.asarray(weight) for weight in layer.weights]
        for layer in network.layers
        if layer.weights
    }


def equal_layers(one, other):
    """The layers whose weights are the same in both networks."""
    found = weights_by_layer(other)
    return {
        name
        for name, arrays in weights_by_layer(one).items()
        if all(itertools.starmap(np.array_equal, zip(arrays, found[name], strict=True)))
    }


def test_with_the_same_classes_all_weights_are_taken_over(start):
    saved, network = load_model(start), fresh()
    loaded = load_initial_weights(network, SMALL_ARCHITECTURE, saved.class_names, str(start))
    assert equal_layers(network, saved.network) == set(weights_by_layer(network))
    assert loaded.sha256 == sha256_of(start / "model.weights.h5")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ((), ""),
        (("val",), "validation"),
        (("test",), "test"),
        (("val", "test"), "validation and test"),
    ],
)
def test_a_model_that_may_have_seen_the_images_is_reported(start, tmp_path, changed, said):
    saved = load_model(start)
    manifest = empty_manifest(*saved.class_names)
    checksums = {
        f"{split}_sha256": "0" * 64 if split in changed else manifest.checksum(split)
        for split in ("val", "test")
    }
    origin = saved.origin.model_copy(update=checksums)
    save_model(replace(saved, origin=origin), tmp_path / "other")
    expected = f"Starting with the encoder and decoder of {tmp_path / 'other'}, and head."
    if said:
        expected += f"\n{MAY_HAVE_SEEN.format(said, said)}"
    assert described(tmp_path / "other", manifest) == expected


def described(folder, manifest):
    names = manifest.class_names
    return describe_start(
        load_initial_weights(fresh(), SMALL_ARCHITECTURE, names, str(folder)), manifest
    )


@pytest.mark.parametrize("unknown", ["test", "validation and test"])
def test_a_model_whose_images_are_not_known_may_have_seen_these(start, tmp_path, unknown):
    saved = load_model(start)
    manifest = empty_manifest(*saved.class_names)
    known = {"val_sha256": manifest.checksum("val"), "test_sha256": None}
    origin = saved.origin.model_copy(update=known) if unknown == "test" else None
    save_model(replace(saved, origin=origin), tmp_path / "other")
    expected = MAY_HAVE_SEEN.format(unknown, unknown) + NOT_KNOWN.format(unknown)
    assert described(tmp_path / "other", manifest).endswith(f"\n{expected}")


@pytest.mark.parametrize("names", [("border", "background", "pet"), ("background", "cat")])
def test_with_other_classes_the_head_is_random(start, names):
    architecture = replace(SMALL_ARCHITECTURE, classes=len(names))
    untrained, network = fresh(architecture), fresh(architecture)
    loaded = load_initial_weights(network, architecture, names, str(start))
    assert "head" in equal_layers(network, untrained)
    taken = equal_layers(network, load_model(start).network)
    assert taken == set(weights_by_layer(network)) - {"head"}
    said = describe_start(loaded, empty_manifest(*names))
    assert said.endswith("not its head, which is for pet, background, border.")


def raised_for(start, tmp_path, weights, architecture=SMALL_ARCHITECTURE):
    with pytest.raises(PetsegError) as caught:
        load_initial_weights(fresh(architecture), architecture, ("a", "b", "c"), str(weights))
    return str(caught.value).replace(str(start), "start")


def test_another_network_is_an_error_that_names_both(start, tmp_path):
    other = replace(SMALL_ARCHITECTURE, alpha=0.5, decoder_filters=(8, 8))
    message = raised_for(start, tmp_path, start, other)
    assert message == CASES["a starting model with another network"]


def test_a_damaged_model_is_an_error(start, tmp_path):
    (start / "model.weights.h5").write_bytes(b"x")
    message = raised_for(start, tmp_path, start)
    assert matches(CASES["a starting model that is damaged"], message, tmp_path)


def test_a_file_of_the_model_is_an_error_that_names_the_folder(start, tmp_path):
    message = raised_for(start, tmp_path, start / "model.weights.h5")
    assert message == CASES["a file of a starting model instead of its folder"]


@pytest.fixture
def params(start, tiny_params):
    """Those of a training that changes nothing visible in the weights."""
    return change_params(
        tiny_params, model__weights=str(start), train__epochs=1, train__learning_rate=1e-9
    )


def test_the_trained_model_says_where_it_started(start, params, tiny_shards, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    paths = replace(PipelinePaths.under(tmp_path), shards=tiny_shards)
    train_module.train(params, paths)
    trained, source = load_model(paths.model), load_model(start)
    assert trained.origin.initial_weights_sha256 == sha256_of(start / "model.weights.h5")
    kernels = (model.network.get_layer("head").get_weights()[0] for model in (trained, source))
    np.testing.assert_allclose(*kernels, atol=1e-4)


def test_what_identifies_weights_is_a_file_unless_they_never_change(start):
    assert identifying_file("none") is identifying_file("imagenet") is None
    assert identifying_file("pets") == pretrained_folder("pets") / "weights.json"
    assert identifying_file(str(start)) == start / "model.json"
    assert identifying_file("encoder.h5") == Path("encoder.h5")


def test_another_model_at_the_same_path_has_other_checkpoints(
    start, params, tiny_shards, tmp_path, monkeypatch
):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    before = train_module._checkpoint_dir(params, tiny_shards, "environment")
    assert train_module._checkpoint_dir(params, tiny_shards, "environment") == before
    save_model(replace(load_model(start), network=fresh()), start)
    assert train_module._checkpoint_dir(params, tiny_shards, "environment") != before
