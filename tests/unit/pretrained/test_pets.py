"""petseg's own model, on a photo of a cat whose mask was drawn by hand."""

import hashlib

import keras
import pytest

import petseg
from petseg.config.params import load_params
from petseg.core.errors import PetsegError
from petseg.exporting.convert import convert
from petseg.exporting.exported import FILE_NAMES, SourceModel, read_exported, write_exported
from petseg.model.saved import SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.pretrained import pretrained_folder
from petseg.pretrained.weights import read_pretrained_weights
from petseg.training.initial_weights import MAY_HAVE_SEEN, describe_start, load_initial_weights
from support.cat import MIN_IOU, PHOTO, cat_iou
from support.models import empty_manifest
from support.project import ROOT
from support.robustness import matches

SECTION = "Models"
CASES = {
    "petseg's own model as the start of another network": "model.weights is 'pets', a network with alpha 1.0, decoder_filters […], but the parameters say alpha 0.35, decoder_filters […]; add -S 'model.alpha=1.0' -S 'model.decoder_filters=[…]', or start from another model.",
}  # fmt: skip
FOLDER = pretrained_folder("pets")


def finds_the_cat(predictor):
    return cat_iou(predictor.predict(PHOTO).mask, list(predictor.classes)) > MIN_IOU


def start_from_pets(class_names=("pet", "background", "border")):
    """A network with petseg's own weights, and what the training reports."""
    description = read_pretrained_weights(FOLDER)
    architecture = Architecture(**description.architecture.model_dump(), classes=len(class_names))
    keras.utils.set_random_seed(3)
    network = build_unet(architecture)
    return network, architecture, load_initial_weights(network, architecture, class_names, "pets")


@pytest.fixture(scope="module")
def saved():
    network, architecture, _ = start_from_pets()
    exported = read_exported(FOLDER / "unet_int8.tflite")
    return SavedModel(network, architecture, exported.classes, exported.image_size)


def test_it_finds_the_cat():
    assert finds_the_cat(petseg.load("pets"))


def test_a_keras_model_with_its_weights_finds_the_cat(saved, tmp_path):
    save_model(saved, tmp_path / "model")
    assert finds_the_cat(petseg.load(tmp_path / "model"))


def test_an_onnx_file_of_its_network_finds_the_cat(saved, tmp_path):
    content = convert(saved, "onnx", [])
    source = SourceModel(classes=saved.classes, image_size=saved.image_size, sha256="0" * 64)
    write_exported(tmp_path, {"onnx": content}, source)
    assert finds_the_cat(petseg.load(tmp_path / FILE_NAMES["onnx"]))


def test_a_training_starts_with_its_head_if_the_classes_are_the_same():
    *_, start = start_from_pets()
    content = (FOLDER / "unet_int8.tflite").read_bytes()
    assert start.sha256 == hashlib.sha256(content).hexdigest()
    assert describe_start(start, empty_manifest(*start.class_names)) == (
        "Starting with the encoder and decoder of pets, and head.\n"
        f"{MAY_HAVE_SEEN.format('validation', 'validation')}"
    )


def test_a_training_with_other_classes_has_a_head_of_its_own():
    network, _, start = start_from_pets(("background", "cat"))
    assert network.output_shape[-1] == 2
    said = describe_start(start, empty_manifest("background", "cat"))
    assert said.endswith("not its head, which is for pet, background, border.")


def test_another_network_is_an_error(tmp_path):
    architecture = Architecture(
        **load_params(ROOT / "params.yaml").model.model_dump(exclude={"weights"}), classes=3
    )
    with pytest.raises(PetsegError) as caught:
        load_initial_weights(build_unet(architecture), architecture, ("a", "b", "c"), "pets")
    expected = CASES["petseg's own model as the start of another network"]
    assert matches(expected, str(caught.value), tmp_path)


def test_it_stays_below_four_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 4_000_000
