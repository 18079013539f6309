"""The description that Android's libraries need in a LiteRT file: pixel values and class names.

TensorFlow Lite's metadata is a flatbuffer within the file's own. The class names are in labels.txt
in a ZIP archive after it, so `unzip unet_float32.tflite` extracts them. The libraries that write
metadata are unmaintained (tflite-support) or can't be imported (MediaPipe 1.2); their schema is
https://github.com/google-ai-edge/mediapipe/blob/master/mediapipe/tasks/metadata/metadata_schema.fbs
"""

import io
import zipfile
from collections.abc import Sequence
from typing import Any, NamedTuple

import flatbuffers

METADATA_NAME = "TFLITE_METADATA"
_FILE_IDENTIFIER = b"M001"
_MIN_PARSER_VERSION = "1.0.0"  # the first that knows all fields below
_LABELS_FILE = "labels.txt"


class _Enum(int):
    """An enumerator, or the number of a union's type."""


_TENSOR_AXIS_LABELS = _Enum(2)
_RGB, _GRAYSCALE = _Enum(1), _Enum(2)
_IMAGE_PROPERTIES = _Enum(2)
_NORMALIZATION_OPTIONS = _Enum(1)


# The schema's tables that are used, with their fields in order. None is left out.
class _AssociatedFile(NamedTuple):
    name: str
    description: str
    type: _Enum


class _ImageProperties(NamedTuple):
    color_space: _Enum


class _ValueRange(NamedTuple):
    min: int
    max: int


class _Content(NamedTuple):
    content_properties_type: _Enum
    content_properties: _ImageProperties
    range: _ValueRange | None = None


class _NormalizationOptions(NamedTuple):
    mean: list[float]
    std: list[float]


class _ProcessUnit(NamedTuple):
    options_type: _Enum
    options: _NormalizationOptions


class _Stats(NamedTuple):
    max: list[float]
    min: list[float]


class _TensorMetadata(NamedTuple):
    name: str
    description: str
    dimension_names: None
    content: _Content
    process_units: list[_ProcessUnit] | None = None
    stats: _Stats | None = None
    associated_files: list[_AssociatedFile] | None = None


class _SubGraphMetadata(NamedTuple):
    name: None
    description: None
    input_tensor_metadata: list[_TensorMetadata]
    output_tensor_metadata: list[_TensorMetadata]


class _ModelMetadata(NamedTuple):
    name: str
    description: str
    version: None
    subgraph_metadata: list[_SubGraphMetadata]
    author: None
    license: None
    associated_files: None
    min_parser_version: str


_IMAGE = _TensorMetadata(
    "image",
    "RGB image. Pixel values are 0 to 255.",
    None,
    _Content(_IMAGE_PROPERTIES, _ImageProperties(_RGB)),
    [_ProcessUnit(_NORMALIZATION_OPTIONS, _NormalizationOptions([0.0], [1.0]))],
    _Stats([255.0], [0.0]),
)
_PROBABILITIES = _TensorMetadata(
    "probabilities",
    "Probability of each class at each pixel.",
    None,
    # The range is that of the image's axes, height and width.
    _Content(_IMAGE_PROPERTIES, _ImageProperties(_GRAYSCALE), _ValueRange(1, 2)),
    associated_files=[_AssociatedFile(_LABELS_FILE, "Class names.", _TENSOR_AXIS_LABELS)],
)
_MODEL = _ModelMetadata(
    "petseg",
    "Semantic segmentation: a class for each pixel.",
    None,
    [_SubGraphMetadata(None, None, [_IMAGE], [_PROBABILITIES])],
    None,
    None,
    None,
    _MIN_PARSER_VERSION,
)


def metadata_buffer() -> bytes:
    """Return the metadata of a network from an RGB image of 0..255 to probabilities."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(_write(builder, _MODEL), _FILE_IDENTIFIER)
    return bytes(builder.Output())


def append_labels(content: bytes, class_names: Sequence[str]) -> bytes:
    """Return a LiteRT file with labels.txt appended."""
    file = io.BytesIO()
    file.write(content)
    info = zipfile.ZipInfo(_LABELS_FILE)  # of 1980, so that every run writes the same bytes
    info.create_system = 3
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(info, "".join(f"{name}\n" for name in class_names))
    return file.getvalue()


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Write a string, list or table, and return its offset."""
    if isinstance(value, str):
        return int(builder.CreateString(value))
    if isinstance(value, list):
        return _write_list(builder, value)
    offsets = [part if isinstance(part, int | None) else _write(builder, part) for part in value]
    builder.StartObject(len(value))
    for slot, (part, offset) in enumerate(zip(value, offsets, strict=True)):
        if isinstance(part, _Enum):
            builder.PrependInt8Slot(slot, part, 0)
        elif isinstance(part, int):
            builder.PrependInt32Slot(slot, part, 0)
        elif part is not None:
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


def _write_list(builder: flatbuffers.Builder, values: list[Any]) -> int:
    """Write floats, or tables. Flatbuffers grow from their end, so the last comes first."""
    is_float = isinstance(values[0], float)
    parts = values if is_float else [_write(builder, value) for value in values]
    prepend = builder.PrependFloat32 if is_float else builder.PrependUOffsetTRelative
    builder.StartVector(4, len(parts), 4)
    for part in reversed(parts):
        prepend(part)
    return int(builder.EndVector())
