"""`petseg ...` as it is typed: what it prints, what it exits with, what it says when it is used wrongly."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import petseg
from petseg.cli import main
from petseg.core.hashing import sha256_of
from petseg.core.labels import colors_of
from petseg.model.saved import Origin, SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from support.robustness import matches

SECTION = "The command line"
CASES = {
    "predict: a photo that isn't there": "nowhere.jpg is not there: no file, no folder, no pattern that a file fits.",
    "predict: an empty name": "An empty name is not there: no file, no folder, no pattern that a file fits.",
    "predict: a pattern that no file fits": "photos/*.webp is not there: no file, no folder, no pattern that a file fits.",
    "predict: a folder without photos": "photos is a folder without photos (.bmp, .jpeg, .jpg, .png, .webp).",
    "predict: nothing but results": "photos holds nothing but results of petseg predict.",
    "predict: a link to nothing": "photos/link.png can't be read as a picture (No such file or directory); mend it or take it out.",
    "predict: two photos with results of one name": "The results of photos/one.png and of photos/x/one.png would have the same name, one.png; name one folder that holds both, or predict them one after the other with another --out.",
    "predict: a photo that is no picture": "photos/two.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "predict: a photo 70,000 pixels wide": "photos/one.png is 70000 x 2 pixels; more than 65500 a side can't be drawn.",
    "predict: a name that isn't UTF-8": "…photos/\\udcff.png' has a name that isn't UTF-8; rename it.",
    "predict: a model that isn't there": "nowhere/model.json is missing or damaged; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "predict: a file in the place of --out": "A file or folder is in the way at photos/one.png (…); move it, then run petseg predict again.",
    "predict: nine scales": "petseg.load: scales is (…), but must be a list of 1 to 8 items, each a number from 0.25 to 4.",
    "show: a model that isn't there": "nowhere/model.json is missing or damaged; bring it back with dvc checkout --force, or train a model with dvc repro train.",
    "compare: a model with itself": "unet and unet are the same model; name two.",
    "compare: no shards": "photos/manifest.json is missing or damaged; bring it back with dvc checkout --force, or make it anew with dvc repro --force preprocess.",
}  # fmt: skip

PETSEG = Path(sys.executable).with_name("petseg")
ORIGIN = Origin(
    dataset="drawn",
    train_images=30,
    val_images=10,
    val_sha256="0",
    seed=7,
    best_epoch=3,
    val_mean_iou=0.5,
    val_pixel_accuracy=0.75,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    folder = tmp_path_factory.mktemp("cli") / "unet"
    classes = colors_of(("pet", "background", "border"))
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
    assert told["skipped"] == [done.stderr.strip()]
    assert "bad.png can't be read as an image (not a JPEG, PNG, BMP or WebP file)" in done.stderr


def no_utf8(folder):
    (folder / "one.png").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))


MISTAKES = {
    "predict: a photo that isn't there": (["predict", "nowhere.jpg", "--out", "o"], None),
    "predict: an empty name": (["predict", "", "--out", "o"], None),
    "predict: a pattern that no file fits": (["predict", "PHOTOS/*.webp", "--out", "o"], None),
    "predict: a folder without photos": (["predict", "PHOTOS", "--out", "o"], lambda f: [p.unlink() for p in f.iterdir()]),
    "predict: nothing but results": (["predict", "PHOTOS", "--out", "PHOTOS"], lambda f: [p.rename(f / f"{p.stem}_mask.png") for p in f.iterdir()]),
    "predict: a link to nothing": (["predict", "PHOTOS/link.png", "--out", "OUT", "--model", "MODEL"], lambda f: (f / "link.png").symlink_to("gone")),
    "predict: two photos with results of one name": (["predict", "PHOTOS/one.png", "PHOTOS/x/one.png", "--out", "o"], lambda f: shutil.copytree(f, f / "x")),
    "predict: a photo that is no picture": (["predict", "PHOTOS", "--out", "OUT", "--model", "MODEL"], lambda f: (f / "two.png").write_text("text")),
    "predict: a photo 70,000 pixels wide": (["predict", "PHOTOS", "--out", "OUT", "--model", "MODEL"], lambda f: Image.new("L", (70000, 2)).save(f / "one.png")),
    "predict: a name that isn't UTF-8": (["predict", "PHOTOS", "--out", "OUT", "--model", "MODEL"], no_utf8),
    "predict: a model that isn't there": (["predict", "PHOTOS", "--out", "o", "--model", "nowhere"], None),
    "predict: a file in the place of --out": (["predict", "PHOTOS", "--out", "PHOTOS/one.png", "--model", "MODEL"], None),
    "predict: nine scales": (["predict", "PHOTOS", "--model", "MODEL", "--out", "OUT", *["--tta-scale", "2"] * 9], None),
    "info: a model that isn't there": (["info", "--model", "nowhere"], None),
    "compare: a model with itself": (["compare", "MODEL", "MODEL"], None),
    "compare: no shards": (["compare", "MODEL", "nowhere", "--shards", "PHOTOS"], None),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_told_in_a_sentence(model, photos, tmp_path, case):
    words, spoil = MISTAKES[case]
    if spoil:
        spoil(photos)
    places = {"PHOTOS": photos, "MODEL": model, "OUT": tmp_path / "out"}
    for name, place in places.items():
        words = [word.replace(name, str(place)) for word in words]
    done = run(*words)
    assert done.exit_code == 1, done.output
    said = done.stderr.strip().replace(f"{model.parent}/", "")
    assert matches(CASES[case], said, tmp_path), done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["predict"], "Missing argument"),
        (["predict", "x.jpg"], "Missing option '--out'"),
        (
            ["predict", "x.jpg", "--out", "o", "--batch-size", "0"],
            "0 is not in the range 1<=x<=1024",
        ),
        (["predic"], "No such command 'predic'"),
    ],
)
def test_a_wrong_command_line_is_told_with_exit_code_2(words, sentence):
    done = run(*words)
    assert done.exit_code == 2
    assert sentence in done.stderr


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (["--tta-flip"], {"tta_flip": True}),
        (["--tta-scale", 1, "--tta-scale", 2], {"tta_scales": (1, 2)}),
    ],
)
def test_test_time_augmentation_reaches_the_model(model, photos, tmp_path, options, settings):
    Image.fromarray(np.arange(1800, dtype=np.uint16).astype(np.uint8).reshape(20, 30, 3)).save(
        photos / "one.png"
    )
    words = ["predict", photos / "one.png", "--model", model, "--json"]
    plain, averaged = (
        json.loads(run(*words, "--out", tmp_path, *more).stdout) for more in ([], options)
    )
    alone = petseg.load(model, **settings).predict(photos / "one.png").shares
    assert averaged["predicted"][0]["shares"] == alone != plain["predicted"][0]["shares"]


def test_completion_offers_commands_and_leaves_files_to_the_shell():
    def complete(*words):
        env = {
            **os.environ,
            "_PETSEG_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("petseg", *words)),
        }
        env["COMP_CWORD"] = str(len(words))
        return subprocess.run(
            [PETSEG], env=env, capture_output=True, text=True, check=True
        ).stdout.split()

    assert complete("pre") == ["plain,predict"]
    assert complete("predict", "ph") == ["file,ph"]


def test_show_tells_what_a_model_is(model):
    facts = json.loads(run("info", "--model", model, "--json").output)
    assert facts["model"]["classes"] == ["pet", "background", "border"]
    assert (
        facts["model"]["parameters"]
        == build_unet(Architecture("mobilenet_v2", 0.35, (8,) * 5, 3)).count_params()
    )
    assert facts["architecture"]["input_upsampling"] == 1
    assert facts["origin"] == ORIGIN.model_dump()
    assert facts["sha256"]["model.weights.h5"] == sha256_of(model / "model.weights.h5")
    shown = run("info", "--model", model).output
    for name in (*facts["model"], *facts["architecture"], *facts["origin"], *facts["sha256"]):
        assert f"\n  {name} " in shown
    assert "classes            pet, background, border\n" in shown


def test_as_it_is_installed(model, photos, tmp_path):
    """From another folder, where no progress bar and no greeting of a library disturbs what a program reads."""
    done = subprocess.run([PETSEG, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"petseg, version {importlib.metadata.version('petseg')}\n"
    command = [PETSEG, "predict", photos, "--out", "out", "--model", model, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert len(json.loads(done.stdout)["predicted"]) == 2
    assert done.stderr == ""
