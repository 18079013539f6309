"""A folder of images behind a file:// URL; tests/soak/test_buckets.py uses a bucket."""

import shutil

import pytest

from petseg.core.errors import PetsegError
from petseg.datasets.prepare import prepare_dataset
from support.datasets import draw_masks_folder, folder_params


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder): path.read_bytes() for path in files}


def test_a_remote_folder_gives_the_same_data_set_as_a_local_one(default_params, tmp_path):
    local = draw_masks_folder(tmp_path / "mine")
    classes = {"dataset.folder.classes": ["a", "b"]}
    for path, raw in ((local, "local"), (f"file://{local}", "remote")):
        prepare_dataset(folder_params(default_params, path, **classes), tmp_path / raw, tmp_path)
    assert contents(tmp_path / "remote") == contents(tmp_path / "local")


def test_errors_in_a_remote_folder_name_its_url(default_params, tmp_path):
    local = draw_masks_folder(tmp_path / "mine")
    url = f"file://{local}"
    (local / "masks" / "pug" / "2.png").unlink()
    with pytest.raises(PetsegError, match=rf"^{url}: Images without a mask .*images/pug/2\.png"):
        prepare_dataset(folder_params(default_params, url), tmp_path / "raw", tmp_path)
    shutil.rmtree(local)
    with pytest.raises(PetsegError, match=rf"^{url}"):
        prepare_dataset(folder_params(default_params, url), tmp_path / "raw", tmp_path)
