"""Exported models at work: LiteRT's interpreter and ONNX Runtime, each as a `PredictFn`. Neither needs TensorFlow."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from petseg.core.errors import PetsegError, first_line
from petseg.core.process import suppress_stderr
from petseg.exporting.exported import Exported
from petseg.prediction.backend import PredictFn


def exported_predict_fn(exported: Exported, flip: bool = False, threads: int = 0) -> PredictFn:
    """The file's network, run on so many threads (0: one per core); with `flip` averaged with the mirror image.

    Raises PetsegError if the runtime can't read the file, or if it is another network than its JSON says.
    """
    start = _start_onnx if exported.format == "onnx" else _start_litert
    try:
        with suppress_stderr():
            scorer = start(exported.content, threads or os.cpu_count() or 1)
        size, classes = exported.image_size, len(exported.classes)
        found = scorer(np.zeros((1, size, size, 3), np.uint8)).shape
    except Exception as error:  # each runtime has errors of its own
        raise PetsegError(f"{exported.path} can't be run ({first_line(error)}).") from error
    if found != (1, size, size, classes):
        raise PetsegError(
            f"{exported.path} gives {found}, but its JSON says {(1, size, size, classes)}."
        )
    return _with_mirror_image(scorer) if flip else scorer


def _start_litert(content: bytes, threads: int) -> PredictFn:
    """One image at a time, since the file's shapes are fixed; what is quantized is translated from and to numbers."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=threads)
    interpreter.allocate_tensors()
    (image,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()

    def score_one(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        interpreter.set_tensor(image["index"], pixels[None].astype(image["dtype"]))
        interpreter.invoke()
        found = interpreter.get_tensor(probabilities["index"])[0]
        return (
            found
            if found.dtype == np.float32
            else _dequantized(found, *probabilities["quantization"])
        )

    return lambda images: np.stack([score_one(pixels) for pixels in images])


def _dequantized(values: NDArray[Any], scale: float, zero_point: int) -> NDArray[np.float32]:
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def _start_onnx(content: bytes, threads: int) -> PredictFn:
    """The content as bytes, so that the file can't name others that would be read."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()

    def score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        (probabilities,) = session.run(None, {image.name: images.astype(np.float32)})
        return np.asarray(probabilities)

    return score


def _with_mirror_image(scorer: PredictFn) -> PredictFn:
    def score(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        mirrored = scorer(np.ascontiguousarray(images[:, :, ::-1]))
        return (scorer(images) + mirrored[:, :, ::-1]) / np.float32(2)

    return score
