import subprocess
import sys
import time

import pytest
import yaml

from petseg.config.params import load_params, parse_params
from petseg.core.errors import PetsegError
from support.project import ROOT, with_values


def mistake(default_params, key, value):
    with pytest.raises(PetsegError) as caught:
        parse_params(with_values(default_params, {key: value}))
    return str(caught.value)


def test_the_repository_s_parameters_are_valid():
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
        ("train.augment.min_crop", 0, "a number above 0 and at most 1"),
        ("train.warmup_epochs", 100.5, "at most train.epochs"),
        ("preprocess.image_size", 100, "a multiple of 32 from 32 to 2048"),
        ("preprocess.val_fraction", 1.2, "a number above 0 and below 1"),
        ("model.alpha", 0.4, "0.35, 0.5, 0.75, 1.0, 1.3 or 1.4"),
        ("model.weights", "nowhere.h5", "none, imagenet, or the path of an existing .h5 file"),
        ("model.output_stride", 8, "16 or 32"),
        ("model.decoder_filters", [8], "a list of 2 to 5 whole numbers from 1 to 1024"),
        ("dataset.name", "cats", "'synthetic_pets', 'oxford_iiit_pet' or 'folder'"),
        ("dataset.folder.classes", ["pet", "pet"], "a list of different names"),
        ("train", 3, "a section of parameters: epochs"),
        ("seed", "x", "a whole number from 0 to 2147483647"),
        ("train.frozen_encoder_epochs", 1, "0 when model.weights is none"),
    ],
)
def test_an_impossible_value_is_named_with_key_value_and_what_is_allowed(
    default_params, key, value, allowed
):
    message = mistake(default_params, key, value)
    assert message.startswith(f"params.yaml: {key} is {value!r}, but must be {allowed}")


def test_a_cut_encoder_takes_a_shorter_decoder(default_params):
    message = mistake(default_params, "model.output_stride", 16)
    assert (
        "model.decoder_filters is [64, 48, 32, 24, 16], but must be a list of 2 to 4 numbers"
        in message
    )
    changed = with_values(
        default_params, {"model.output_stride": 16, "model.decoder_filters": [64, 48]}
    )
    assert parse_params(changed).model.decoder_filters == (64, 48)


def test_an_unknown_key_is_named_with_the_nearest_known_one(default_params):
    changed = with_values(default_params, {"train.epoch": 3})
    with pytest.raises(
        PetsegError, match=r"train\.epoch is not a parameter; did you mean 'epochs'\?"
    ):
        parse_params(changed)


def test_a_missing_key_is_named(default_params):
    changed = with_values(default_params, {})
    del changed["train"]["epochs"]
    with pytest.raises(PetsegError, match=r"train\.epochs is missing"):
        parse_params(changed)


def test_a_missing_folder_is_named_only_if_it_is_used(default_params):
    elsewhere = with_values(default_params, {"dataset.folder.path": "nowhere"})
    parse_params(elsewhere)
    message = mistake(elsewhere, "dataset.name", "folder")
    assert "dataset.folder.path is 'nowhere', but must be an existing folder" in message


def test_scientific_notation_that_yaml_reads_as_text_is_a_number(default_params):
    assert isinstance(yaml.safe_load("1e-05"), str)
    assert (
        parse_params(
            with_values(default_params, {"train.learning_rate": "1e-05"})
        ).train.learning_rate
        == 1e-05
    )


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b\n"])
def test_a_file_without_sections_is_an_error(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(PetsegError, match="must hold sections"):
        load_params(tmp_path / "params.yaml")


def test_broken_yaml_is_an_error_with_line_and_column(tmp_path):
    (tmp_path / "params.yaml").write_text("seed: 0\ntrain: [1, 2\n")
    with pytest.raises(PetsegError, match="not valid YAML at line 3"):
        load_params(tmp_path / "params.yaml")


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(PetsegError, match="can't be read"):
        load_params(tmp_path / "params.yaml")


def test_a_mistake_is_told_before_tensorflow_is_imported(tmp_path, default_params):
    broken = with_values(default_params, {"train.epochs": 0})
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(broken))
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "stages" / "train.py")],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "train.epochs is 0, but must be a whole number from 1 to 1000000." in done.stderr
    assert "tensorflow" not in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - start < 5  # it takes half a second on an idle machine
