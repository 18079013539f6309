"""The typed, validating view of params.yaml.

Every stage reads its parameters through `load_params`, which names an unknown key, a wrong type or an impossible value
in one sentence. It imports neither TensorFlow nor DVC, so a typo is told in a fraction of a second.
"""

import difflib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    model_validator,
)

from petseg.classes import MAX_CLASSES
from petseg.errors import PetsegError

MOST_SYNTHETIC = 370_000  # pictures in the train split of synthetic_pets, at most; a multiple of its 37 breeds


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


Whole = Annotated[int, BeforeValidator(_no_bool)]
Real = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]  # '1e-05', text to YAML 1.1, is read too

# A field's description is what an error says is allowed.
Count = Annotated[Whole, Field(ge=1, description="a whole number, 1 or more")]
CountOrNone = Annotated[Whole, Field(ge=0, description="a whole number, 0 or more")]
TrainvalCount = Annotated[
    Whole, Field(ge=1, le=MOST_SYNTHETIC, description=f"a whole number from 1 to {MOST_SYNTHETIC}")
]
Seed = Annotated[Whole, Field(ge=0, lt=2**31, description="a whole number from 0 to 2147483647")]
Shards = Annotated[Whole, Field(ge=1, le=256, description="a whole number from 1 to 256")]
PictureSize = Annotated[Whole, Field(ge=32, le=2048, description="a whole number from 32 to 2048")]
ImageSize = Annotated[Whole, Field(multiple_of=32, ge=32, le=2048, description="a multiple of 32 from 32 to 2048")]
Rate = Annotated[Real, Field(gt=0, le=10, description="a number above 0 and at most 10")]
Positive = Annotated[Real, Field(gt=0, description="a number above 0")]
NotNegative = Annotated[Real, Field(ge=0, description="a number, 0 or more")]
Fraction = Annotated[Real, Field(gt=0, lt=1, description="a number above 0 and below 1")]
Share = Annotated[Real, Field(gt=0, le=1, description="a number above 0 and at most 1")]
Strength = Annotated[Real, Field(ge=0, le=1, description="a number from 0 to 1")]
Degrees = Annotated[Real, Field(ge=0, le=180, description="a number of degrees from 0 to 180")]
Alpha = Annotated[Real, AfterValidator(_of_mobilenet), Field(description="0.35, 0.5, 0.75, 1.0, 1.3 or 1.4")]
OnOff = Annotated[StrictBool, Field(description="true or false")]
Names = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(min_length=2, max_length=MAX_CLASSES, description=f"a list of 2 to {MAX_CLASSES} different names"),
]
FilePath = Annotated[str, Field(min_length=1, description="a path")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SyntheticPetsParams(_Section):
    trainval: TrainvalCount
    test: Count
    size: PictureSize
    seed: Seed


class FolderParams(_Section):
    path: FilePath
    layout: Literal["auto", "oxford", "masks"]
    classes: Names
    test_fraction: Fraction

    @model_validator(mode="after")
    def _names_differ(self) -> "FolderParams":
        if len(set(self.classes)) < len(self.classes):
            raise _ImpossibleError("classes", self.classes, "a list of different names")
        return self


class DatasetParams(_Section):
    name: Literal["synthetic_pets", "oxford_iiit_pet", "folder"]
    synthetic_pets: SyntheticPetsParams
    folder: FolderParams

    @model_validator(mode="after")
    def _folder_is_there(self) -> "DatasetParams":
        if self.name == "folder" and not Path(self.folder.path).is_dir():
            raise _ImpossibleError("folder.path", self.folder.path, "an existing folder when dataset.name is folder")
        return self


class PreprocessParams(_Section):
    image_size: ImageSize
    val_fraction: Fraction
    shards: Shards


class ModelParams(_Section):
    encoder: Literal["mobilenet_v2"]
    alpha: Alpha
    weights: Annotated[str, Field(description="none, imagenet, or the path of an existing .h5 file")]
    decoder_filters: Annotated[
        list[Count], Field(min_length=5, max_length=5, description="a list of five whole numbers, 1 or more")
    ]

    @model_validator(mode="after")
    def _weights_are_there(self) -> "ModelParams":
        if self.weights not in ("none", "imagenet") and not Path(self.weights).is_file():
            raise _ImpossibleError("weights", self.weights, "none, imagenet, or the path of an existing .h5 file")
        return self


class AugmentParams(_Section):
    flip: OnOff
    min_crop: Share
    rotation: Degrees
    brightness: Strength
    contrast: Strength
    saturation: Strength


class TrainParams(_Section):
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    encoder_learning_rate: Rate
    warmup_epochs: NotNegative
    frozen_encoder_epochs: CountOrNone
    encoder_batch_norm: Literal["auto", "frozen", "trained"]
    weight_decay: NotNegative
    gradient_clip: Positive
    dice_weight: NotNegative
    shuffle_buffer: Count
    augment: AugmentParams

    @model_validator(mode="after")
    def _phases_fit_in(self) -> "TrainParams":
        for key in ("warmup_epochs", "frozen_encoder_epochs"):
            if getattr(self, key) > self.epochs:
                raise _ImpossibleError(key, getattr(self, key), f"at most train.epochs, which is {self.epochs}")
        return self


class EvaluateParams(_Section):
    batch_size: Count


class RenderParams(_Section):
    examples: Count
    extremes: Count


class Params(_Section):
    seed: Seed
    dataset: DatasetParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    render: RenderParams

    @model_validator(mode="after")
    def _frozen_encoder_has_weights(self) -> "Params":
        if self.model.weights == "none":
            if self.train.frozen_encoder_epochs > 0:
                raise _ImpossibleError(
                    "train.frozen_encoder_epochs", self.train.frozen_encoder_epochs, "0 when model.weights is none"
                )
            if self.train.encoder_batch_norm == "frozen":
                key = "train.encoder_batch_norm"
                raise _ImpossibleError(key, "frozen", "auto or trained when model.weights is none")
        return self


class _ImpossibleError(ValueError):
    """Raised by a validator for a value that is of the right type but can't be; `key` is relative to its section."""

    def __init__(self, key: str, value: Any, allowed: str) -> None:
        super().__init__(allowed)
        self.key, self.value, self.allowed = key, value, allowed


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check the parameters.

    Raises PetsegError with one line per mistake: the key, the value it has, and what is allowed.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise PetsegError(f"{path} can't be read ({error.strerror}); run from the project's root folder.") from error
    except UnicodeDecodeError as error:
        raise PetsegError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise PetsegError(f"{path} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from error
    return parse_params(raw, str(path))


def parse_params(raw: Any, source: str = "params.yaml") -> Params:
    """Check parameters already read from YAML; `source` names them in errors."""
    if not isinstance(raw, dict):
        raise PetsegError(f"{source} must hold sections of parameters such as seed, dataset and train.")
    try:
        return Params.model_validate(raw)
    except ValidationError as error:
        raise PetsegError("\n".join(f"{source}: {_sentence(dict(e))}" for e in error.errors())) from error


def _sentence(error: dict[str, Any]) -> str:
    """One of pydantic's errors in our words."""
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    impossible = error.get("ctx", {}).get("error")
    if isinstance(impossible, _ImpossibleError):
        key = ".".join([*location, impossible.key])
        return f"{key} is {impossible.value!r}, but must be {impossible.allowed}."
    if error["type"] == "extra_forbidden":
        known = list(_section_at(location[:-1]).model_fields)
        close = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}."
        return f"{key} is not a parameter; {hint}"
    if error["type"] == "missing":
        return f"{key} is missing."
    return f"{key} is {error['input']!r}, but must be {_allowed(location, error)}."


def _section_at(location: list[str]) -> type[BaseModel]:
    section: type[BaseModel] = Params
    for part in location:
        annotation = section.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        section = annotation
    return section


def _allowed(location: list[str], error: dict[str, Any]) -> str:
    """What a field accepts: its description, else pydantic's own words (the choices of a Literal, say)."""
    name = next((part for part in reversed(location) if not part.isdigit()), "")
    depth = len(location) - 1 - location[::-1].index(name) if name else 0
    field = _section_at(location[:depth]).model_fields.get(name)
    if field is not None and field.description:
        return field.description
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    if error["type"] in ("model_type", "model_attributes_type"):
        return "a section of parameters: " + ", ".join(_section_at(location).model_fields)
    return str(error["msg"])


if __name__ == "__main__":  # python -m petseg.params: check params.yaml before anything is started
    try:
        load_params()
    except PetsegError as mistake:
        sys.exit(str(mistake))
