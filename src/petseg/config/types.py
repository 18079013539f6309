"""The types of single values in params.yaml and in a model's JSON: what each may be, and how a mistake is told."""

from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictBool,
    StrictStr,
    WrapValidator,
)

from petseg.core.labels import MAX_CLASSES

ExportFormat = Literal["litert_float32", "litert_float16", "litert_int8", "onnx"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)

MAX_SYNTHETIC = (
    370_000  # pictures in the train split of synthetic_pets, at most; a multiple of its 37 breeds
)


def _no_bool(value: Any) -> Any:
    """YAML's `yes` and `true` are no numbers, though Python would take them for 1."""
    if isinstance(value, bool):
        raise ValueError("a bool is not a number")
    return value


def _of_mobilenet(alpha: float) -> float:
    """The widths for which ImageNet weights are published."""
    if alpha not in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4):
        raise ValueError("no such width")
    return alpha


def _in_order(scale: tuple[float, float]) -> tuple[float, float]:
    if scale[0] > scale[1]:
        raise ValueError("the first number is larger than the second")
    return scale


Whole = Annotated[int, BeforeValidator(_no_bool)]
Real = Annotated[
    float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)
]  # '1e-05', text to YAML 1.1, is read too


# A field's description is what an error says is allowed.
Count = Annotated[Whole, Field(ge=1, le=10**6, description="a whole number from 1 to 1000000")]
Few = Annotated[Whole, Field(ge=1, le=100, description="a whole number from 1 to 100")]
FewOrNone = Annotated[Whole, Field(ge=0, le=100, description="a whole number from 0 to 100")]
CountOrNone = Annotated[
    Whole, Field(ge=0, le=10**6, description="a whole number from 0 to 1000000")
]
ImageCount = Annotated[
    Whole, Field(ge=1, le=MAX_SYNTHETIC, description=f"a whole number from 1 to {MAX_SYNTHETIC}")
]
Examples = Annotated[Whole, Field(ge=1, le=10**4, description="a whole number from 1 to 10000")]
Draws = Annotated[Whole, Field(ge=1, le=10**5, description="a whole number from 1 to 100000")]
Seed = Annotated[Whole, Field(ge=0, lt=2**31, description="a whole number from 0 to 2147483647")]
Shards = Annotated[  # 0 stands for auto
    Whole,
    Field(ge=1, le=65_536, description="auto or a whole number from 1 to 65536"),
    WrapValidator(lambda value, check: 0 if value == "auto" else check(value)),
    PlainSerializer(lambda value: value or "auto"),
]
Threads = Annotated[Whole, Field(ge=0, le=1024, description="a whole number from 0 to 1024")]
Filters = Annotated[Whole, Field(ge=1, le=1024, description="a whole number from 1 to 1024")]
SyntheticSize = Annotated[
    Whole, Field(ge=32, le=2048, description="a whole number from 32 to 2048")
]
ImageSize = Annotated[
    Whole, Field(multiple_of=32, ge=32, le=2048, description="a multiple of 32 from 32 to 2048")
]
Rate = Annotated[Real, Field(gt=0, le=10, description="a number above 0 and at most 10")]
Positive = Annotated[
    Real, Field(gt=0, le=10**6, description="a number above 0 and at most 1000000")
]
NotNegative = Annotated[Real, Field(ge=0, le=10**6, description="a number from 0 to 1000000")]
Fraction = Annotated[Real, Field(gt=0, lt=1, description="a number above 0 and below 1")]
BelowOne = Annotated[Real, Field(ge=0, lt=1, description="a number from 0 to below 1")]
Share = Annotated[Real, Field(gt=0, le=1, description="a number above 0 and at most 1")]
Strength = Annotated[Real, Field(ge=0, le=1, description="a number from 0 to 1")]
CropScale = Annotated[
    tuple[Annotated[Real, Field(gt=0, le=4)], Annotated[Real, Field(gt=0, le=4)]],
    AfterValidator(_in_order),
    Field(description="a list of two numbers above 0 and at most 4, the smaller one first"),
]
Scale = Annotated[Real, Field(ge=0.25, le=4, description="a number from 0.25 to 4")]
Degrees = Annotated[Real, Field(ge=0, le=180, description="a number of degrees from 0 to 180")]
Alpha = Annotated[
    Real, AfterValidator(_of_mobilenet), Field(description="0.35, 0.5, 0.75, 1.0, 1.3 or 1.4")
]
OnOff = Annotated[StrictBool, Field(description="true or false")]
Names = Annotated[
    list[Annotated[StrictStr, Field(min_length=1)]],
    Field(
        min_length=2,
        max_length=MAX_CLASSES,
        description=f"a list of 2 to {MAX_CLASSES} different names",
    ),
]
Storage = Annotated[
    StrictStr,
    Field(
        pattern=r"^(none|[a-z0-9+]+://\S+)$", description="none or a URL such as s3://bucket/folder"
    ),
]
Cache = Literal["none", "memory", "disk"]
Precision = Literal["float32", "mixed_bfloat16"]
BeamOptions = Annotated[
    tuple[Annotated[StrictStr, Field(pattern=r"^--[A-Za-z]\w*(=.*)?$")], ...],
    Field(description='a list of Apache Beam\'s options such as "--runner=DirectRunner"'),
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
