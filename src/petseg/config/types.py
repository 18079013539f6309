"""The types of single values in params.yaml and in a model's JSON.

Error messages derive what is allowed from the constraints, unless a type has a description.
"""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictStr,
    WrapValidator,
)

from petseg.core.geometry import ImageSize
from petseg.core.labels import MAX_CLASSES

ExportFormat = Literal[
    "litert_float32", "litert_float16", "litert_int8", "onnx", "onnx_photo", "saved_model"
]
AnnotationFormat = Literal["masks", "oxford", "coco", "labelme", "yolo", "voc", "cvat", "via"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
ONE_WINDOW_FORMATS: tuple[ExportFormat, ...] = ("onnx_photo", "saved_model")
"""Those that take a photo, which the network must see in one window."""

Encoder = Literal[
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_v2_b0",
    "efficientnet_lite0",
    "efficientnet_lite2",
]
ALPHAS: dict[Encoder, tuple[float, ...]] = {
    "mobilenet_v2": (0.35, 0.5, 0.75, 1.0, 1.3, 1.4),
    "mobilenet_v3_large": (0.75, 1.0),
    "efficientnet_v2_b0": (1.0,),
    "efficientnet_lite0": (1.0,),
    "efficientnet_lite2": (1.0,),
}
"""The widths of each encoder with published ImageNet weights."""
PRETRAINED = ("pets",)
"""Names of the models that come with petseg; see petseg.pretrained."""
NAMED_WEIGHTS = ("none", "imagenet", *PRETRAINED)
"""Values of model.weights that aren't paths."""

MAX_SYNTHETIC = 370_000
"""Maximum number of images per split of synthetic_pets; a multiple of its 37 breeds."""


def _check_order(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[0] > scale[1]:
        raise ValueError("the first number is larger than the second")
    return scale


def check_input_size(value: Any) -> ImageSize:
    """Return the size for a side or for [height, width]. Raises ValueError."""
    sides = value if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(
        type(side) is int and side % 32 == 0 and 32 <= side <= 2048 for side in sides
    ):
        raise ValueError("not multiples of 32")
    return ImageSize(*sides)


def check_classes(value: Any) -> Any:
    """Return auto, a tuple of class names, or {class: tuple of labels}. Raises ValueError."""
    if value == "auto":
        return value
    table: dict[str, Any]
    if isinstance(value, dict):
        table = {_class_name(name): _labels(labels) for name, labels in value.items()}
    elif isinstance(value, list | tuple):
        table = dict.fromkeys(map(_class_name, value))
    else:
        raise ValueError("neither a list nor a table")
    names = [name for name in table if name != "ignore"]
    if len(table) < len(value) or not 1 <= len(names) <= MAX_CLASSES:
        raise ValueError("equal names, or too few or too many")
    if "ignored" in table or (isinstance(value, list | tuple) and "ignore" in table):
        raise ValueError("a reserved name")
    return table if isinstance(value, dict) else tuple(table)


def _class_name(name: Any) -> str:
    if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
        raise ValueError("not a name")
    return str(name).strip()


def _labels(labels: Any) -> tuple[int | str, ...]:
    labels = labels if isinstance(labels, list | tuple) else (labels,)
    for label in labels:
        is_number = isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 2**16
        if not is_number and not (isinstance(label, str) and label.strip()):
            raise ValueError("not a label")
    return tuple(labels)


def check_class_weights(value: Any) -> Any:
    """Return none, balanced, or {class: weight}. Raises ValueError."""
    if value in ("none", "balanced"):
        return value
    if not isinstance(value, dict) or not value:
        raise ValueError("not a table")
    for weight in value.values():
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 <= weight <= 10**6:
            raise ValueError("not a weight")
    table = {_class_name(name): float(weight) for name, weight in value.items()}
    if len(table) < len(value):
        raise ValueError("equal names")
    return table


def _check_group(pattern: str) -> str:
    try:
        if pattern != "none" and re.compile(pattern).groups != 1:
            raise ValueError("not one group")
    except re.error as error:
        raise ValueError(str(error)) from error
    return pattern


Int = Annotated[int, Field(strict=True)]
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]  # also accepts integers

Count = Annotated[Int, Field(ge=1, le=10**6)]
CountOrZero = Annotated[Int, Field(ge=0, le=10**6)]
SmallCount = Annotated[Int, Field(ge=1, le=100)]
SmallCountOrZero = Annotated[Int, Field(ge=0, le=100)]
SyntheticCount = Annotated[Int, Field(ge=1, le=MAX_SYNTHETIC)]
SyntheticSize = Annotated[Int, Field(ge=32, le=2048)]
CalibrationCount = Annotated[Int, Field(ge=1, le=10**4)]
BootstrapSamples = Annotated[Int, Field(ge=1, le=10**5)]
Seed = Annotated[Int, Field(ge=0, le=2**31 - 1)]
Threads = Annotated[Int, Field(ge=0, le=1024)]
Filters = Annotated[Int, Field(ge=1, le=1024)]
InputSize = Annotated[
    ImageSize,
    PlainValidator(check_input_size),
    PlainSerializer(ImageSize.as_parameter, return_type=Any),
    Field(description="a multiple of 32 from 32 to 2048, or two as [height, width]"),
]
Shards = Annotated[  # 0 means auto
    Int,
    Field(ge=1, le=65_536, description="auto or a whole number from 1 to 65536"),
    WrapValidator(lambda value, check: 0 if value == "auto" else check(value)),
    PlainSerializer(lambda value: value or "auto"),
]
Resolution = Annotated[
    Literal["model", "original"] | Annotated[Int, Field(ge=32, le=4096)],
    Field(description="model, original or a whole number of pixels from 32 to 4096"),
]
LearningRate = Annotated[Float, Field(gt=0, le=10)]
PositiveFloat = Annotated[Float, Field(gt=0, le=10**6)]
NonNegativeFloat = Annotated[Float, Field(ge=0, le=10**6)]
Fraction = Annotated[Float, Field(gt=0, lt=1)]
FractionOrOne = Annotated[Float, Field(gt=0, le=1)]
FractionOrZero = Annotated[Float, Field(ge=0, lt=1)]
Strength = Annotated[Float, Field(ge=0, le=1)]
Degrees = Annotated[Float, Field(ge=0, le=180)]
Scale = Annotated[Float, Field(ge=0.25, le=4)]
CropScale = Annotated[
    tuple[Annotated[Float, Field(gt=0, le=4)], Annotated[Float, Field(gt=0, le=4)]],
    AfterValidator(_check_order),
    Field(description="a list of two numbers above 0 and at most 4, the smaller first"),
]
Bool = StrictBool
FolderClasses = Annotated[
    Literal["auto"] | tuple[str, ...] | dict[str, tuple[int | str, ...]],
    PlainValidator(check_classes),
    PlainSerializer(lambda value: value, return_type=Any),  # the type's own would warn
    Field(
        description="auto, a list of different names, or a table of names with their labels, such "
        'as {background: 0, cat: 255, dog: "#804080"}'
    ),
]
ClassWeights = Annotated[
    Literal["none", "balanced"] | dict[str, float],
    PlainValidator(check_class_weights),
    PlainSerializer(lambda value: value, return_type=Any),
    Field(
        description="none, balanced, or a table of class names with weights from 0 to 1000000, "
        "such as {dog: 2.5}"
    ),
]
GroupPattern = Annotated[
    StrictStr,
    AfterValidator(_check_group),
    Field(description='none or a regular expression with one group, such as "(.*)_frame"'),
]
Storage = Annotated[
    StrictStr,
    Field(
        pattern=r"^(none|[a-z0-9+]+://\S+)$", description="none or a URL such as s3://bucket/folder"
    ),
]
Cache = Literal["none", "memory", "disk"]
BatchNormMode = Literal["frozen", "affine", "trained"]
"""What is trained of the encoder's batch norms: nothing, scale and shift, or the statistics too."""

Precision = Literal["float32", "tf32", "mixed_bfloat16", "mixed_float16"]
BeamOptions = Annotated[
    tuple[Annotated[StrictStr, Field(pattern=r"^--[A-Za-z]\w*(=.*)?$")], ...],
    Field(description='a list of Apache Beam options such as "--runner=DirectRunner"'),
]
FilePath = Annotated[StrictStr, Field(min_length=1, description="a path")]
Byte = Annotated[int, Field(ge=0, le=255)]
ClassColors = Annotated[
    dict[str, tuple[Byte, Byte, Byte]],
    Field(
        min_length=2,
        max_length=MAX_CLASSES,
        description="two or more names, each with three numbers from 0 to 255",
    ),
]
Sha256 = Annotated[StrictStr, Field(pattern="^[0-9a-f]{64}$", description="64 hex digits")]
