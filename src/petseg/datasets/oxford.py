"""Oxford-IIIT Pet through TFDS's own builder, at one exact version.

The archives come from the network, or from a folder where the user has put them under their published names. Either
way TFDS verifies their checksums.
"""

import shutil
import tarfile
from pathlib import Path

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, downloader, extractor
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError
from tensorflow_datasets.core.download.util import DownloadError

from petseg.core.errors import PetsegError

NAME, VERSION = "oxford_iiit_pet", "4.0.0"
_ANSWER_SECONDS = 20
_RETRIES = 5  # within about ten seconds; TFDS's 10 keep somebody without a network waiting for 204


def oxford_builder(data_dir: Path) -> tfds.core.DatasetBuilder:
    """TFDS's builder at the pinned version. Raises PetsegError if the installed TFDS no longer has that version."""
    try:
        return tfds.builder(f"{NAME}:{VERSION}", data_dir=data_dir)
    except tfds.core.registered.DatasetNotFoundError as error:
        raise PetsegError(
            f"The installed tensorflow-datasets has no {NAME} {VERSION}; install the pins of requirements.txt."
        ) from error


def prepare_oxford(builder: tfds.core.DatasetBuilder, archives: Path) -> None:
    """Download (or take from `archives`), verify, extract and convert. What was downloaded stays in `archives`.

    Raises PetsegError on no network, a wrong checksum or a broken archive.
    """
    downloads = archives / "downloads"
    urls = sorted(builder.url_infos)
    downloader.MAX_RETRIES = _RETRIES
    by_hand = f"download {' and '.join(urls)} yourself, put them into {archives}, and run again"
    try:
        _must_answer([url for url in urls if not _is_there(url, archives)])
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(
                manual_dir=archives, extract_dir=downloads / "extracted"
            ),
        )
    except DownloadError as error:
        raise PetsegError(f"A download failed ({error}); {by_hand}.") from error
    except requests.exceptions.RequestException as error:
        host = urls[0].split("/")[2]
        raise PetsegError(
            f"{host} can't be reached ({type(error).__name__}); {by_hand}."
        ) from error
    except NonMatchingChecksumError as error:
        wrong = ", ".join(_wrong_archives(builder, archives)) or "what came over the network"
        raise PetsegError(
            f"Wrong checksum: {wrong} differs from the published archive; {by_hand}."
        ) from error
    except (
        extractor.ExtractError,
        extractor.UnsafeArchiveError,
        tarfile.TarError,
        EOFError,
    ) as error:
        raise PetsegError(
            f"An archive in {archives} can't be unpacked ({str(error).splitlines()[0]}); {by_hand}."
        ) from error
    except FileNotFoundError as error:
        raise PetsegError(
            f"The archives lack a file ({error.filename or error}); {by_hand}."
        ) from error
    finally:
        shutil.rmtree(downloads / "extracted", ignore_errors=True)


def _is_there(url: str, archives: Path) -> bool:
    """Whether an archive was put there by hand or is among the earlier downloads, which TFDS names in its own way."""
    stem = url.rsplit("/", 1)[1].split(".")[0]
    return (archives / f"{stem}.tar.gz").is_file() or any(
        (archives / "downloads").glob(f"*{stem}*.tar.gz")
    )


def _must_answer(urls: list[str]) -> None:
    """Ask for each address once, with a limit: TFDS itself waits for a silent host as long as the system does."""
    for url in urls:
        requests.get(url, stream=True, timeout=_ANSWER_SECONDS).close()


def _wrong_archives(builder: tfds.core.DatasetBuilder, archives: Path) -> list[str]:
    """The archives put there by hand whose size or sha256 is not the registered one."""
    registered = {info.filename: info for info in builder.url_infos.values()}
    placed = [archives / name for name in registered if (archives / name).is_file()]
    return [
        str(path) for path in placed if checksums.compute_url_info(path) != registered[path.name]
    ]
