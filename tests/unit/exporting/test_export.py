"""The stage's metrics, and files that it refuses to write."""

import json
from dataclasses import replace

import numpy as np
import pytest

import petseg
from petseg.config.params import ExportParams
from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of_files
from petseg.exporting import export as export_module
from petseg.exporting.convert import convert
from petseg.exporting.export import export
from petseg.exporting.exported import FILE_NAMES, read_exported
from petseg.exporting.runtimes import exported_predict_fn
from petseg.metrics import count_labels, mean_iou
from petseg.model.saved import load_model
from petseg.model.unet import build_unet
from petseg.prediction.predict import predict_split
from petseg.shards.manifest import read_manifest

NUM_IMAGES = 6  # as in the fixture exported_run


@pytest.fixture(scope="session")
def metrics(exported_run):
    return json.loads(exported_run.export_metrics.read_text())["export"]


@pytest.fixture
def paths(tiny_run, tmp_path):
    """The model and shards of a tiny run, and outputs in the test's folder."""
    own = PipelinePaths.under(tmp_path)
    return replace(own, shards=tiny_run.shards, model=tiny_run.model)


def export_params(name):
    return ExportParams(formats=(name,), calibration_images=1, test_images=2)


def test_the_metrics_cover_the_first_test_images(metrics, exported_run, tiny_run):
    manifest, saved = read_manifest(tiny_run.shards), load_model(tiny_run.model)
    references = list(predict_split(saved, tiny_run.shards, manifest, "test", 4))[:NUM_IMAGES]
    reference_iou = float(mean_iou(sum(reference.confusion for reference in references)))
    images = np.stack([reference.image for reference in references])
    for name, file_name in FILE_NAMES.items():
        path = exported_run.exported / file_name
        predicted = exported_predict_fn(read_exported(path))(images).argmax(-1).astype(np.uint8)
        pairs = list(zip(references, predicted, strict=True))
        matrix = sum(count_labels(reference.mask, mask, 3) for reference, mask in pairs)
        equal = np.mean([reference.predicted == mask for reference, mask in pairs])
        iou = float(mean_iou(matrix))
        assert metrics[name]["bytes"] == path.stat().st_size
        assert metrics[name]["mean_iou"] == pytest.approx(iou, abs=1e-4)
        assert metrics[name]["mean_iou_delta"] == pytest.approx(iou - reference_iou, abs=1e-4)
        assert metrics[name]["pixel_agreement"] == pytest.approx(equal, abs=1e-3)
    float32, int8 = metrics["litert_float32"], metrics["litert_int8"]
    assert float32["max_abs_error"] < 1e-4 < int8["max_abs_error"]


def test_quantized_files_are_smaller(metrics):
    assert metrics["litert_float16"]["bytes"] < metrics["litert_float32"]["bytes"]
    assert metrics["litert_int8"]["bytes"] < metrics["litert_float32"]["bytes"]


def test_a_file_that_does_not_match_the_network_is_not_written(paths, tmp_path, monkeypatch):
    def convert_another(saved, *args):
        return convert(replace(saved, network=build_unet(saved.architecture)), *args)

    monkeypatch.setattr(export_module, "convert", convert_another)
    with pytest.raises(
        PetsegError,
        match=r"unet_float32\.tflite does not match the trained network: its probabilities differ "
        r"by 0\.\d+ on average; remove litert_float32 from export\.formats\.",
    ):
        export(export_params("litert_float32"), paths)
    assert not list(tmp_path.rglob("*.*"))


def test_a_file_that_outputs_nan_is_not_written(paths, tmp_path, monkeypatch):
    def predict_nan(exported, threads):
        return lambda images: np.full((1, 32, 32, 3), np.nan, np.float32)

    monkeypatch.setattr(export_module, "exported_predict_fn", predict_nan)
    with pytest.raises(
        PetsegError,
        match=r"unet_float16\.tflite outputs NaN or Inf; remove litert_float16 from export\.formats",
    ):
        export(export_params("litert_float16"), paths)
    assert not list(tmp_path.rglob("*.*"))


def test_a_saved_model_is_checked_like_a_file_and_listed(paths):
    export(export_params("saved_model"), paths)
    metrics = json.loads(paths.export_metrics.read_text())["export"]["saved_model"]
    assert metrics["max_abs_error"] < 1e-4
    folder = paths.exported / "saved_model"
    contents = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert metrics["bytes"] == sum(map(len, contents.values()))
    files = json.loads((paths.exported / "exported.json").read_text())["files"]
    assert files["saved_model"]["sha256"] == sha256_of_files(contents)
    with pytest.raises(
        PetsegError, match=r"saved_model is for other engines .*; choose .*exported"
    ):
        petseg.load(folder)


def test_undefined_metrics_are_null(paths, monkeypatch):
    first_examples = export_module._first_examples

    def ignore_all_pixels(*args):
        return ((image, np.full_like(mask, 255)) for image, mask in first_examples(*args))

    monkeypatch.setattr(export_module, "_first_examples", ignore_all_pixels)
    export(export_params("litert_float32"), paths)
    text = paths.export_metrics.read_text()
    metrics = json.loads(text, parse_constant=pytest.fail)["export"]["litert_float32"]
    assert metrics["mean_iou"] is metrics["mean_iou_delta"] is None
    assert metrics["pixel_agreement"] > 0.99
