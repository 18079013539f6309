"""TFDS's builder of Oxford-IIIT Pet, offline: small archives of the same form, some of them hostile."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
import requests
from tensorflow_datasets.core.download import checksums, downloader

from petseg.config.params import parse_params
from petseg.core.errors import PetsegError
from petseg.datasets import prepare
from petseg.datasets.oxford import oxford_builder
from petseg.datasets.prepare import prepare_dataset
from support.datasets import draw_oxford_folder, examples, pack
from support.project import with_values

SECTION = "Archives and environment"
CASES = {
    "archive with a path outside its folder": "Not opened: its checksum is not the published one. Even with a known checksum, TFDS refuses it.",
    "archive with an absolute path": "Not opened, as above; nothing is written outside its folder.",
    "archive with a symbolic link": "Not opened, as above; TFDS extracts no links.",
    "archive with a hard link": "Not opened, as above.",
    "archive with a device": "Not opened, as above.",
    "archive that is a decompression bomb": "Not opened: its checksum is not the published one.",
}  # fmt: skip


@pytest.fixture
def params(default_params):
    return parse_params(with_values(default_params, {"dataset.name": "oxford_iiit_pet"})).dataset


@pytest.fixture
def archives(tmp_path):
    pack(draw_oxford_folder(tmp_path / "pets"), tmp_path / "archives")
    return tmp_path / "archives"


@pytest.fixture
def known_checksums(archives, monkeypatch):
    """Register the checksums that the archives have when they are used."""

    def builder_of_these(data_dir):
        builder = oxford_builder(data_dir)
        for url in list(builder.url_infos):
            builder.url_infos[url] = checksums.compute_url_info(archives / url.rsplit("/", 1)[1])
        return builder

    monkeypatch.setattr(prepare, "oxford_builder", builder_of_these)


def test_archives_added_by_hand_replace_the_download(params, archives, known_checksums, tmp_path):
    dataset_info = prepare_dataset(params, tmp_path / "raw", archives)
    assert dataset_info.directory == "oxford_iiit_pet/4.0.0"
    train, info = examples(tmp_path / "raw", "train")
    assert set(train) == {"Abyssinian_1.jpg", "beagle_2.jpg", "beagle_3.jpg"}
    assert len(info.features["label"].names) == 37
    assert not (archives / "downloads" / "extracted").exists()


def test_archives_with_another_checksum_are_named(params, archives, tmp_path):
    with pytest.raises(PetsegError, match=r"Wrong checksum: .*archives/images\.tar\.gz"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert not (tmp_path / "raw").exists()


def test_a_broken_archive_is_reported(params, archives, known_checksums, tmp_path):
    path = archives / "images.tar.gz"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(PetsegError, match=r"(can't be extracted|A file is missing)"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert not (tmp_path / "raw").exists()


def test_without_a_network_the_error_says_how_to_download_by_hand(params, tmp_path, monkeypatch):
    def unreachable(*args, **kwargs):
        raise requests.exceptions.ConnectionError("no route to host")

    monkeypatch.setattr(requests, "get", unreachable)
    monkeypatch.setattr(downloader, "_open_url", unreachable)
    with pytest.raises(
        PetsegError, match=r"thor\.robots\.ox\.ac\.uk can't be reached .* yourself, put them into"
    ):
        prepare_dataset(params, tmp_path / "raw", tmp_path / "archives")
    assert not (tmp_path / "raw").exists()


def member(name, kind=tarfile.REGTYPE, target=""):
    def add(archive):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        info.size = 4 if kind == tarfile.REGTYPE else 0
        archive.addfile(info, io.BytesIO(b"evil"))

    return add


HOSTILE = {
    "archive with a path outside its folder": member("../../../../evil"),
    "archive with an absolute path": member("/tmp/petseg-test-evil"),
    "archive with a symbolic link": member("annotations/evil", tarfile.SYMTYPE, "/etc/passwd"),
    "archive with a hard link": member("annotations/evil", tarfile.LNKTYPE, "/etc/passwd"),
    "archive with a device": member("annotations/evil", tarfile.CHRTYPE),
}


@pytest.fixture(params=HOSTILE)
def hostile(archives, request):
    """The archives, one of them with a hostile member."""
    with tarfile.open(archives / "annotations.tar.gz", "a") as archive:
        HOSTILE[request.param](archive)
    return archives


def test_an_archive_that_is_not_the_published_one_is_not_opened(params, hostile, tmp_path):
    with pytest.raises(PetsegError, match="Wrong checksum"):
        prepare_dataset(params, tmp_path / "raw", hostile)
    assert not list(tmp_path.rglob("*evil*"))
    assert not list(hostile.rglob("extracted"))


def test_even_with_a_known_checksum_nothing_is_written_outside_the_folder(
    params, hostile, known_checksums, tmp_path
):
    try:
        prepare_dataset(params, tmp_path / "raw", hostile)
    except PetsegError as error:
        assert "can't be extracted" in str(error)  # noqa: PT017 (either is right)
    assert not Path("/tmp/petseg-test-evil").exists()
    assert not list(tmp_path.parent.rglob("evil"))


def test_a_decompression_bomb_is_not_opened(params, archives, tmp_path):
    with gzip.open(archives / "images.tar.gz", "wb", compresslevel=1) as bomb:
        for _ in range(100):
            bomb.write(bytes(2**20))
    with pytest.raises(PetsegError, match="Wrong checksum"):
        prepare_dataset(params, tmp_path / "raw", archives)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**20
