"""A model in other runtimes' formats: what is in each file, what the stage says of it, and how it is run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

import petseg
from petseg.cli import main
from petseg.config.params import ExportParams
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.labels import colors_of
from petseg.core.sealed_json import sealed_json
from petseg.exporting import export as export_module
from petseg.exporting.convert import convert
from petseg.exporting.export import export
from petseg.exporting.exported import FILE_NAMES, read_exported
from petseg.metrics import count_labels, mean_iou
from petseg.model.saved import SavedModel, load_model, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.prediction.predict import predict_split
from petseg.shards.manifest import read_manifest
from support.project import ROOT
from support.robustness import matches

SECTION = "Exported models"
CASES = {
    "exported file cut short": "exported/unet.onnx is not the file that exported/exported.json names (sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro export.",
    "exported file that is missing": "exported/unet.onnx is not there; bring it back with dvc checkout --force, or make it anew with dvc repro export.",
    "exported file without its JSON": "exported/unet.onnx lies alone; keep exported.json, which was written with it, in the same folder.",
    "exported file that its JSON doesn't name": "exported/exported.json knows no unet.onnx, but unet_float32.tflite, unet_float16.tflite, unet_int8.tflite.",
    "exported.json edited by hand": "exported/exported.json was changed after it was written (its own sha256 differs); bring it back with dvc checkout --force, or make it anew with dvc repro export.",
    "exported.json of another format": "exported/exported.json is of format 2, this petseg reads 1; bring it back with dvc checkout --force, or make it anew with dvc repro export.",
    "exported.json with half a color": "exported/exported.json: model.classes.pet.2 is missing.",
    "exported.json for other classes": "exported/unet.onnx gives (1, 32, 32, 3), but its JSON says (1, 32, 32, 2).",
    "exported file that is no network": "exported/unet.onnx can't be run (…).",
}  # fmt: skip

SIZE = 32
TRIMAP = colors_of(("pet", "background", "border"))
ALL = ExportParams(formats=tuple(FILE_NAMES), calibration_images=8, test_images=6)
RNG = np.random.default_rng(0)


def sure_of_itself(architecture):
    """An untrained network, whose probabilities nevertheless lie far apart."""
    keras.utils.set_random_seed(0)
    network = build_unet(architecture)
    head = network.get_layer("head")
    kernel, bias = head.get_weights()
    head.set_weights([kernel * 100, bias])
    return network


def pictures(number, height=SIZE, width=SIZE):
    return RNG.integers(0, 256, (number, height, width, 3), np.uint8)


def probabilities(network, images):
    return tf.nn.softmax(network(images.astype(np.float32), training=False)).numpy()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    folder = tmp_path_factory.mktemp("exporting") / "unet"
    save_model(SavedModel(sure_of_itself(architecture), architecture, TRIMAP, SIZE), folder)
    return folder


@pytest.fixture(scope="module")
def network(model_dir):
    return load_model(model_dir).network


@pytest.fixture(scope="module")
def exported(model_dir, tiny_shards):
    """The stage's outs: the folder, and metrics.json beside it."""
    folder = model_dir.parent / "exported"
    export(ALL, tiny_shards, model_dir, folder, folder.parent / "export.json")
    return folder


@pytest.fixture(scope="module")
def metrics(exported):
    return json.loads((exported.parent / "export.json").read_text())["export"]


def test_the_networks_of_these_tests_say_different_things_of_different_pixels(network):
    found = probabilities(network, pictures(4))
    assert found.max(-1).mean() > 0.6
    assert len(np.unique(found.argmax(-1))) > 1


@pytest.mark.skipif(os.name != "posix", reason="no pseudo-terminals here")
def test_whoever_waits_at_a_terminal_sees_how_far_int8_is_and_nothing_of_the_converter(network):
    ours, theirs = os.openpty()
    stderr = os.dup(2)
    os.dup2(theirs, 2)
    try:
        convert(network, SIZE, "litert_int8", list(pictures(4)))
        convert(network, SIZE, "litert_float32", [])
    finally:
        os.dup2(stderr, 2)
    os.close(theirs)
    seen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert re.fullmatch(r"(\s*calibrate int8: [^\r\n]+picture/s\][\r\n]*)+", seen), seen
    assert "4/4" in seen


@pytest.mark.parametrize(
    ("name", "largest", "mean"),
    [
        ("litert_float32", 1e-4, 1e-5),
        ("litert_float16", 0.1, 1e-3),
        (
            "litert_int8",
            1.0,
            0.05,
        ),  # 256 steps for each layer's numbers: some pixels come out otherwise
        ("onnx", 1e-4, 1e-5),
    ],
)
def test_each_file_gives_the_network_s_probabilities(exported, network, name, largest, mean):
    images = pictures(4)
    predictions = petseg.load(exported / FILE_NAMES[name]).predict_batch(list(images))
    assert predictions[0].classes == TRIMAP
    wanted = probabilities(network, images)
    difference = np.abs(np.stack([one.network_probabilities for one in predictions]) - wanted)
    assert difference.max() < largest
    assert difference.mean() < mean
    assert (
        np.abs(wanted - wanted.mean((0, 1, 2))).mean() > 0.2
    )  # an image's mean would be as far off


def test_the_metrics_are_those_of_the_first_test_pictures(
    metrics, exported, model_dir, tiny_shards
):
    manifest = read_manifest(tiny_shards)
    truth = list(predict_split(load_model(model_dir), tiny_shards, manifest, "test", 4))[
        : ALL.test_images
    ]
    by_network = float(mean_iou(sum(one.confusion for one in truth)))
    images = [one.image for one in truth]
    for name, file in FILE_NAMES.items():
        found = [
            one.network_probabilities.argmax(-1).astype(np.uint8)
            for one in petseg.load(exported / file).predict_batch(images)
        ]
        matrix = sum(count_labels(t.mask, f, 3) for t, f in zip(truth, found, strict=True))
        same = np.mean([t.predicted == f for t, f in zip(truth, found, strict=True)])
        assert metrics[name]["bytes"] == (exported / file).stat().st_size
        assert metrics[name]["mean_iou"] == pytest.approx(float(mean_iou(matrix)), abs=1e-4)
        assert metrics[name]["mean_iou_delta"] == pytest.approx(
            float(mean_iou(matrix)) - by_network, abs=1e-4
        )
        assert metrics[name]["agreement"] == pytest.approx(same, abs=1e-3)
    assert (
        metrics["litert_float32"]["max_abs_error"] < 1e-4 < metrics["litert_int8"]["max_abs_error"]
    )


def test_quantized_files_are_smaller(metrics):
    whole = metrics["litert_float32"]["bytes"]
    assert metrics["litert_float16"]["bytes"] < 0.6 * whole
    assert metrics["litert_int8"]["bytes"] < 0.45 * whole


def test_onnx_takes_batches_and_pictures_of_any_size(exported, network):
    session = onnxruntime.InferenceSession((exported / FILE_NAMES["onnx"]).read_bytes())
    assert [
        (value.name, value.shape) for value in (*session.get_inputs(), *session.get_outputs())
    ] == [
        ("image", ["batch", "height", "width", 3]),
        ("probabilities", ["batch", "height", "width", 3]),
    ]
    images = pictures(3, 64, 96)
    (found,) = session.run(None, {"image": images.astype(np.float32)})
    np.testing.assert_allclose(found, probabilities(network, images), atol=1e-4)


def test_int8_takes_a_picture_s_bytes_as_they_are_even_if_it_was_made_with_dark_ones(network):
    dark = [picture // 4 + 20 for picture in pictures(3)]
    interpreter = Interpreter(model_content=convert(network, SIZE, "litert_int8", dark))
    (image,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], image["quantization"], image["shape"].tolist()) == (
        np.uint8,
        (1.0, 0),
        [1, SIZE, SIZE, 3],
    )
    assert (found["dtype"], found["quantization"]) == (np.uint8, (1 / 256, 0))


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(
            "mobilenet_v2",
            0.35,
            (8, 8, 8, 8),
            3,
            input_upsampling=2,
        ),
        Architecture("mobilenet_v2", 0.35, (8, 8), 4, output_stride=16),
    ],
    ids=["input enlarged", "stride 16, mask enlarged"],
)
def test_every_kind_of_network_can_be_converted(architecture):
    network, images = sure_of_itself(architecture), pictures(2)
    wanted = probabilities(network, images)
    interpreter = Interpreter(model_content=convert(network, SIZE, "litert_float32", []))
    interpreter.allocate_tensors()
    for image, one in zip(images, wanted, strict=True):
        interpreter.set_tensor(
            interpreter.get_input_details()[0]["index"], image[None].astype(np.float32)
        )
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]
        np.testing.assert_allclose(found, one, atol=1e-3)
    session = onnxruntime.InferenceSession(convert(network, SIZE, "onnx", []))
    np.testing.assert_allclose(
        session.run(None, {"image": images.astype(np.float32)})[0], wanted, atol=1e-3
    )


def test_another_process_makes_the_same_bytes(exported, metrics, model_dir, tiny_shards, tmp_path):
    params = ALL.model_dump() | {"formats": ["litert_int8", "onnx"]}
    code = (
        "import sys; from pathlib import Path; from petseg.core.tf_import import import_tensorflow; import_tensorflow()\n"
        "from petseg.exporting.export import export; from petseg.config.params import ExportParams\n"
        f"params = ExportParams.model_validate({params})\n"
        "export(params, *map(Path, sys.argv[1:]))"
    )
    places = [tiny_shards, model_dir, tmp_path / "exported", tmp_path / "export.json"]
    environment = os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code, *map(str, places)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "INFO" not in done.stderr
    assert "On 6 test pictures" in done.stdout
    for name in params["formats"]:
        assert (tmp_path / "exported" / FILE_NAMES[name]).read_bytes() == (
            exported / FILE_NAMES[name]
        ).read_bytes(), name
    found = json.loads((tmp_path / "export.json").read_text())["export"]
    assert found == {name: metrics[name] for name in params["formats"]}


def test_an_exported_model_needs_no_tensorflow(exported, tmp_path):
    code = (
        "import sys, numpy, petseg\n"
        "model = petseg.load(sys.argv[1])\n"
        "assert model.predict(numpy.zeros((50, 70, 3), numpy.uint8)).mask.shape == (50, 70)\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('tensorflow', 'keras', 'dvc', 'tf2onnx')])"
    )
    for name in ("litert_int8", "onnx"):
        command = [sys.executable, "-c", code, str(exported / FILE_NAMES[name])]
        done = subprocess.run(
            command, env={"PYTHONPATH": str(ROOT / "src")}, capture_output=True, text=True
        )
        assert (done.stdout.strip(), done.stderr) == ("[]", ""), name


@pytest.mark.parametrize("name", ["litert_int8", "onnx"])
def test_a_photo_s_mirror_image_can_be_averaged_in(exported, name):
    (image,) = pictures(1)
    once, mirrored = petseg.load(exported / FILE_NAMES[name]).predict_batch([image, image[:, ::-1]])
    both = petseg.load(exported / FILE_NAMES[name], tta_flip=True).predict(image)
    np.testing.assert_allclose(
        both.network_probabilities,
        (once.network_probabilities + mirrored.network_probabilities[:, ::-1]) / 2,
        atol=1e-6,
    )
    assert not np.allclose(both.network_probabilities, once.network_probabilities, atol=1e-3)


def test_a_file_that_became_another_network_is_not_written(
    model_dir, tiny_shards, tmp_path, monkeypatch
):
    def convert_another(network, *args):
        other = build_unet(load_model(model_dir).architecture)
        return convert(other, *args)

    monkeypatch.setattr(export_module, "convert", convert_another)
    params = ALL.model_copy(update={"formats": ("litert_float32",)})
    with pytest.raises(
        PetsegError, match=r"unet_float32\.tflite is not the network that was trained: its probabil"
    ):
        export(params, tiny_shards, model_dir, tmp_path / "exported", tmp_path / "export.json")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_gives_what_is_no_probability_is_not_written(
    model_dir, tiny_shards, tmp_path, monkeypatch
):
    def nowhere(exported, threads):
        return lambda images: np.full((1, SIZE, SIZE, 3), np.nan, np.float32)

    monkeypatch.setattr(export_module, "exported_predict_fn", nowhere)
    params = ALL.model_copy(update={"formats": ("litert_float16",)})
    with pytest.raises(PetsegError, match=r"unet_float16\.tflite gives what is no probability"):
        export(params, tiny_shards, model_dir, tmp_path / "exported", tmp_path / "export.json")
    assert list(tmp_path.iterdir()) == []


def test_what_is_undefined_is_null_in_the_metrics(model_dir, tiny_shards, tmp_path, monkeypatch):
    original = export_module._pictures

    def ignored(*args):
        return ((image, np.full_like(mask, 255)) for image, mask in original(*args))

    monkeypatch.setattr(export_module, "_pictures", ignored)
    params = ALL.model_copy(update={"formats": ("litert_float32",)})
    export(params, tiny_shards, model_dir, tmp_path / "exported", tmp_path / "export.json")
    told = json.loads((tmp_path / "export.json").read_text(), parse_constant=pytest.fail)["export"][
        "litert_float32"
    ]
    assert told["mean_iou"] is told["mean_iou_delta"] is None
    assert told["agreement"] > 0.99


def test_a_network_that_a_converter_refuses_is_told_in_a_sentence(network):
    with pytest.raises(
        PetsegError,
        match=r"This network can't be converted to litert_int8 \(.+\); take it out of export",
    ):
        convert(
            network, SIZE, "litert_int8", [np.zeros((8, 8, 3), np.uint8)]
        )  # not the network's size


def test_the_command_line_predicts_with_an_exported_file_and_shows_it(exported, tmp_path):
    photo = ROOT / "docs" / "images" / "examples.png"
    file = str(exported / FILE_NAMES["litert_int8"])
    done = CliRunner().invoke(
        main, ["predict", str(photo), "--out", str(tmp_path), "--model", file, "--json"]
    )
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.output)["predicted"][0]["shares"]) == list(TRIMAP)
    facts = json.loads(CliRunner().invoke(main, ["show", "--model", file, "--json"]).output)
    assert facts["model"]["format"] == "litert_int8"
    assert facts["sha256"][FILE_NAMES["litert_int8"]] == sha256_of(Path(file))


def resealed(change):
    """exported.json changed by somebody who also makes its checksum anew."""

    def change_folder(folder):
        path = folder / "exported.json"
        document = json.loads(path.read_text())
        document.pop("sha256")
        change(document, folder)
        path.write_text(sealed_json(document))

    return change_folder


def damage(folder):
    path = folder / FILE_NAMES["onnx"]
    path.write_bytes(path.read_bytes()[:-1])


def edit(folder):
    path = folder / "exported.json"
    path.write_text(path.read_text().replace('"image_size": 32', '"image_size": 64'))


def no_network(document, folder):
    (folder / FILE_NAMES["onnx"]).write_bytes(b"no network")
    document["files"][FILE_NAMES["onnx"]]["sha256"] = sha256_of(folder / FILE_NAMES["onnx"])


def other_classes(document, folder):
    document["model"]["classes"].pop("border")


def colorless(document, folder):
    document["model"]["classes"]["pet"] = [1, 2]


DAMAGED = {
    "exported file cut short": damage,
    "exported file that is missing": lambda folder: (folder / FILE_NAMES["onnx"]).unlink(),
    "exported file without its JSON": lambda folder: (folder / "exported.json").unlink(),
    "exported file that its JSON doesn't name": resealed(
        lambda document, _: document["files"].pop(FILE_NAMES["onnx"])
    ),
    "exported.json edited by hand": edit,
    "exported.json of another format": resealed(lambda document, _: document.update(format=2)),
    "exported.json with half a color": resealed(colorless),
    "exported.json for other classes": resealed(other_classes),
    "exported file that is no network": resealed(no_network),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_broken_exported_model_is_told_in_a_sentence(exported, tmp_path, case):
    folder = tmp_path / "exported"
    shutil.copytree(exported, folder)
    DAMAGED[case](folder)
    with pytest.raises(PetsegError) as caught:
        petseg.load(folder / FILE_NAMES["onnx"])
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


def test_the_folder_of_exported_files_is_not_a_model(exported):
    with pytest.raises(
        PetsegError, match=r"contains exported models; name one of its files, such as .*unet\.onnx"
    ):
        petseg.load(exported)


def test_an_exported_model_has_one_size(exported):
    with pytest.raises(PetsegError, match=r"has a fixed input size; remove --tta-scale"):
        petseg.load(exported / FILE_NAMES["onnx"], tta_scales=(1.0, 1.25))


def test_what_was_checked_is_what_is_run(exported):
    file = read_exported(exported / FILE_NAMES["onnx"])
    assert file.content == (exported / FILE_NAMES["onnx"]).read_bytes()
