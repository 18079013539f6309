"""The plan for a distributed preprocessing job."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import tensorflow_datasets as tfds

from petseg.config.data_params import PreprocessParams
from petseg.preprocessing.tiling import count_shard_examples, counts_tiles
from petseg.preprocessing.writer import num_shards_by_split
from petseg.raw import DatasetInfo, count_examples, verify_file
from petseg.shards.manifest import SPLITS

CHECK_ONLY = "check_only"  # the group of images that are checked but not written
GROUPS = (*SPLITS, CHECK_ONLY)


@dataclass(frozen=True)
class JobConfig:
    """What every task needs to know; workers receive a copy."""

    params: PreprocessParams
    seed: int
    dataset_info: DatasetInfo
    categories: tuple[str, ...]
    supercategories: tuple[str, ...]
    num_shards: dict[str, int]  # by group
    files: tuple[tuple[str, str], ...]  # (split, name) of each file of data/raw, in order
    shown_raw_dir: Path  # for error messages
    raw_dir: Path  # absolute, as are the next two
    out_dir: Path
    work_dir: Path  # this run's own, out of reach of workers that a killed run left behind

    @property
    def has_val(self) -> bool:
        """Whether the data set has a validation split of its own."""
        return any(split == "val" for split, _ in self.files)

    def file_path(self, file: int) -> Path:
        return self.raw_dir / self.dataset_info.directory / self.files[file][1]


def plan_job(
    params: PreprocessParams, seed: int, raw_dir: Path, dataset_info: DatasetInfo, folder: Path
) -> JobConfig:
    """Plan the job. Raises PetsegError if the data set's description is damaged."""
    for name in dataset_info.files:
        if ".tfrecord" not in name or counts_tiles(params):  # the workers verify those
            verify_file(dataset_info, name, raw_dir)
    info = tfds.builder_from_directory(raw_dir / dataset_info.directory).info
    totals = count_examples(raw_dir, dataset_info)
    num_shards = num_shards_by_split(params, count_shard_examples(params, raw_dir, dataset_info))
    return JobConfig(
        params=params,
        seed=seed,
        dataset_info=dataset_info,
        categories=tuple(info.features["label"].names),
        supercategories=tuple(name.lower() for name in info.features["species"].names),
        num_shards={**num_shards, CHECK_ONLY: num_shards["train"]},
        files=tuple(
            (split, name) for split in totals for name in sorted(info.splits[split].filenames)
        ),
        shown_raw_dir=raw_dir,
        raw_dir=raw_dir.absolute(),
        out_dir=folder.absolute(),
        work_dir=folder.absolute() / f"work-{uuid.uuid4().hex}",
    )
