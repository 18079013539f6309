"""Oxford-IIIT Pet through TFDS's own builder, at one exact version.

The archives are downloaded, or come from a folder where the user has put them under their
published names. Either way, TFDS verifies their checksums.
"""

import shutil
import tarfile
from pathlib import Path

import requests
import tensorflow_datasets as tfds

from petseg.core.errors import first_line, translate
from petseg.datasets.tfds_compat import (
    EXTRACT_ERRORS,
    DownloadError,
    NonMatchingChecksumError,
    archive_urls,
    limit_download_retries,
    mismatched_archives,
)

NAME, VERSION = "oxford_iiit_pet", "4.0.0"
_TIMEOUT_SECONDS = 20
_MAX_RETRIES = 5  # which take about ten seconds


def oxford_builder(data_dir: Path) -> tfds.core.DatasetBuilder:
    """Return TFDS's builder. Raises PetsegError if the installed TFDS lacks this version."""
    message = (
        f"The installed tensorflow-datasets has no {NAME} {VERSION}; "
        "run pip install -r requirements.txt."
    )
    with translate(lambda _: message, tfds.core.registered.DatasetNotFoundError):
        return tfds.builder(f"{NAME}:{VERSION}", data_dir=data_dir)


def prepare_oxford(builder: tfds.core.DatasetBuilder, archives: Path) -> None:
    """Download or find the archives, verify, extract and convert them.

    Downloads are kept in `archives`. Raises PetsegError if there is no network, a checksum is
    wrong, or an archive is broken.
    """
    downloads = archives / "downloads"
    config = tfds.download.DownloadConfig(manual_dir=archives, extract_dir=downloads / "extracted")
    limit_download_retries(_MAX_RETRIES)
    try:
        with translate(lambda error: _explain(error, builder, archives)):
            _check_servers([url for url in archive_urls(builder) if not _is_local(url, archives)])
            builder.download_and_prepare(download_dir=downloads, download_config=config)
    finally:
        shutil.rmtree(downloads / "extracted", ignore_errors=True)


def _explain(error: Exception, builder: tfds.core.DatasetBuilder, archives: Path) -> str | None:
    urls = archive_urls(builder)
    by_hand = f"download {' and '.join(urls)} yourself, put them into {archives}, and run again"
    if isinstance(error, DownloadError):
        return f"A download failed ({error}); {by_hand}."
    if isinstance(error, requests.exceptions.RequestException):
        host = urls[0].split("/")[2]
        return f"{host} can't be reached ({type(error).__name__}); {by_hand}."
    if isinstance(error, NonMatchingChecksumError):
        paths = ", ".join(map(str, mismatched_archives(builder, archives))) or "the download"
        return f"Wrong checksum: {paths} differs from the published archive; {by_hand}."
    if isinstance(error, (*EXTRACT_ERRORS, tarfile.TarError, EOFError)):
        return f"An archive in {archives} can't be extracted ({first_line(error)}); {by_hand}."
    if isinstance(error, FileNotFoundError):
        return f"A file is missing from the archives ({error.filename or error}); {by_hand}."
    return None


def _is_local(url: str, archives: Path) -> bool:
    """Whether an archive was put there by hand or downloaded earlier, under TFDS's own name."""
    stem = url.rsplit("/", 1)[1].split(".")[0]
    earlier_downloads = (archives / "downloads").glob(f"*{stem}*.tar.gz")
    return (archives / f"{stem}.tar.gz").is_file() or any(earlier_downloads)


def _check_servers(urls: list[str]) -> None:
    """Request each URL once with a timeout; TFDS itself waits minutes for a silent host."""
    for url in urls:
        requests.get(url, stream=True, timeout=_TIMEOUT_SECONDS).close()
