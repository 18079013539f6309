"""Convert a network to another runtime's format: images of 0..255 in, probabilities out.

| format | image | probabilities | batch | height and width |
|---|---|---|---|---|
| litert_float32, litert_float16 | float32 | float32 | 1 | the model's |
| litert_int8 | uint8 | uint8, 1/256 each | 1 | the model's |
| onnx | float32 | float32 | any | any multiples of 32 |
| onnx_photo | uint8 | float32, and the mask | none | any |
| saved_model | photos, see saved_model.py | float32 | any | the model's |

LiteRT's fast kernels require fixed shapes. The same weights give the same bytes.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tqdm import tqdm

from petseg.config.types import ONE_WINDOW_FORMATS, ExportFormat
from petseg.core.errors import explain, first_line, translate
from petseg.core.process import suppress_stderr
from petseg.exporting.bias_correction import correct_biases
from petseg.exporting.exported import Content
from petseg.exporting.keras_compat import with_dynamic_size
from petseg.exporting.onnx_photo import require_one_window, with_photo_input
from petseg.exporting.saved_model import convert_to_saved_model
from petseg.exporting.tf2onnx_compat import function_to_onnx
from petseg.exporting.tflite_compat import finish_file, with_constant_weights
from petseg.exporting.tflite_metadata import METADATA_NAME, append_labels, metadata_buffer
from petseg.model.saved import SavedModel


def convert(
    saved: SavedModel,
    export_format: ExportFormat,
    calibration_images: Sequence[NDArray[np.uint8]],
) -> Content:
    """Return the content of the exported file or folder.

    The calibration images (H, W, 3) give int8 the value range of each layer, and the mean inputs
    that its biases are corrected with.
    Raises PetsegError if the format's converter rejects the network.
    """
    failed = f"This network can't be converted to {export_format}"
    remedy = f"remove {export_format} from export.formats"

    def describe(error: Exception) -> str | None:
        of_the_machine = explain(error) is not None  # no memory, a full disk
        return None if of_the_machine else f"{failed} ({first_line(error)}); {remedy}."

    with translate(describe), _quiet() as stderr:
        if export_format == "onnx":
            return _convert_to_onnx(saved.network)
        if export_format in ONE_WINDOW_FORMATS:
            require_one_window(saved.resize, saved.tiles, export_format)
        if export_format == "onnx_photo":
            network, num_classes = _convert_to_onnx(saved.network), len(saved.class_names)
            return with_photo_input(network, saved.image_size, saved.resize, num_classes)
        if export_format == "saved_model":
            return convert_to_saved_model(saved)
        return _convert_to_litert(saved, export_format, calibration_images, stderr)


@contextmanager
def _quiet() -> Iterator[TextIO]:
    """Suppress the converters' output; yield the real stderr."""
    with suppress_stderr() as stderr, warnings.catch_warnings():
        # "... but not specified": they are, by the calibration images.
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
        yield stderr


def _convert_to_litert(
    saved: SavedModel,
    export_format: ExportFormat,
    calibration_images: Sequence[NDArray[np.uint8]],
    stderr: TextIO,
) -> bytes:
    signature = [tf.TensorSpec([1, *saved.image_size, 3], tf.float32, name="image")]
    network = saved.network
    if export_format == "litert_int8":
        network = correct_biases(saved, calibration_images)

    @tf.function(input_signature=signature)
    def predict(image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(network(image, training=False))

    function = with_constant_weights(predict.get_concrete_function())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    if export_format != "litert_float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if export_format == "litert_float16":
        converter.target_spec.supported_types = [tf.float16]
    if export_format == "litert_int8":
        converter.representative_dataset = lambda: _calibration_inputs(
            tqdm(calibration_images, "calibrate int8", unit="image", disable=None, file=stderr)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    content = finish_file(converter.convert(), METADATA_NAME, metadata_buffer())
    return append_labels(content, saved.class_names)


def _calibration_inputs(images: Iterable[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.float32]]]:
    """Yield each image as a batch of one.

    The first one gets a black and a white pixel, so that input bytes map to pixel values exactly.
    """
    for number, pixels in enumerate(images):
        image = pixels.astype(np.float32)[None]
        if number == 0:
            image[0, 0, :2] = [[0.0], [255.0]]
        yield [image]


def _convert_to_onnx(network: keras.Model) -> bytes:
    dynamic = with_dynamic_size(network)
    signature = [tf.TensorSpec([None, None, None, 3], tf.float32, name="image")]

    @tf.function(input_signature=signature)
    def predict(image: tf.Tensor) -> tf.Tensor:
        return tf.nn.softmax(dynamic(image, training=False))

    return function_to_onnx(predict, signature)
