"""The command line: output, exit codes and error messages. Commands run in this process."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from petseg.cli import main
from petseg.cli.options import report_errors
from petseg.core.hashing import sha256_of
from petseg.model.saved import load_model
from petseg.own_files import sign_image
from support.predictors import brightness_predictor
from support.project import ROOT
from support.robustness import matches

SECTION = "The command line"
CASES = {
    "predict: a missing photo": "'nowhere.jpg' matches no file or folder; check the name or pattern.",
    "predict: an empty name": "'' matches no file or folder; check the name or pattern.",
    "predict: a pattern without matches": "'photos/*.webp' matches no file or folder; check the name or pattern.",
    "predict: a folder without photos": "photos contains no photos; supported types are .bmp, .gif, .jfif, .jpe, .jpeg, .jpg, .png, .tif, .tiff, .webp.",
    "predict: a folder with unsupported photos only": "photos contains no photos; supported types are ….\n1 .heic file was not read: photos/one.HEIC; convert to JPEG or PNG.",
    "predict: only earlier results": "photos contains only results of petseg predict; choose other photos.",
    "predict: a broken symlink": "photos/link.png can't be read as an image (No such file or directory); fix or remove it.",
    "predict: two photos whose results share a name": "The results of photos/one.png and photos/x/one.png would have the same name, one.png; rename one, pass a folder that contains both of their folders, or use another --out for one.",
    "predict: a file that is not an image": "photos/two.png can't be read as an image (not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read); fix or remove it.",
    "predict: a photo 70,000 pixels wide": "photos/one.png is 70000 x 2 pixels; shrink it to at most 65500 per side.",
    "predict: a folder with photos of other types": "1 .heic file was not read: photos/one.HEIC; convert to JPEG or PNG.",
    "predict: a mask of the user's own in the way": "petseg predict would overwrite photos/one_mask.png (not as petseg wrote it); use another --out, or --overwrite to replace them.",
    "predict: a table of the user's own in the way": "out/predictions.csv is not a table of petseg predict; use another --out, or --overwrite to replace it.",
    "predict: a name that isn't UTF-8": "…photos/\\udcff.png' is not a UTF-8 file name; rename it.",
    "predict: a missing model": "nowhere doesn't exist; choose pets, an exported file (.tflite or .onnx), or a folder with a model or exported files, such as models/unet.",
    "predict: --out is a file": "A file or folder is in the way at photos/one.png (…); move it, then run petseg predict again.",
    "predict: nine scales": "petseg.load: scales is (…), but must be a list of 1 to 8 items, each a number from 0.25 to 4.",
    "predict: a folder that is not a model": "…photos is not a model; choose pets, an exported file (.tflite or .onnx), or a folder with a model or exported files, such as models/unet.",
    "predict: scales for pets": "pets is an exported model, which predicts at one scale only; remove --tta-scale (tta_scales), or choose the folder of a trained model.",
    "info: a missing model": "nowhere doesn't exist; choose pets, an exported file (.tflite or .onnx), or a folder with a model or exported files, such as models/unet.",
    "data: a missing folder": "'nowhere' is not a folder; check the path.",
    "data: a parameter without a value": "-S unlabeled must be KEY=VALUE, such as unlabeled=skip.",
    "data: an invalid parameter": "petseg data: unlabeled is 'maybe', but must be 'error', 'skip' or 'background'.",
    "data: an unknown parameter": "petseg data: unlabelled is not a parameter; did you mean 'unlabeled'?",
    "data: a value that is not YAML": "-S classes={background: 0 is not valid YAML; quote the value.",
    "data: the contact sheet in the folder itself": "--out …photos is in the folder itself, so its contact sheet would count as an image; use another.",
    "data: a file of the user's own in the way": "photos/contact_sheet.png was not written by petseg, or was edited since; use another --out, or move the file.",
    "compare: a model with itself": "photos and photos are the same model; choose two different models.",
    "compare: missing shards": "photos/manifest.json is missing or damaged; restore it with dvc checkout --force, or recreate it with dvc repro --force preprocess.",
}  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        Image.fromarray(np.full((20, 30, 3), 99, np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def light_model(monkeypatch):
    """Whatever model is loaded, it is the brightness predictor."""
    monkeypatch.setattr("petseg.photos.predictor.load", lambda *_: brightness_predictor())


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_predict_writes_results_and_names_the_table(light_model, photos, tmp_path):
    done = run("predict", photos, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert done.output == f"Predicted 2 of 2 photos: {tmp_path}/out/predictions.csv\n"
    assert (tmp_path / "out" / "one_cutout.png").is_file()


def test_only_the_kinds_that_are_named_are_written(light_model, photos, tmp_path):
    done = run("predict", photos, "--out", tmp_path / "out", "--write", "overlay, mask")
    assert done.exit_code == 0, done.output
    endings = {path.name.partition("_")[2] for path in (tmp_path / "out").glob("*_*")}
    assert endings == {"mask.png", "overlay.jpg"}


def test_the_summary_counts_what_was_not_predicted(light_model, photos, tmp_path):
    assert run("predict", photos / "one.png", "--out", photos).exit_code == 0
    (photos / "bad.png").write_text("not an image")
    (photos / "new.HEIC").touch()
    done = run("predict", photos, "--out", photos, "--skip-existing")
    assert done.exit_code == 1
    assert done.stdout == (
        "Predicted 1 of 4 photos (1 had results, 1 skipped, 1 of other types): "
        f"{photos}/predictions.csv\n"
    )
    assert [line.split(maxsplit=1)[0] for line in done.stderr.splitlines()] == [
        "Left", f"{photos}/bad.png", "1",
    ]  # fmt: skip
    printed = json.loads(run("predict", photos, "--out", photos, "--json", "--overwrite").stdout)
    assert len(printed["predicted"]) == 2
    assert printed["unsupported"] == [f"{photos}/new.HEIC"]


def test_an_interrupted_run_says_how_to_go_on(light_model, photos, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("petseg.photos.batch_writer.write_results", interrupt)
    done = run("predict", photos, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "run the same command with --skip-existing" in done.output


def test_a_bad_photo_is_skipped_and_makes_the_exit_code_1(light_model, photos, tmp_path):
    (photos / "bad.png").write_text("not an image")
    done = run("predict", photos, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 1
    printed = json.loads(done.stdout)
    assert [Path(row["photo"]).name for row in printed["predicted"]] == ["one.png", "two.png"]
    assert printed["predicted"][0]["width"] == 30
    assert sum(printed["predicted"][0]["shares"].values()) == pytest.approx(1)
    assert printed["skipped"] == [done.stderr.strip()]
    assert "bad.png can't be read as an image" in done.stderr


def remove_photos(folder):
    for photo in folder.iterdir():
        photo.unlink()


def replace_by_results(folder):
    for photo in folder.iterdir():
        data = sign_image(photo.read_bytes())
        photo.with_name(f"{photo.stem}_mask.png").write_bytes(data)
        photo.unlink()


def rename_to_no_utf8(folder):
    (folder / "one.png").rename(os.fsdecode(os.fsencode(folder) + b"/\xff.png"))


USER_ERRORS = {
    "predict: a missing photo": (["predict", "nowhere.jpg", "--out", "OUT"], None),
    "predict: an empty name": (["predict", "", "--out", "OUT"], None),
    "predict: a pattern without matches": (["predict", "PHOTOS/*.webp", "--out", "OUT"], None),
    "predict: a folder without photos": (["predict", "PHOTOS", "--out", "OUT"], remove_photos),
    "predict: a folder with unsupported photos only": (["predict", "PHOTOS", "--out", "OUT"], lambda folder: [photo.rename(folder / "one.HEIC") for photo in folder.iterdir()]),
    "predict: only earlier results": (["predict", "PHOTOS", "--out", "PHOTOS"], replace_by_results),
    "predict: a broken symlink": (["predict", "PHOTOS/link.png", "--out", "OUT"], lambda folder: (folder / "link.png").symlink_to("gone")),
    "predict: two photos whose results share a name": (["predict", "PHOTOS/one.png", "PHOTOS/x/one.png", "--out", "OUT"], lambda folder: shutil.copytree(folder, folder / "x")),
    "predict: a file that is not an image": (["predict", "PHOTOS", "--out", "OUT"], lambda folder: (folder / "two.png").write_text("text")),
    "predict: a photo 70,000 pixels wide": (["predict", "PHOTOS", "--out", "OUT"], lambda folder: Image.new("L", (70000, 2)).save(folder / "one.png")),
    "predict: a folder with photos of other types": (["predict", "PHOTOS", "--out", "OUT"], lambda folder: (folder / "one.png").rename(folder / "one.HEIC")),
    "predict: a mask of the user's own in the way": (["predict", "PHOTOS", "--out", "PHOTOS"], lambda folder: (folder / "one_mask.png").write_bytes((folder / "one.png").read_bytes())),
    "predict: a table of the user's own in the way": (["predict", "PHOTOS", "--out", "OUT"], lambda folder: [(folder.parent / "out").mkdir(), (folder.parent / "out" / "predictions.csv").write_text("mine")]),
    "predict: a name that isn't UTF-8": (["predict", "PHOTOS", "--out", "OUT"], rename_to_no_utf8),
    "predict: --out is a file": (["predict", "PHOTOS", "--out", "PHOTOS/one.png"], None),
    "predict: a missing model": (["predict", "PHOTOS", "--out", "OUT", "--model", "nowhere"], None),
    "predict: nine scales": (["predict", "PHOTOS", "--out", "OUT", *["--tta-scale", "2"] * 9], None),
    "predict: a folder that is not a model": (["predict", "PHOTOS", "--out", "OUT", "--model", "PHOTOS"], None),
    "predict: scales for pets": (["predict", "PHOTOS", "--out", "OUT", "--model", "pets", "--tta-scale", "2"], None),
    "info: a missing model": (["info", "--model", "nowhere"], None),
    "data: a missing folder": (["data", "nowhere"], None),
    "data: a parameter without a value": (["data", "PHOTOS", "-S", "unlabeled"], None),
    "data: an invalid parameter": (["data", "PHOTOS", "-S", "unlabeled=maybe"], None),
    "data: an unknown parameter": (["data", "PHOTOS", "-S", "unlabelled=skip"], None),
    "data: a value that is not YAML": (["data", "PHOTOS", "-S", "classes={background: 0"], None),
    "data: a file of the user's own in the way": (["data", "PHOTOS", "--out", "PHOTOS"], lambda folder: (folder / "one.png").rename(folder / "contact_sheet.png")),
    "data: the contact sheet in the folder itself": (["data", "PHOTOS", "--out", "PHOTOS"], None),
    "compare: a model with itself": (["compare", "PHOTOS", "PHOTOS"], None),
    "compare: missing shards": (["compare", "OUT", "nowhere", "--shards", "PHOTOS"], None),
}  # fmt: skip
REACH_LOAD = (
    "predict: a missing model",
    "predict: a folder that is not a model",
    "predict: scales for pets",
    "predict: nine scales",
)  # the real one


@pytest.mark.parametrize("case", CASES)
def test_a_user_error_gives_one_message_and_exit_code_1(request, photos, tmp_path, case):
    if case not in REACH_LOAD:
        request.getfixturevalue("light_model")
    words, spoil = USER_ERRORS[case]
    if spoil:
        spoil(photos)
    for name, path in {"PHOTOS": photos, "OUT": tmp_path / "out"}.items():
        words = [word.replace(name, str(path)) for word in words]
    done = run(*words)
    assert done.exit_code == 1, done.output
    assert matches(CASES[case], done.stderr.strip(), tmp_path), done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict"], "Missing argument"),
        (["predict", "x.jpg"], "Missing option '--out'"),
        (["predict", "x.jpg", "--out", "o", "--batch-size", "0"], "0 is not in the range 1<=x<=1024"),
        (["predict", "x.jpg", "--out", "o", "--write", "mask,masks"], "'mask,masks' must be some of mask, overlay, cutout."),
        (["predic"], "No such command 'predic'"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_has_exit_code_2(words, message):
    done = run(*words)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize("command", ["predict", "compare", "sweep", "data", "demo", "info"])
def test_every_command_has_a_help_text_with_an_example(command):
    assert f"petseg {command}" in run(command, "--help").output.split("Options:")[0]


def test_a_disk_failure_names_the_command_to_repeat(light_model, photos, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device", "here")

    monkeypatch.setattr("petseg.photos.batch_writer.write_results", fail)
    done = run("predict", photos, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert done.stderr.startswith("The disk is full at here; ")
    assert "petseg predict" in done.stderr


def test_a_bug_is_not_hidden(light_model, photos, tmp_path, monkeypatch):
    monkeypatch.setattr("petseg.photos.batch_writer.write_results", lambda *_: 1 / 0)
    done = run("predict", photos, "--out", tmp_path / "out")
    assert isinstance(done.exception, ZeroDivisionError)


@pytest.mark.parametrize("command", ["predict", "demo"])
def test_test_time_augmentation_reaches_the_model(photos, tmp_path, monkeypatch, command):
    loaded = []

    def load(*arguments):
        loaded.append(arguments)
        return brightness_predictor()

    monkeypatch.setattr("petseg.photos.predictor.load", load)
    monkeypatch.setattr("petseg.photos.demo.serve", lambda *_, **__: None)
    words = {"predict": [photos, "--out", tmp_path / "out"], "demo": []}[command]
    tta = ["--tta-flip", "--tta-scale", 1, "--tta-scale", 2]
    assert run(command, *words, "--model", "m").exit_code == 0
    assert run(command, *words, "--model", "m", *tta).exit_code == 0
    assert loaded == [("m", False, (1.0,)), ("m", True, (1.0, 2.0))]


def test_info_describes_a_model(tiny_model):
    sections = json.loads(run("info", "--model", tiny_model, "--json").output)
    saved = load_model(tiny_model)
    assert sections["model"]["classes"] == ["pet", "background", "border"]
    assert sections["model"]["parameters"] == saved.network.count_params()
    assert sections["architecture"]["input_upsampling"] == 1
    assert sections["origin"] == saved.origin.model_dump(exclude_none=True)
    assert sections["sha256"]["model.weights.h5"] == sha256_of(tiny_model / "model.weights.h5")
    text = run("info", "--model", tiny_model).output
    for section in sections.values():
        for name in section:
            assert f"\n  {name} " in text
    assert "classes            pet, background, border\n" in text


def petseg_command(*words, **environment):
    """What the installed command prints."""
    command = [Path(sys.executable).with_name("petseg"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_installed_command_prints_its_version():
    assert petseg_command("--version") == f"petseg, version {version('petseg')}\n"


@pytest.mark.parametrize(
    ("words", "offered"), [("petseg pre", "plain,predict"), ("petseg predict ph", "file,ph")]
)
def test_completion_offers_commands_and_leaves_files_to_the_shell(words, offered):
    environment = {
        "_PETSEG_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    assert petseg_command(**environment).split() == [offered]


WORDS = {
    "predict": ["x.jpg", "--out", "out"],
    "compare": ["a", "b"],
    "sweep": ["-S", "seed=1,2"],
    "data": ["x"],
    "export-web": ["site"],
}


@pytest.mark.parametrize("name", main.commands)
def test_the_out_of_memory_hint_names_only_options_of_the_command(name, monkeypatch):
    command = main.commands[name]

    @contextmanager
    def out_of_memory(*arguments):
        with report_errors(*arguments):
            raise MemoryError
        yield

    module = sys.modules[command.callback.__module__]
    monkeypatch.setattr(module, "report_errors", out_of_memory)
    done = run(name, *WORDS.get(name, []))
    assert done.exit_code == 1
    assert done.output.startswith("Out of memory (MemoryError); "), done.output
    options = {option for parameter in command.params for option in parameter.opts}
    assert set(re.findall(r"--[\w-]+", done.output)) <= options
