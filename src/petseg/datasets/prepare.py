"""The stage download: from `dataset` in params.yaml to a prepared data set in data/raw."""

import contextlib
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.example_serializer import ExampleSerializer

from petseg.config.params import DatasetParams
from petseg.core.atomic_io import atomic_directory
from petseg.core.labels import TRIMAP_CLASSES
from petseg.core.remote import local_copy
from petseg.datasets.folder import Folder
from petseg.datasets.folder_index import index_folder
from petseg.datasets.oxford import oxford_builder, prepare_oxford
from petseg.datasets.synthetic.builder import SyntheticPets
from petseg.raw import DatasetInfo, write_dataset_info


def prepare_dataset(params: DatasetParams, raw_dir: Path, archives: Path) -> DatasetInfo:
    """Prepare the data set in `raw_dir`, which appears only when it is whole.

    `archives` is where downloaded archives lie, or are put by hand. Raises PetsegError.
    """
    ExampleSerializer.serialize_example = _serialize_in_order
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with atomic_directory(raw_dir) as partial:
        with contextlib.redirect_stdout(
            io.StringIO()
        ):  # TFDS speaks of downloads even where there is none
            builder, class_names, first_label = _prepare(params, partial, archives)
        directory = Path(builder.data_dir).relative_to(partial).as_posix()
        dataset_info = DatasetInfo(params.name, directory, class_names, first_label)
        write_dataset_info(dataset_info, partial)
    counts = ", ".join(
        f"{split.num_examples} in {name}" for name, split in builder.info.splits.items()
    )
    print(f"{params.name}: pictures {counts}.", flush=True)
    return dataset_info


def _serialize_in_order(self: ExampleSerializer, example: dict[str, Any]) -> bytes:
    """TFDS's own way, but with the fields in a fixed order: protobuf's own order differs from process to process."""
    return bytes(self.get_tf_example(example).SerializeToString(deterministic=True))


def _prepare(
    params: DatasetParams, data_dir: Path, archives: Path
) -> tuple[tfds.core.DatasetBuilder, tuple[str, ...], int]:
    if params.name == "oxford_iiit_pet":
        builder = oxford_builder(data_dir)
        prepare_oxford(builder, archives)
        return builder, TRIMAP_CLASSES, 1
    if params.name == "folder":
        with local_copy(params.folder.path) as folder:
            listing = index_folder(params.folder, folder)
            builder = Folder(listing=listing, data_dir=data_dir)
            _generate(builder, data_dir)
        return builder, listing.class_names, listing.first_label
    builder = SyntheticPets(params=params.synthetic_pets, data_dir=data_dir)
    _generate(builder, data_dir)
    return builder, TRIMAP_CLASSES, 1


def _generate(builder: tfds.core.DatasetBuilder, data_dir: Path) -> None:
    builder.download_and_prepare(
        download_dir=data_dir / "downloads",
        download_config=tfds.download.DownloadConfig(try_download_gcs=False),
    )
    shutil.rmtree(data_dir / "downloads", ignore_errors=True)
