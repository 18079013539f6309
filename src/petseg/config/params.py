"""The typed, validated view of params.yaml.

Every stage reads its parameters with `load_params`, which reports unknown keys, wrong types and
invalid values. This module imports neither TensorFlow nor DVC, so a typo is reported at once.
"""

import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from petseg.config.data_params import DatasetParams, PreprocessParams
from petseg.config.train_params import ModelParams, TrainParams
from petseg.config.types import (
    EXPORT_FORMATS,
    ONE_WINDOW_FORMATS,
    Bool,
    BootstrapSamples,
    CalibrationCount,
    Count,
    ExportFormat,
    Resolution,
    Scale,
    Seed,
    SmallCount,
)
from petseg.config.validation import InvalidValueError, Section, read_yaml, validate
from petseg.core.errors import PetsegError


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
    def _check_formats(self) -> "Params":
        tiles, formats = self.preprocess.tiles, self.export.formats
        refused = [name for name in formats if name in ONE_WINDOW_FORMATS]
        if refused and (tiles or self.preprocess.resize == "crop"):
            reason = "there are preprocess.tiles" if tiles else "preprocess.resize is crop"
            allowed = f"a list without {' and '.join(refused)} when {reason}"
            raise InvalidValueError("export.formats", list(formats), allowed)
        return self

    @model_validator(mode="after")
    def _check_frozen_encoder(self) -> "Params":
        if self.model.weights != "none":
            return self
        epochs = self.train.frozen_encoder_epochs
        if epochs > 0:
            key = "train.frozen_encoder_epochs"
            raise InvalidValueError(key, epochs, "0 when model.weights is none")
        mode = self.train.encoder_batch_norm
        if mode not in ("auto", "trained"):
            key = "train.encoder_batch_norm"
            raise InvalidValueError(key, mode, "auto or trained when model.weights is none")
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
