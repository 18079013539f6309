"""The parameters of the stages download and preprocess."""

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from petseg.config.tiles import TilesOrNone
from petseg.config.types import (
    AnnotationFormat,
    BeamOptions,
    FilePath,
    FolderClasses,
    Fraction,
    FractionOrOne,
    GroupPattern,
    InputSize,
    Seed,
    Shards,
    Storage,
    SyntheticCount,
    SyntheticSize,
)
from petseg.config.user_paths import ABSOLUTE, exists, in_project_only
from petseg.config.validation import InvalidValueError, Section
from petseg.core.geometry import Resize
from petseg.core.remote import is_remote


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
        if in_project_only(path):
            raise InvalidValueError("folder.path", path, ABSOLUTE)
        if not exists(path, Path.is_dir):
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
