"""The typed, validated view of params.yaml.

Every stage reads its parameters with `load_params`, which reports unknown keys, wrong types and
invalid values. This module imports neither TensorFlow nor DVC, so a typo is reported at once.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StrictStr, model_validator

from petseg.config.paths import PipelinePaths
from petseg.config.tiles import TilesOrNone
from petseg.config.types import (
    EXPORT_FORMATS,
    PRETRAINED,
    Alpha,
    AnnotationFormat,
    BeamOptions,
    Bool,
    BootstrapSamples,
    Cache,
    CalibrationCount,
    ClassWeights,
    Count,
    CountOrZero,
    CropScale,
    Degrees,
    ExportFormat,
    FilePath,
    Filters,
    FolderClasses,
    Fraction,
    FractionOrOne,
    FractionOrZero,
    GroupPattern,
    InputSize,
    LearningRate,
    NonNegativeFloat,
    PositiveFloat,
    Precision,
    Resolution,
    Scale,
    Seed,
    Shards,
    SmallCount,
    SmallCountOrZero,
    Storage,
    Strength,
    SyntheticCount,
    SyntheticSize,
    Threads,
)
from petseg.config.validation import InvalidValueError, Section, read_yaml, validate
from petseg.core.errors import PetsegError
from petseg.core.geometry import Resize
from petseg.core.remote import is_remote

_WEIGHTS = "none, imagenet, pets, or the path of an existing .h5 file or trained model (a folder)"
_ABSOLUTE = "an absolute path, because dvc exp run --temp and the queue run a copy of the project"


def _exists(path: str, is_kind: Callable[[Path], bool]) -> bool:
    try:
        return is_kind(Path(path))
    except (OSError, ValueError):  # a name too long for the file system
        return False


def _in_project_only(path: str) -> bool:
    """Whether a relative path holds more in the project than in this copy of it.

    `dvc exp run --temp` and the queue run copies, which have only what git and DVC track.
    """
    root = Path(os.environ.get("DVC_ROOT", "."))
    if root.resolve() == Path.cwd() or not _exists(str(root / path), Path.exists):
        return False
    if not (root / path).is_dir() or not Path(path).is_dir():
        return not Path(path).exists()
    return not set(os.listdir(root / path)) <= set(os.listdir(path))


class SyntheticPetsParams(Section):
    trainval: SyntheticCount
    test: SyntheticCount
    size: SyntheticSize
    seed: Seed


class FolderParams(Section):
    path: FilePath
    annotations: Literal["auto", AnnotationFormat]
    classes: FolderClasses
    test_fraction: Fraction
    group: GroupPattern
    unlabeled: Literal["error", "skip", "background"]


class DatasetParams(Section):
    name: Literal["synthetic_pets", "oxford_iiit_pet", "folder"]
    synthetic_pets: SyntheticPetsParams
    folder: FolderParams

    @model_validator(mode="after")
    def _check_folder(self) -> "DatasetParams":
        path = self.folder.path
        if self.name != "folder" or is_remote(path):
            return self
        if _in_project_only(path):
            raise InvalidValueError("folder.path", path, _ABSOLUTE)
        if not _exists(path, Path.is_dir):
            allowed = "an existing folder when dataset.name is folder"
            raise InvalidValueError("folder.path", path, allowed)
        return self


class PreprocessParams(Section):
    image_size: InputSize
    resize: Resize
    tiles: TilesOrNone
    val_fraction: Fraction
    train_fraction: FractionOrOne
    shards: Shards
    storage: Storage
    runner: Literal["local", "beam"]
    beam_options: BeamOptions

    @model_validator(mode="after")
    def _check_beam_options(self) -> "PreprocessParams":
        if self.beam_options and self.runner != "beam":
            allowed = f"[] when preprocess.runner is {self.runner}"
            raise InvalidValueError("beam_options", list(self.beam_options), allowed)
        return self

    @model_validator(mode="after")
    def _check_tiles(self) -> "PreprocessParams":
        if self.tiles and self.image_size.height != self.image_size.width:
            allowed = "one number when there are preprocess.tiles, which are square"
            raise InvalidValueError("image_size", list(self.image_size), allowed)
        if self.tiles and self.resize != "stretch":
            raise InvalidValueError(
                "resize", self.resize, "stretch when there are preprocess.tiles"
            )
        return self


class NetworkParams(Section):
    """The architecture, without the weights."""

    encoder: Literal["mobilenet_v2"]
    alpha: Alpha
    output_stride: Literal[16, 32]
    decoder_filters: Annotated[tuple[Filters, ...], Field(min_length=2, max_length=5)]
    input_upsampling: Literal[1, 2]

    @model_validator(mode="after")
    def _check_decoder(self) -> "NetworkParams":
        blocks = {16: 4, 32: 5}[self.output_stride] - (self.input_upsampling - 1)
        if len(self.decoder_filters) > blocks:
            allowed = (
                f"a list of 2 to {blocks} numbers when model.output_stride is {self.output_stride} "
                f"and model.input_upsampling is {self.input_upsampling}"
            )
            raise InvalidValueError("decoder_filters", list(self.decoder_filters), allowed)
        return self


class ModelParams(NetworkParams):
    weights: Annotated[StrictStr, Field(description=_WEIGHTS)]

    @model_validator(mode="after")
    def _check_weights(self) -> "ModelParams":
        is_model = _exists(f"{self.weights}/model.json", Path.is_file)
        if self.weights in PRETRAINED and is_model:
            allowed = f"./{self.weights} for the model in the folder of that name"
            raise InvalidValueError("weights", self.weights, allowed)
        if self.weights in ("none", "imagenet", *PRETRAINED):
            return self
        if _in_project_only(self.weights):
            raise InvalidValueError("weights", self.weights, _ABSOLUTE)
        is_file = self.weights.endswith(".h5") and _exists(self.weights, Path.is_file)
        if not is_file and not is_model:
            raise InvalidValueError("weights", self.weights, _WEIGHTS)
        if Path(self.weights).resolve() == PipelinePaths.model.resolve():
            allowed = f"a copy of {PipelinePaths.model}, which training replaces"
            raise InvalidValueError("weights", self.weights, allowed)
        return self


class AugmentParams(Section):
    flip: Bool
    crop_scale: CropScale
    rotation: Degrees
    brightness: Strength
    contrast: Strength
    saturation: Strength


class LossParams(Section):
    dice_weight: NonNegativeFloat
    lovasz_weight: NonNegativeFloat
    focal_gamma: NonNegativeFloat
    label_smoothing: FractionOrZero
    class_weights: ClassWeights


class TrainParams(Section):
    epochs: Count
    patience: CountOrZero
    batch_size: Count
    learning_rate: LearningRate
    encoder_learning_rate: LearningRate
    warmup_epochs: NonNegativeFloat
    frozen_encoder_epochs: CountOrZero
    encoder_batch_norm: Literal["auto", "frozen", "trained"]
    sync_batch_norm: Bool
    weight_decay: NonNegativeFloat
    clip_norm: PositiveFloat
    ema_decay: FractionOrZero
    loss: LossParams
    cache: Cache
    shuffle_buffer: Count
    oversample_below: FractionOrZero
    checkpoint_every_steps: CountOrZero
    preview_images: SmallCountOrZero
    tensorboard: Bool
    precision: Precision
    jit_compile: Bool
    deterministic: Bool
    intra_op_threads: Threads
    augment: AugmentParams

    @model_validator(mode="after")
    def _check_phases(self) -> "TrainParams":
        for key in ("warmup_epochs", "frozen_encoder_epochs"):
            if getattr(self, key) > self.epochs:
                allowed = f"at most train.epochs, which is {self.epochs}"
                raise InvalidValueError(key, getattr(self, key), allowed)
        return self


class TtaParams(Section):
    """Test-time augmentation: the views of an image whose probabilities are averaged."""

    flip: Bool
    scales: Annotated[tuple[Scale, ...], Field(min_length=1, max_length=8)]


class EvaluateParams(Section):
    batch_size: Count
    resolution: Resolution
    tta: TtaParams
    bootstrap_samples: BootstrapSamples


class ExportParams(Section):
    formats: Annotated[
        tuple[ExportFormat, ...], Field(min_length=1, max_length=len(EXPORT_FORMATS))
    ]
    calibration_images: CalibrationCount
    test_images: Count

    @model_validator(mode="after")
    def _check_formats(self) -> "ExportParams":
        if len(set(self.formats)) < len(self.formats):
            raise InvalidValueError("formats", list(self.formats), "a list of different formats")
        return self


class RenderParams(Section):
    examples: Count
    best: Count
    worst: Count


class ReportParams(Section):
    images: SmallCount


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
    def _check_resolution(self) -> "Params":
        resolution = self.evaluate.resolution
        if self.preprocess.tiles and isinstance(resolution, int):
            key, allowed = "evaluate.resolution", "original when there are preprocess.tiles"
            raise InvalidValueError(key, resolution, allowed)
        return self

    @model_validator(mode="after")
    def _check_frozen_encoder(self) -> "Params":
        if self.model.weights != "none":
            return self
        epochs = self.train.frozen_encoder_epochs
        if epochs > 0:
            key = "train.frozen_encoder_epochs"
            raise InvalidValueError(key, epochs, "0 when model.weights is none")
        if self.train.encoder_batch_norm == "frozen":
            key = "train.encoder_batch_norm"
            raise InvalidValueError(key, "frozen", "auto or trained when model.weights is none")
        return self


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check the parameters.

    Raises PetsegError with one line per error: key, value, and what is allowed.
    """
    return parse_params(read_yaml(path), str(path))


def parse_params(raw: Any, source: str = "params.yaml") -> Params:
    """Check parameters already read from YAML. Error messages call their source `source`."""
    return validate(Params, raw, source)


if __name__ == "__main__":  # python -m petseg.config.params checks params.yaml
    try:
        load_params()
    except PetsegError as error:
        sys.exit(str(error))
