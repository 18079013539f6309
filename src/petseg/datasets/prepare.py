"""The download stage: prepare the data set that params.yaml selects, in data/raw."""

import io
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import tensorflow_datasets as tfds

from petseg.config.data_params import DatasetParams, FolderParams, SyntheticPetsParams
from petseg.core.atomic_io import atomic_directory
from petseg.core.errors import PetsegError
from petseg.core.hashing import NO_GROUP
from petseg.core.labels import TRIMAP_CLASSES
from petseg.core.remote import local_copy
from petseg.datasets.folder.checking import scan_folder
from petseg.datasets.folder.index import index_folder
from petseg.datasets.folder_builder import Folder
from petseg.datasets.oxford import oxford_builder, prepare_oxford
from petseg.datasets.synthetic.builder import SyntheticPets
from petseg.datasets.tfds_compat import serialize_fields_in_order
from petseg.raw import DatasetInfo, write_dataset_info


@dataclass(frozen=True)
class _Prepared:
    """A data set on disk and what `dataset.json` says about it."""

    builder: tfds.core.DatasetBuilder
    class_names: tuple[str, ...]
    first_label: int
    group: str = NO_GROUP
    notes: tuple[str, ...] = ()


def prepare_dataset(params: DatasetParams, raw_dir: Path, archives: Path) -> DatasetInfo:
    """Prepare the data set in `raw_dir`, which appears only once it is complete.

    `archives` holds downloads and archives that the user put there by hand. Raises PetsegError.
    """
    serialize_fields_in_order()
    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    with atomic_directory(raw_dir) as partial:
        with redirect_stdout(io.StringIO()):  # TFDS announces downloads even if there are none
            prepared = _prepare(params, partial, archives)
        dataset_info = DatasetInfo(
            name=params.name,
            directory=Path(prepared.builder.data_dir).relative_to(partial).as_posix(),
            class_names=prepared.class_names,
            first_label=prepared.first_label,
            group=prepared.group,
            notes=prepared.notes,
        )
        write_dataset_info(dataset_info, partial)
    for note in prepared.notes:
        print(note, flush=True)
    splits = prepared.builder.info.splits.items()
    counts = " and ".join(f"{split.num_examples} {name}" for name, split in splits)
    print(f"{params.name}: {counts} images.", flush=True)
    return dataset_info


def _prepare(params: DatasetParams, data_dir: Path, archives: Path) -> _Prepared:
    if params.name == "oxford_iiit_pet":
        return _prepare_oxford(data_dir, archives)
    if params.name == "folder":
        return _prepare_folder(params.folder, data_dir)
    return _prepare_synthetic_pets(params.synthetic_pets, data_dir)


def _prepare_oxford(data_dir: Path, archives: Path) -> _Prepared:
    builder = oxford_builder(data_dir)
    prepare_oxford(builder, archives)
    return _Prepared(builder, TRIMAP_CLASSES, 1)


def _prepare_folder(params: FolderParams, data_dir: Path) -> _Prepared:
    with local_copy(params.path) as folder:
        index = index_folder(params, folder)
        scan = scan_folder(index, params)
        index.findings.raise_problems(str(folder))
        if scan.table is None:
            raise PetsegError(f"{folder} has no classes; set dataset.folder.classes.")
        builder = Folder(scan=scan, data_dir=data_dir)
        _generate(builder, data_dir)
    notes = tuple(map(str, [index.summary, *index.findings.notes]))
    return _Prepared(builder, scan.table.names, 0, params.group, notes)


def _prepare_synthetic_pets(params: SyntheticPetsParams, data_dir: Path) -> _Prepared:
    builder = SyntheticPets(params=params, data_dir=data_dir)
    _generate(builder, data_dir)
    return _Prepared(builder, TRIMAP_CLASSES, 1)


def _generate(builder: tfds.core.DatasetBuilder, data_dir: Path) -> None:
    """Write the examples of a builder that downloads nothing."""
    builder.download_and_prepare(
        download_dir=data_dir / "downloads",
        download_config=tfds.download.DownloadConfig(try_download_gcs=False),
    )
    shutil.rmtree(data_dir / "downloads", ignore_errors=True)
