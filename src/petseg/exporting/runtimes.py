"""Run exported models with LiteRT or ONNX Runtime, without TensorFlow."""

import os
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.core.errors import PetsegError, explain_missing, first_line, translate
from petseg.core.process import suppress_stderr
from petseg.exporting.exported import ExportedModel, exported_remedy
from petseg.prediction.backend import PredictFn


def exported_predict_fn(exported: ExportedModel, flip: bool = False, threads: int = 0) -> PredictFn:
    """Load an exported model as a `PredictFn`.

    It runs on `threads` threads, 0 meaning one per core. With `flip`, probabilities are averaged
    with those of the mirrored images.
    Raises PetsegError if the runtime can't load or run the file, or if the output's shape differs
    from the JSON's.
    """
    num_threads, remedy = threads or os.cpu_count() or 1, exported_remedy(exported.path)
    size, num_classes = exported.image_size, len(exported.classes)
    with (
        translate(lambda error: f"{exported.path} can't be run ({first_line(error)}); {remedy}."),
        suppress_stderr(),
    ):
        if exported.format == "onnx":
            predict = _onnx_predict_fn(exported.content, num_threads)
        elif exported.format == "onnx_photo":
            predict = _onnx_photo_predict_fn(exported.content, num_threads)
        else:
            predict = _litert_predict_fn(exported.content, num_threads)
        shape = predict(np.zeros((1, *size, 3), np.uint8)).shape
    expected = (1, *size, num_classes)
    if shape != expected:
        raise PetsegError(
            f"{exported.path} outputs shape {shape}, but its JSON says {expected}; {remedy}."
        )
    return _average_with_flip(predict) if flip else predict


def _litert_predict_fn(content: bytes, num_threads: int) -> PredictFn:
    """Predict one image at a time, since the file's shapes are fixed."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=num_threads)
    interpreter.allocate_tensors()
    (image,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
    lock = Lock()  # an interpreter has one input and one output, whichever thread runs it

    def predict_one(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with lock:
            interpreter.set_tensor(image["index"], pixels[None].astype(image["dtype"]))
            interpreter.invoke()
            values = interpreter.get_tensor(output["index"])[0]
        if values.dtype == np.float32:
            return np.asarray(values)
        return _dequantize(values, *output["quantization"])

    return lambda images: np.stack([predict_one(pixels) for pixels in images])


def _dequantize(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def _onnx_session(content: bytes, num_threads: int) -> Any:
    """Load from bytes, not from a path, so that the file can't refer to other files."""
    with translate(partial(explain_missing, what="An ONNX file", extra="onnx")):
        import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _onnx_predict_fn(content: bytes, num_threads: int) -> PredictFn:
    session = _onnx_session(content, num_threads)
    (image,) = session.get_inputs()

    def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (probabilities,) = session.run(None, {image.name: images.astype(np.float32)})
        return np.asarray(probabilities)

    return predict


def _onnx_photo_predict_fn(content: bytes, num_threads: int) -> PredictFn:
    """Predict one image at a time. It is at the network's size, so the file doesn't resize it."""
    session = _onnx_session(content, num_threads)

    def predict_one(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(session.run(["probabilities"], {"image": image})[0])

    return lambda images: np.stack([predict_one(image) for image in images])


def _average_with_flip(predict: PredictFn) -> PredictFn:
    def predict_both(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        flipped = predict(np.ascontiguousarray(images[:, :, ::-1]))
        return (predict(images) + flipped[:, :, ::-1]) / np.float32(2)

    return predict_both
