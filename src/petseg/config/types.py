"""The types of single values in params.yaml and in a model's JSON.

Error messages derive what is allowed from the constraints, unless a type has a description.
"""

from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictStr,
    WrapValidator,
)

from petseg.core.labels import MAX_CLASSES

ExportFormat = Literal["litert_float32", "litert_float16", "litert_int8", "onnx"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)

MAX_SYNTHETIC = 370_000
"""Maximum number of images per split of synthetic_pets; a multiple of its 37 breeds."""


def _check_alpha(alpha: float) -> float:
    """Accept the widths with published ImageNet weights."""
    if alpha not in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4):
        raise ValueError("no such width")
    return alpha


def _check_order(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[0] > scale[1]:
        raise ValueError("the first number is larger than the second")
    return scale


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
ImageSize = Annotated[Int, Field(multiple_of=32, ge=32, le=2048)]
Shards = Annotated[  # 0 means auto
    Int,
    Field(ge=1, le=65_536, description="auto or a whole number from 1 to 65536"),
    WrapValidator(lambda value, check: 0 if value == "auto" else check(value)),
    PlainSerializer(lambda value: value or "auto"),
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
Alpha = Annotated[
    Float, AfterValidator(_check_alpha), Field(description="0.35, 0.5, 0.75, 1.0, 1.3 or 1.4")
]
Bool = StrictBool
ClassNames = Annotated[
    list[Annotated[StrictStr, Field(min_length=1)]], Field(min_length=2, max_length=MAX_CLASSES)
]
Storage = Annotated[
    StrictStr,
    Field(
        pattern=r"^(none|[a-z0-9+]+://\S+)$", description="none or a URL such as s3://bucket/folder"
    ),
]
Cache = Literal["none", "memory", "disk"]
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
