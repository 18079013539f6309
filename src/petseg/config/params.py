"""The typed, validating view of params.yaml.

Every stage reads its parameters through `load_params`, which names an unknown key, a wrong type or an impossible value
in one sentence. It imports neither TensorFlow nor DVC, so a typo is told in a fraction of a second.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, model_validator

from petseg.config.types import (
    EXPORT_FORMATS,
    Alpha,
    BeamOptions,
    BelowOne,
    Cache,
    Count,
    CountOrNone,
    CropScale,
    Degrees,
    Draws,
    Examples,
    ExportFormat,
    Few,
    FewOrNone,
    FilePath,
    Filters,
    Fraction,
    ImageCount,
    ImageSize,
    Names,
    NotNegative,
    OnOff,
    Positive,
    Precision,
    Rate,
    Scale,
    Seed,
    Shards,
    Share,
    Storage,
    Strength,
    SyntheticSize,
    Threads,
)
from petseg.config.validation import InvalidValueError, Section, read_yaml, validate
from petseg.core.errors import PetsegError
from petseg.core.remote import is_remote


def _is_there(path: str, is_kind: Callable[[Path], bool]) -> bool:
    try:
        return is_kind(Path(path))
    except (OSError, ValueError):  # a name too long for the file system
        return False


class SyntheticPetsParams(Section):
    trainval: ImageCount
    test: ImageCount
    size: SyntheticSize
    seed: Seed


class FolderParams(Section):
    path: FilePath
    layout: Literal["auto", "oxford", "masks"]
    classes: Names
    test_fraction: Fraction

    @model_validator(mode="after")
    def _names_differ(self) -> "FolderParams":
        if len(set(self.classes)) < len(self.classes):
            raise InvalidValueError("classes", self.classes, "a list of different names")
        if "ignored" in self.classes:
            raise InvalidValueError(
                "classes", self.classes, "a list of names without 'ignored', which means no class"
            )
        return self


class DatasetParams(Section):
    name: Literal["synthetic_pets", "oxford_iiit_pet", "folder"]
    synthetic_pets: SyntheticPetsParams
    folder: FolderParams

    @model_validator(mode="after")
    def _folder_is_there(self) -> "DatasetParams":
        path = self.folder.path
        if self.name == "folder" and not is_remote(path) and not _is_there(path, Path.is_dir):
            raise InvalidValueError(
                "folder.path", path, "an existing folder when dataset.name is folder"
            )
        return self


class PreprocessParams(Section):
    image_size: ImageSize
    val_fraction: Fraction
    train_fraction: Share
    shards: Shards
    storage: Storage
    runner: Literal["local", "beam"]
    beam_options: BeamOptions

    @model_validator(mode="after")
    def _options_are_for_beam(self) -> "PreprocessParams":
        if self.beam_options and self.runner != "beam":
            raise InvalidValueError(
                "beam_options",
                list(self.beam_options),
                f"[] when preprocess.runner is {self.runner}",
            )
        return self


class NetworkParams(Section):
    """What the network is made of, whatever its weights."""

    encoder: Literal["mobilenet_v2"]
    alpha: Alpha
    output_stride: Literal[16, 32]
    decoder_filters: Annotated[
        tuple[Filters, ...],
        Field(
            min_length=2, max_length=5, description="a list of 2 to 5 whole numbers from 1 to 1024"
        ),
    ]
    input_upsampling: Literal[1, 2]

    @model_validator(mode="after")
    def _decoder_fits_encoder(self) -> "NetworkParams":
        blocks = {16: 4, 32: 5}[self.output_stride] - (self.input_upsampling - 1)
        if len(self.decoder_filters) > blocks:
            allowed = (
                f"a list of 2 to {blocks} numbers when model.output_stride is {self.output_stride} "
                f"and model.input_upsampling is {self.input_upsampling}"
            )
            raise InvalidValueError("decoder_filters", list(self.decoder_filters), allowed)
        return self


class ModelParams(NetworkParams):
    weights: Annotated[
        StrictStr, Field(description="none, imagenet, or the path of an existing .h5 file")
    ]

    @model_validator(mode="after")
    def _weights_are_there(self) -> "ModelParams":
        is_file = self.weights.endswith(".h5") and _is_there(self.weights, Path.is_file)
        if self.weights not in ("none", "imagenet") and not is_file:
            raise InvalidValueError(
                "weights", self.weights, "none, imagenet, or the path of an existing .h5 file"
            )
        return self


class AugmentParams(Section):
    flip: OnOff
    crop_scale: CropScale
    rotation: Degrees
    brightness: Strength
    contrast: Strength
    saturation: Strength


class LossParams(Section):
    dice_weight: NotNegative
    lovasz_weight: NotNegative
    focal_gamma: NotNegative
    label_smoothing: BelowOne


class TrainParams(Section):
    epochs: Count
    batch_size: Count
    learning_rate: Rate
    encoder_learning_rate: Rate
    warmup_epochs: NotNegative
    frozen_encoder_epochs: CountOrNone
    encoder_batch_norm: Literal["auto", "frozen", "trained"]
    sync_batch_norm: OnOff
    weight_decay: NotNegative
    clip_norm: Positive
    ema_decay: BelowOne
    loss: LossParams
    cache: Cache
    shuffle_buffer: Count
    checkpoint_every_steps: CountOrNone
    preview_images: FewOrNone
    precision: Precision
    deterministic: OnOff
    intra_op_threads: Threads
    augment: AugmentParams

    @model_validator(mode="after")
    def _phases_fit_in(self) -> "TrainParams":
        for key in ("warmup_epochs", "frozen_encoder_epochs"):
            if getattr(self, key) > self.epochs:
                raise InvalidValueError(
                    key, getattr(self, key), f"at most train.epochs, which is {self.epochs}"
                )
        return self


class TtaParams(Section):
    """Test-time augmentation: in which forms a picture is predicted, of which the mean counts."""

    flip: OnOff
    scales: Annotated[
        tuple[Scale, ...],
        Field(min_length=1, max_length=8, description="a list of 1 to 8 numbers from 0.25 to 4"),
    ]


class EvaluateParams(Section):
    batch_size: Count
    resolution: Literal["model", "original"]
    tta: TtaParams
    bootstrap_samples: Draws


class ExportParams(Section):
    formats: Annotated[
        tuple[ExportFormat, ...],
        Field(
            min_length=1,
            max_length=len(EXPORT_FORMATS),
            description=f"a list of {' | '.join(EXPORT_FORMATS)}",
        ),
    ]
    calibration_images: Examples
    test_images: Count

    @model_validator(mode="after")
    def _formats_differ(self) -> "ExportParams":
        if len(set(self.formats)) < len(self.formats):
            raise InvalidValueError("formats", list(self.formats), "a list of different formats")
        return self


class RenderParams(Section):
    examples: Count
    best: Count
    worst: Count


class ReportParams(Section):
    images: Few


class Params(Section):
    seed: Seed
    dataset: DatasetParams
    preprocess: PreprocessParams
    model: ModelParams
    train: TrainParams
    evaluate: EvaluateParams
    export: ExportParams
    render: RenderParams
    report: ReportParams

    @model_validator(mode="after")
    def _frozen_encoder_has_weights(self) -> "Params":
        if self.model.weights == "none":
            if self.train.frozen_encoder_epochs > 0:
                raise InvalidValueError(
                    "train.frozen_encoder_epochs",
                    self.train.frozen_encoder_epochs,
                    "0 when model.weights is none",
                )
            if self.train.encoder_batch_norm == "frozen":
                key = "train.encoder_batch_norm"
                raise InvalidValueError(key, "frozen", "auto or trained when model.weights is none")
        return self


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check the parameters.

    Raises PetsegError with one line per mistake: the key, the value it has, and what is allowed.
    """
    return parse_params(read_yaml(path), str(path))


def parse_params(raw: Any, source: str = "params.yaml") -> Params:
    """Check parameters already read from YAML; `source` names them in errors."""
    return validate(Params, raw, source)


if (
    __name__ == "__main__"
):  # python -m petseg.config.params: check params.yaml before anything is started
    try:
        load_params()
    except PetsegError as mistake:
        sys.exit(str(mistake))
