"""`petseg ...` as it is typed: what it prints, what it exits with, what it says when it is used wrongly."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from petseg import __version__
from petseg.classes import colours_of
from petseg.cli import main
from petseg.model.saved import Origin, SavedModel, save_model
from petseg.model.unet import Architecture, build_unet

PETSEG = Path(sys.executable).with_name("petseg")
ORIGIN = Origin(
    data="drawn", train_pictures=30, val_pictures=10, seed=7, epoch=3, val_mean_iou=0.5, val_pixel_accuracy=0.75
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    folder = tmp_path_factory.mktemp("cli") / "unet"
    classes = colours_of(("pet", "background", "border"))
    save_model(SavedModel(build_unet(architecture), architecture, classes, 32, ORIGIN), folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(folder / name)
    return folder


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_predict_writes_the_results_and_says_where(model, photos, tmp_path):
    done = run("predict", photos, "--out", tmp_path / "out", "--model", model)
    assert done.exit_code == 0, done.output
    assert done.output == f"2 of 2 photos predicted: {tmp_path}/out/predictions.csv\n"
    assert (tmp_path / "out" / "one_cutout.png").is_file()


def test_a_bad_photo_is_named_and_left_out_and_the_exit_code_says_so(model, photos, tmp_path):
    (photos / "bad.png").write_text("no picture")
    done = run("predict", photos, "--out", tmp_path / "out", "--model", model, "--json")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert [Path(row["photo"]).name for row in told["predicted"]] == ["one.png", "two.png"]
    assert told["predicted"][0]["width"] == 30
    assert sum(told["predicted"][0]["shares"].values()) == pytest.approx(1)
    assert told["left_out"] == [done.stderr.strip()]
    assert "bad.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP)" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["predict"], 2, "Missing argument"),
        (["predict", "x.jpg"], 2, "Missing option '--out'"),
        (["predict", "nowhere.jpg", "--out", "o"], 1, "nowhere.jpg is not there: no file, no folder, and no file fits"),
        (["predict", "PHOTOS", "--out", "o", "--model", "nowhere"], 1, "nowhere/model.json is missing or damaged"),
        (["predict", "PHOTOS", "--out", "o", "--batch-size", "0"], 2, "0 is not in the range 1<=x<=1024"),
        (["predict", "PHOTOS", "--out", "PHOTOS/one.png", "--model", "MODEL"], 1, "A file or folder is in the way"),
        (["show", "--model", "nowhere"], 1, "nowhere/model.json is missing or damaged"),
        (["predic"], 2, "No such command 'predic'"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(model, photos, words, code, sentence):
    words = [word.replace("PHOTOS", str(photos)).replace("MODEL", str(model)) for word in words]
    done = run(*words)
    assert done.exit_code == code
    assert sentence in done.stderr
    assert "Traceback" not in done.output


def test_show_tells_what_a_model_is(model):
    told = dict(line.split("  ", 1) for line in run("show", "--model", model).output.splitlines())
    facts = json.loads(run("show", "--model", model, "--json").output)
    assert set(told) == set(facts)
    assert facts["classes"] == ["pet", "background", "border"]
    assert facts["trained on"] == "drawn, 30 pictures, seed 7, 3 epochs"
    assert facts["mean IoU"] == "0.5 on 10 validation pictures"
    assert told["parameters"].strip() == str(facts["parameters"])


def test_as_it_is_installed(model, photos, tmp_path):
    """From another folder, where no progress bar and no greeting of a library disturbs what a program reads."""
    start = time.monotonic()
    done = subprocess.run([PETSEG, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"petseg, version {__version__}\n"
    assert time.monotonic() - start < 3  # 0.3 s on an idle machine
    command = [PETSEG, "predict", photos, "--out", "out", "--model", model, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert len(json.loads(done.stdout)["predicted"]) == 2
    assert done.stderr == ""
