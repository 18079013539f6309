"""Archives of Oxford-IIIT Pet that are hostile or not the published ones."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from tensorflow_datasets.core.download import checksums

from petseg.core.errors import PetsegError
from petseg.datasets import prepare
from petseg.datasets.oxford import oxford_builder
from petseg.datasets.prepare import prepare_dataset
from support.datasets import draw_oxford_folder, pack

SECTION = "Archives and environment"
CASES = {
    "archive that climbs out": "Not opened: its checksum is not the published one. Even with a known checksum, TFDS refuses it.",
    "archive with an absolute path": "Not opened, like the one before; nothing is written outside its folder.",
    "archive with a symbolic link": "Not opened, like the one before; TFDS unpacks no links.",
    "archive with a hard link": "Not opened, like the one before.",
    "archive with a device": "Not opened, like the one before.",
    "archive that is a bomb": "Not opened: its checksum is not the published one.",
}  # fmt: skip


def member(name, kind=tarfile.REGTYPE, target=""):
    def add(archive):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        info.size = 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))

    return add


ARCHIVES = {
    "archive that climbs out": member("../../../../evil"),
    "archive with an absolute path": member("/tmp/petseg-test-evil"),
    "archive with a symbolic link": member("annotations/evil", tarfile.SYMTYPE, "/etc/passwd"),
    "archive with a hard link": member("annotations/evil", tarfile.LNKTYPE, "/etc/passwd"),
    "archive with a device": member("annotations/evil", tarfile.CHRTYPE),
}


def test_an_archive_that_is_a_bomb_is_not_opened(tiny_params, tmp_path):
    archives = tmp_path / "archives"
    pack(draw_oxford_folder(tmp_path / "pets"), archives)
    with gzip.open(archives / "images.tar.gz", "wb", compresslevel=9) as bomb:
        for _ in range(100):
            bomb.write(bytes(2**20))
    params = tiny_params.dataset.model_copy(update={"name": "oxford_iiit_pet"})
    with pytest.raises(PetsegError, match="Wrong checksum"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**20


@pytest.fixture
def hostile(tmp_path, request):
    """A folder with archives of the right form, one of them with a hostile member."""
    archives = tmp_path / "archives"
    pack(draw_oxford_folder(tmp_path / "pets"), archives)
    with tarfile.open(archives / "annotations.tar.gz", "a") as archive:
        ARCHIVES[request.param](archive)
    return archives


@pytest.mark.parametrize("hostile", ARCHIVES, indirect=True)
def test_an_archive_that_is_not_the_published_one_is_not_even_opened(
    tiny_params, hostile, tmp_path
):
    params = tiny_params.dataset.model_copy(update={"name": "oxford_iiit_pet"})
    with pytest.raises(PetsegError, match="Wrong checksum"):
        prepare_dataset(params, tmp_path / "raw", hostile)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list(hostile.rglob("extracted"))


@pytest.mark.parametrize("hostile", ARCHIVES, indirect=True)
def test_even_with_its_checksum_known_nothing_leaves_its_folder(
    tiny_params, hostile, tmp_path, monkeypatch
):
    def builder_of_these(data_dir):
        builder = oxford_builder(data_dir)
        for url in list(builder.url_infos):
            builder.url_infos[url] = checksums.compute_url_info(hostile / url.rsplit("/", 1)[1])
        return builder

    monkeypatch.setattr(prepare, "oxford_builder", builder_of_these)
    params = tiny_params.dataset.model_copy(update={"name": "oxford_iiit_pet"})
    try:
        prepare_dataset(params, tmp_path / "raw", hostile)
    except PetsegError as error:
        assert "can't be extracted" in str(error)  # noqa: PT017 (either is right)
    assert not Path("/tmp/petseg-test-evil").exists()
    assert not [
        path for path in tmp_path.parent.rglob("*") if path.is_symlink() and path.name == "evil"
    ]
    assert not list(tmp_path.rglob("evil"))
