"""The typed, validating view of params.yaml.

Every stage reads its parameters through `load_params`, which names an unknown key, a wrong type or an impossible value
in one sentence. It imports neither TensorFlow nor DVC, so a typo is told in a fraction of a second.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictStr, model_validator

from petseg.classes import MAX_CLASSES
from petseg.errors import PetsegError
from petseg.validation import ImpossibleError, Section, read_yaml, validate

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


def _is_there(path: str, is_kind: Callable[[Path], bool]) -> bool:
    try:
        return is_kind(Path(path))
    except (OSError, ValueError):  # a name too long for the file system
        return False


Whole = Annotated[int, BeforeValidator(_no_bool)]
Real = Annotated[float, BeforeValidator(_no_bool), Field(allow_inf_nan=False)]  # '1e-05', text to YAML 1.1, is read too


# A field's description is what an error says is allowed.
Count = Annotated[Whole, Field(ge=1, le=10**6, description="a whole number from 1 to 1000000")]
CountOrNone = Annotated[Whole, Field(ge=0, le=10**6, description="a whole number from 0 to 1000000")]
PictureCount = Annotated[
    Whole, Field(ge=1, le=MOST_SYNTHETIC, description=f"a whole number from 1 to {MOST_SYNTHETIC}")
]
Draws = Annotated[Whole, Field(ge=1, le=10**5, description="a whole number from 1 to 100000")]
Seed = Annotated[Whole, Field(ge=0, lt=2**31, description="a whole number from 0 to 2147483647")]
Shards = Annotated[Whole, Field(ge=1, le=256, description="a whole number from 1 to 256")]
Threads = Annotated[Whole, Field(ge=0, le=1024, description="a whole number from 0 to 1024")]
Filters = Annotated[Whole, Field(ge=1, le=1024, description="a whole number from 1 to 1024")]
PictureSize = Annotated[Whole, Field(ge=32, le=2048, description="a whole number from 32 to 2048")]
ImageSize = Annotated[Whole, Field(multiple_of=32, ge=32, le=2048, description="a multiple of 32 from 32 to 2048")]
Rate = Annotated[Real, Field(gt=0, le=10, description="a number above 0 and at most 10")]
Positive = Annotated[Real, Field(gt=0, le=10**6, description="a number above 0 and at most 1000000")]
NotNegative = Annotated[Real, Field(ge=0, le=10**6, description="a number from 0 to 1000000")]
Fraction = Annotated[Real, Field(gt=0, lt=1, description="a number above 0 and below 1")]
BelowOne = Annotated[Real, Field(ge=0, lt=1, description="a number from 0 to below 1")]
Share = Annotated[Real, Field(gt=0, le=1, description="a number above 0 and at most 1")]
Strength = Annotated[Real, Field(ge=0, le=1, description="a number from 0 to 1")]
OneOrMore = Annotated[Real, Field(ge=1, le=4, description="a number from 1 to 4")]
Scale = Annotated[Real, Field(ge=0.25, le=4, description="a number from 0.25 to 4")]
Degrees = Annotated[Real, Field(ge=0, le=180, description="a number of degrees from 0 to 180")]
Alpha = Annotated[Real, AfterValidator(_of_mobilenet), Field(description="0.35, 0.5, 0.75, 1.0, 1.3 or 1.4")]
OnOff = Annotated[StrictBool, Field(description="true or false")]
Names = Annotated[
    list[Annotated[StrictStr, Field(min_length=1)]],
    Field(min_length=2, max_length=MAX_CLASSES, description=f"a list of 2 to {MAX_CLASSES} different names"),
]
FilePath = Annotated[StrictStr, Field(min_length=1, description="a path")]


class SyntheticPetsParams(Section):
    trainval: PictureCount
    test: PictureCount
    size: PictureSize
    seed: Seed


class FolderParams(Section):
    path: FilePath
    layout: Literal["auto", "oxford", "masks"]
    classes: Names
    test_fraction: Fraction

    @model_validator(mode="after")
    def _names_differ(self) -> "FolderParams":
        if len(set(self.classes)) < len(self.classes):
            raise ImpossibleError("classes", self.classes, "a list of different names")
        if "ignored" in self.classes:
            raise ImpossibleError("classes", self.classes, "a list of names without 'ignored', which means no class")
        return self


class DatasetParams(Section):
    name: Literal["synthetic_pets", "oxford_iiit_pet", "folder"]
    synthetic_pets: SyntheticPetsParams
    folder: FolderParams

    @model_validator(mode="after")
    def _folder_is_there(self) -> "DatasetParams":
        if self.name == "folder" and not _is_there(self.folder.path, Path.is_dir):
            raise ImpossibleError("folder.path", self.folder.path, "an existing folder when dataset.name is folder")
        return self


class PreprocessParams(Section):
    image_size: ImageSize
    val_fraction: Fraction
    train_fraction: Share
    shards: Shards


class NetworkParams(Section):
    """What the network is made of, whatever its weights."""

    encoder: Literal["mobilenet_v2"]
    alpha: Alpha
    encoder_stride: Literal[16, 32]
    context: Literal["none", "aspp"]
    decoder: Literal["separable", "full", "transposed"]
    decoder_filters: Annotated[
        tuple[Filters, ...],
        Field(min_length=2, max_length=5, description="a list of 2 to 5 whole numbers from 1 to 1024"),
    ]
    attention: OnOff
    enlarge: Literal[1, 2]

    @model_validator(mode="after")
    def _decoder_fits_encoder(self) -> "NetworkParams":
        blocks = {16: 4, 32: 5}[self.encoder_stride] - (self.enlarge - 1)
        if len(self.decoder_filters) > blocks:
            allowed = (
                f"a list of 2 to {blocks} numbers when model.encoder_stride is {self.encoder_stride} "
                f"and model.enlarge is {self.enlarge}"
            )
            raise ImpossibleError("decoder_filters", list(self.decoder_filters), allowed)
        return self


class ModelParams(NetworkParams):
    weights: Annotated[StrictStr, Field(description="none, imagenet, or the path of an existing .h5 file")]

    @model_validator(mode="after")
    def _weights_are_there(self) -> "ModelParams":
        is_file = self.weights.endswith(".h5") and _is_there(self.weights, Path.is_file)
        if self.weights not in ("none", "imagenet") and not is_file:
            raise ImpossibleError("weights", self.weights, "none, imagenet, or the path of an existing .h5 file")
        return self


class AugmentParams(Section):
    flip: OnOff
    min_crop: Share
    max_crop: OneOrMore
    rotation: Degrees
    brightness: Strength
    contrast: Strength
    saturation: Strength
    cutout: Strength


class LossParams(Section):
    dice_weight: NotNegative
    lovasz_weight: NotNegative
    focal_gamma: NotNegative
    edge_weight: NotNegative
    soft_edges: Strength
    label_smoothing: BelowOne


class TrainParams(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    encoder_learning_rate: Rate
    warmup_epochs: NotNegative
    frozen_encoder_epochs: CountOrNone
    encoder_batch_norm: Literal["auto", "frozen", "trained"]
    weight_decay: NotNegative
    gradient_clip: Positive
    ema_decay: BelowOne
    loss: LossParams
    shuffle_buffer: Count
    checkpoint_steps: CountOrNone
    deterministic: OnOff
    threads: Threads
    augment: AugmentParams

    @model_validator(mode="after")
    def _phases_fit_in(self) -> "TrainParams":
        for key in ("warmup_epochs", "frozen_encoder_epochs"):
            if getattr(self, key) > self.epochs:
                raise ImpossibleError(key, getattr(self, key), f"at most train.epochs, which is {self.epochs}")
        return self


class TtaParams(Section):
    """Test-time augmentation: in which forms a picture is predicted, of which the mean counts."""

    flip: OnOff
    scales: Annotated[
        tuple[Scale, ...], Field(min_length=1, max_length=8, description="a list of 1 to 8 numbers from 0.25 to 4")
    ]


class EvaluateParams(Section):
    batch_size: Count
    resolution: Literal["model", "original"]
    tta: TtaParams
    bootstrap_draws: Draws


class RenderParams(Section):
    examples: Count
    best: Count
    worst: Count


class Params(Section):
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
                raise ImpossibleError(
                    "train.frozen_encoder_epochs", self.train.frozen_encoder_epochs, "0 when model.weights is none"
                )
            if self.train.encoder_batch_norm == "frozen":
                key = "train.encoder_batch_norm"
                raise ImpossibleError(key, "frozen", "auto or trained when model.weights is none")
        return self


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check the parameters.

    Raises PetsegError with one line per mistake: the key, the value it has, and what is allowed.
    """
    return parse_params(read_yaml(path), str(path))


def parse_params(raw: Any, source: str = "params.yaml") -> Params:
    """Check parameters already read from YAML; `source` names them in errors."""
    return validate(Params, raw, source)


if __name__ == "__main__":  # python -m petseg.params: check params.yaml before anything is started
    try:
        load_params()
    except PetsegError as mistake:
        sys.exit(str(mistake))
