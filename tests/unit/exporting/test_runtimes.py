"""Exported files as functions from images to probabilities."""

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from click.testing import CliRunner

import petseg
from petseg.cli import main
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.hashing import sha256_of
from petseg.exporting.exported import FILE_NAMES, read_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.model.saved import load_model
from petseg.prediction.predict import keras_predict_fn
from support.project import ROOT

SIZE = ImageSize(32, 32)


@pytest.fixture(scope="session")
def folder(exported_run):
    return exported_run.exported


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), np.uint8)


def predict_fn(folder, name, **options):
    return exported_predict_fn(read_exported(folder / FILE_NAMES[name]), **options)


@pytest.mark.parametrize(
    ("name", "max_error", "mean_error"),
    [
        ("litert_float32", 1e-4, 1e-5),
        ("litert_float16", 0.1, 1e-3),
        ("litert_int8", 1.0, 0.05),
        ("onnx", 1e-4, 1e-5),
        ("onnx_photo", 1e-4, 1e-5),
    ],
)
def test_each_file_gives_the_same_probabilities_as_the_network(
    folder, tiny_model, images, name, max_error, mean_error
):
    expected = keras_predict_fn(load_model(tiny_model).network, SIZE)(images)
    assert np.abs(expected - expected.mean((0, 1, 2))).mean() > 0.2
    error = np.abs(predict_fn(folder, name)(images) - expected)
    assert error.max() < max_error
    assert error.mean() < mean_error


@pytest.mark.parametrize("name", ["litert_int8", "onnx", "onnx_photo"])
def test_the_flipped_view_can_be_averaged_in(folder, images, name):
    predict = predict_fn(folder, name)
    plain, flipped = predict(images), predict(images[:, :, ::-1])
    averaged = predict_fn(folder, name, flip=True)(images)
    np.testing.assert_allclose(averaged, (plain + flipped[:, :, ::-1]) / 2, atol=1e-6)
    assert not np.allclose(averaged, plain, atol=1e-3)


def test_several_threads_can_predict_at_once(folder, images):
    predict = predict_fn(folder, "litert_float32", threads=1)
    expected = [predict(image[None]) for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: predict(images[i % 4, None]), range(200)))
    for i, probabilities in enumerate(found):
        np.testing.assert_array_equal(probabilities, expected[i % 4])


def test_an_exported_model_needs_no_tensorflow(folder):
    code = (
        "import sys, numpy, petseg\n"
        "for path in sys.argv[1:]:\n"
        "    image = numpy.zeros((50, 70, 3), numpy.uint8)\n"
        "    assert petseg.load(path).predict(image).mask.shape == (50, 70)\n"
        "heavy = ('tensorflow', 'keras', 'dvc', 'tf2onnx')\n"
        "print([name for name in sys.modules if name.split('.')[0] in heavy])"
    )
    files = [str(folder / FILE_NAMES[name]) for name in ("litert_int8", "onnx")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr
    assert all("was trained on synthetic pets" in line for line in done.stderr.splitlines())


def test_of_a_folder_of_exported_files_the_most_exact_is_loaded(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    for export_format, name in FILE_NAMES.items():
        loaded = petseg.load(copy)
        assert loaded.checksum == read_exported(copy / name).sha256[:12], export_format
        (copy / name).unlink()
    with pytest.raises(PetsegError, match=r"unet_float32\.tflite is missing"):
        petseg.load(copy)


def test_an_exported_model_has_a_fixed_size(folder):
    with pytest.raises(PetsegError, match=r"predicts at one scale only; remove --tta-scale"):
        petseg.load(folder / FILE_NAMES["onnx"], tta_scales=(1.0, 1.25))


def test_the_command_line_accepts_an_exported_file(folder, tmp_path):
    photo = ROOT / "docs" / "images" / "examples.png"
    model = folder / FILE_NAMES["litert_int8"]

    def run(*command):
        result = CliRunner().invoke(main, [*map(str, command), "--model", str(model), "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    predicted = run("predict", photo, "--out", tmp_path)["predicted"]
    assert list(predicted[0]["shares"]) == ["pet", "background", "border"]
    info = run("info")
    assert info["model"]["format"] == "litert_int8"
    assert info["sha256"][model.name] == sha256_of(model)
