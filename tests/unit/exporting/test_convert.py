"""The files that a network is converted to, run by other runtimes."""

import os
import re

import numpy as np
import onnxruntime
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.core.labels import colors_of
from petseg.exporting import convert as convert_module
from petseg.exporting.convert import convert
from petseg.exporting.exported import FILE_NAMES
from petseg.model.saved import SavedModel
from petseg.model.unet import Architecture
from support.models import SMALL_ARCHITECTURE, build_decided_network

SIZE = ImageSize(32, 64)
MOBILENET = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3, input_upsampling=2)
COARSE = Architecture("mobilenet_v2", 0.35, (8, 8), 4, output_stride=16)


def random_images(count, height=SIZE.height, width=SIZE.width):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def probabilities_of(network, images):
    return tf.nn.softmax(network(images.astype(np.float32), training=False)).numpy()


def run_litert(content, images):
    """Run a float file on one image at a time."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels[None].astype(image["dtype"]))
        interpreter.invoke()
        values = interpreter.get_tensor(output["index"])[0]
        outputs.append(values / 256 if values.dtype == np.uint8 else values)
    return np.stack(outputs)


def run_onnx(content, images):
    session = onnxruntime.InferenceSession(content)
    return session.run(None, {"image": images.astype(np.float32)})[0]


def saved_model(network, architecture=SMALL_ARCHITECTURE):
    names = ("pet", "background", "border", "collar")[: architecture.classes]
    return SavedModel(network, architecture, colors_of(names), SIZE)


@pytest.fixture
def network(small_encoder):
    return build_decided_network()


@pytest.fixture
def saved(network):
    return saved_model(network)


@pytest.fixture(scope="session")
def onnx_file(exported_run):
    return (exported_run.exported / "unet.onnx").read_bytes()


def test_mobilenet_v2_can_be_converted_to_every_format():
    network, images = build_decided_network(MOBILENET), random_images(2)
    expected = probabilities_of(network, images)
    assert np.abs(expected - expected.mean((0, 1, 2))).mean() > 0.2
    formats = [name for name in FILE_NAMES if name != "onnx_photo"]  # it contains onnx's graph
    for name, mean_error in zip(formats, (1e-4, 1e-2, 0.1, 1e-4), strict=True):
        content = convert(saved_model(network, MOBILENET), name, images)
        run = run_onnx if name == "onnx" else run_litert
        assert np.abs(run(content, images) - expected).mean() < mean_error, name


@pytest.mark.parametrize(
    "encoder", ["mobilenet_v3_large", "efficientnet_v2_b0", "efficientnet_lite2"]
)
def test_other_encoders_can_be_converted(encoder):
    architecture = Architecture(encoder, 1.0, (8, 8, 8, 8), 3, output_stride=16)
    network, images = build_decided_network(architecture), random_images(2)
    expected = probabilities_of(network, images)
    assert np.abs(expected - expected.mean((0, 1, 2))).mean() > 0.1
    for name, run, mean_error in (("litert_int8", run_litert, 0.03), ("onnx", run_onnx, 1e-4)):
        content = convert(saved_model(network, architecture), name, images)
        assert np.abs(run(content, images) - expected).mean() < mean_error, name


@pytest.mark.parametrize(("name", "run"), [("litert_float32", run_litert), ("onnx", run_onnx)])
def test_a_decoder_that_ends_early_can_be_converted(small_encoder, name, run):
    network, images = build_decided_network(COARSE), random_images(2)
    content = convert(saved_model(network, COARSE), name, [])
    np.testing.assert_allclose(run(content, images), probabilities_of(network, images), atol=1e-3)


@pytest.mark.parametrize("name", ["litert_int8", "onnx_photo"])
def test_a_second_conversion_gives_the_same_bytes(saved, name):
    first, second = (convert(saved, name, random_images(2)) for _ in range(2))
    assert first == second


def test_onnx_accepts_batches_and_images_of_any_size(onnx_file, network):
    session = onnxruntime.InferenceSession(onnx_file)
    values = (*session.get_inputs(), *session.get_outputs())
    assert [(value.name, value.shape) for value in values] == [
        ("image", ["batch", "height", "width", 3]),
        ("probabilities", ["batch", "height", "width", 3]),
    ]
    images = random_images(3, 96, 32)
    expected = probabilities_of(network, images)
    np.testing.assert_allclose(run_onnx(onnx_file, images), expected, atol=1e-4)


def test_int8_maps_bytes_to_pixel_values_even_if_calibrated_with_dark_images(saved):
    dark = [image // 4 + 20 for image in random_images(3)]
    interpreter = Interpreter(model_content=convert(saved, "litert_int8", dark))
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert (image["dtype"], image["quantization"]) == (np.uint8, (1.0, 0))
    assert image["shape"].tolist() == [1, *SIZE, 3]
    assert (output["dtype"], output["quantization"]) == (np.uint8, (1 / 256, 0))


@pytest.mark.skipif(os.name != "posix", reason="no pseudo-terminals here")
def test_a_terminal_shows_the_progress_of_int8_and_nothing_of_the_converter(saved):
    ours, theirs = os.openpty()
    stderr = os.dup(2)
    os.dup2(theirs, 2)
    try:
        convert(saved, "litert_int8", list(random_images(4)))
        convert(saved, "litert_float32", [])
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    os.close(theirs)
    output = os.read(ours, 100_000).decode()
    os.close(ours)
    assert re.fullmatch(r"(\s*calibrate int8: [^\r\n]+image/s\][\r\n]*)+", output), output
    assert "4/4" in output


def test_the_biases_of_int8_are_corrected(saved, monkeypatch):
    images = list(random_images(4))
    corrected = convert(saved, "litert_int8", images)
    monkeypatch.setattr(convert_module, "correct_biases", lambda saved, _: saved.network)
    assert convert(saved, "litert_int8", images) != corrected


def test_a_network_that_the_converter_rejects_is_a_petseg_error(saved, monkeypatch):
    monkeypatch.setattr(convert_module, "correct_biases", lambda saved, _: saved.network)
    wrong_size = [np.zeros((8, 8, 3), np.uint8)]
    with pytest.raises(
        PetsegError,
        match=r"This network can't be converted to litert_int8 \(.+\); remove litert_int8 from export\.formats\.",
    ):
        convert(saved, "litert_int8", wrong_size)


def test_a_failure_of_the_machine_is_not_blamed_on_the_format(saved, monkeypatch):
    def run_out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr(convert_module, "function_to_onnx", run_out_of_memory)
    with pytest.raises(MemoryError):
        convert(saved, "onnx", [])
