"""The parameters as users know them: what is accepted, and what the errors say."""

import subprocess
import sys

import pytest
import yaml

from petseg.config.params import load_params, parse_params
from petseg.config.validation import read_yaml
from petseg.core.errors import PetsegError
from support.project import ROOT, with_values


def error_for(default_params, key, value):
    with pytest.raises(PetsegError) as caught:
        parse_params(with_values(default_params, {key: value}))
    return str(caught.value)


def test_params_yaml_is_valid():
    assert load_params(ROOT / "params.yaml").seed >= 0


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("train.epochs", -3, "a whole number from 1 to 1000000"),
        ("train.epochs", True, "a whole number from 1 to 1000000"),
        ("train.epochs", 2.5, "a whole number from 1 to 1000000"),
        ("train.learning_rate", -0.1, "a number above 0 and at most 10"),
        ("train.learning_rate", "fast", "a number above 0 and at most 10"),
        ("train.learning_rate", float("nan"), "a number above 0 and at most 10"),
        ("train.weight_decay", None, "a number from 0 to 1000000"),
        ("train.augment.flip", 1, "true or false"),
        (
            "train.augment.crop_scale",
            [0.9, 0.5],
            "a list of two numbers above 0 and at most 4, the smaller first",
        ),
        ("train.ema_decay", 1, "a number of at least 0 and below 1"),
        ("train.warmup_epochs", 100.5, "at most train.epochs"),
        (
            "preprocess.image_size",
            100,
            "a multiple of 32 from 32 to 2048, or two as [height, width]",
        ),
        ("preprocess.image_size", [96, 100], "a multiple of 32 from 32 to 2048, or two as"),
        ("preprocess.val_fraction", 1.2, "a number above 0 and below 1"),
        (
            "model.encoder",
            "resnet",
            "'mobilenet_v2', 'mobilenet_v3_large', 'efficientnet_v2_b0', 'efficientnet_lite0' or "
            "'efficientnet_lite2'",
        ),
        ("model.alpha", 0.4, "0.35, 0.5, 0.75, 1.0, 1.3 or 1.4 for mobilenet_v2"),
        (
            "model.weights",
            "nowhere.h5",
            "none, imagenet, pets, or the path of an existing .h5 file",
        ),
        ("model.output_stride", 8, "16 or 32"),
        (
            "model.decoder_filters",
            [8],
            "a list of 2 to 5 items, each a whole number from 1 to 1024",
        ),
        ("dataset.name", "cats", "'synthetic_pets', 'oxford_iiit_pet' or 'folder'"),
        ("dataset.folder.classes", ["pet", "pet"], "auto, a list of different names, or a table"),
        ("train", 3, "a section of parameters: epochs"),
        ("seed", "x", "a whole number from 0 to 2147483647"),
        ("train.frozen_encoder_epochs", 1, "0 when model.weights is none"),
    ],
)
def test_an_error_names_the_key_the_value_and_what_is_allowed(default_params, key, value, allowed):
    message = error_for(default_params, key, value)
    assert message.startswith(f"params.yaml: {key} is {value!r}, but must be {allowed}")


@pytest.mark.parametrize(
    ("encoder", "widths"),
    [
        ("mobilenet_v3_large", "0.75 or 1.0"),
        ("efficientnet_v2_b0", "1.0"),
        ("efficientnet_lite2", "1.0"),
    ],
)
def test_an_encoder_has_widths_of_its_own(default_params, encoder, widths):
    message = error_for(default_params, "model.encoder", encoder)
    assert f"model.alpha is 0.35, but must be {widths} for {encoder}" in message
    changed = with_values(default_params, {"model.encoder": encoder, "model.alpha": 1})
    assert parse_params(changed).model.encoder == encoder


def test_an_encoder_cut_at_stride_16_needs_a_shorter_decoder(default_params):
    message = error_for(default_params, "model.output_stride", 16)
    assert "model.decoder_filters is [64, 48, 32, 24, 16], but must be a list of 2 to 4" in message
    values = {"model.output_stride": 16, "model.decoder_filters": [64, 48]}
    changed = with_values(default_params, values)
    assert parse_params(changed).model.decoder_filters == (64, 48)


def test_an_unknown_key_is_reported_with_the_closest_known_key(default_params):
    changed = with_values(default_params, {"train.epoch": 3})
    with pytest.raises(
        PetsegError, match=r"train\.epoch is not a parameter; did you mean 'epochs'"
    ):
        parse_params(changed)
    changed = with_values(default_params, {f"train.{'a' * 200}": 3})
    with pytest.raises(PetsegError, match=r"train\.a+\.\.\. is not a parameter; known here"):
        parse_params(changed)


def test_a_missing_folder_is_reported_only_if_it_is_used(default_params):
    elsewhere = with_values(default_params, {"dataset.folder.path": "nowhere"})
    parse_params(elsewhere)
    message = error_for(elsewhere, "dataset.name", "folder")
    assert "dataset.folder.path is 'nowhere', but must be an existing folder" in message


@pytest.mark.parametrize(
    ("text", "value"), [("1e-05", 1e-05), ("no", "no"), ("010", 10), ("1_000", 1000)]
)
def test_yaml_is_read_as_dvc_reads_it(tmp_path, text, value):
    """YAML 1.2; YAML 1.1 would give '1e-05', False, 8 and 1000."""
    (tmp_path / "params.yaml").write_text(f"seed: {text}\n")
    assert read_yaml(tmp_path / "params.yaml") == {"seed": value}


def test_an_error_is_reported_before_tensorflow_is_imported(tmp_path, default_params):
    invalid = with_values(default_params, {"train.epochs": 0})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(invalid))
    command = [sys.executable, "-X", "importtime", str(ROOT / "stages" / "train.py")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "train.epochs is 0, but must be a whole number from 1 to 1000000." in done.stderr
    assert "tensorflow" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("written", "size", "again"),
    [(96, (96, 96), 96), ([96, 96], (96, 96), 96), ([64, 96], (64, 96), [64, 96])],
    ids=str,
)
@pytest.mark.filterwarnings("error")
def test_an_image_size_is_one_number_or_height_and_width(default_params, written, size, again):
    params = parse_params(with_values(default_params, {"preprocess.image_size": written}))
    assert params.preprocess.image_size == size
    assert params.model_dump(mode="json")["preprocess"]["image_size"] == again


@pytest.mark.parametrize("classes", ["auto", ["sky", "cat"], {"cat": [1, "#804080"]}], ids=str)
@pytest.mark.filterwarnings("error")
def test_classes_are_written_as_they_were_read(default_params, classes):
    raw = with_values(default_params, {"dataset.folder.classes": classes})
    written = parse_params(raw).model_dump(mode="json")
    assert written["dataset"]["folder"]["classes"] == classes
