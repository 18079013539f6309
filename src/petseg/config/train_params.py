"""The parameters of the stage train: network, loss, augmentation, training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StrictStr, model_validator

from petseg.config.paths import PipelinePaths
from petseg.config.types import (
    ALPHAS,
    NAMED_WEIGHTS,
    PRETRAINED,
    BatchNormMode,
    Bool,
    Cache,
    ClassWeights,
    Count,
    CountOrZero,
    CropScale,
    Degrees,
    Encoder,
    Filters,
    Float,
    FractionOrZero,
    LearningRate,
    NonNegativeFloat,
    PositiveFloat,
    Precision,
    SmallCountOrZero,
    Strength,
    Threads,
)
from petseg.config.user_paths import ABSOLUTE, exists, in_project_only
from petseg.config.validation import InvalidValueError, Section

_WEIGHTS = "none, imagenet, pets, or the path of an existing .h5 file or trained model (a folder)"


class NetworkParams(Section):
    """The architecture, without the weights."""

    encoder: Encoder
    alpha: Float
    output_stride: Literal[16, 32]
    decoder_filters: Annotated[tuple[Filters, ...], Field(min_length=2, max_length=5)]
    input_upsampling: Literal[1, 2]

    @model_validator(mode="after")
    def _check_alpha(self) -> "NetworkParams":
        if self.alpha not in ALPHAS[self.encoder]:
            *others, last = map(str, ALPHAS[self.encoder])
            widths = f"{', '.join(others)} or {last}" if others else last
            raise InvalidValueError("alpha", self.alpha, f"{widths} for {self.encoder}")
        return self

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
        is_model = exists(f"{self.weights}/model.json", Path.is_file)
        if self.weights in PRETRAINED and is_model:
            allowed = f"./{self.weights} for the model in the folder of that name"
            raise InvalidValueError("weights", self.weights, allowed)
        if self.weights in NAMED_WEIGHTS:
            return self
        if in_project_only(self.weights):
            raise InvalidValueError("weights", self.weights, ABSOLUTE)
        is_file = self.weights.endswith(".h5") and exists(self.weights, Path.is_file)
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
    encoder_batch_norm: Literal["auto", BatchNormMode]
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
