"""Private TFDS APIs that the download stage needs. Checked with tensorflow-datasets 4.9.10.

- ExampleSerializer.serialize_example, replaced for a fixed order of fields
- DatasetBuilder.url_infos, the published checksums of the archives
- downloader.MAX_RETRIES
- checksums.compute_url_info
- the exceptions of downloading and extracting
"""

from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums, downloader, extractor
from tensorflow_datasets.core.download.download_manager import (
    NonMatchingChecksumError as NonMatchingChecksumError,
)
from tensorflow_datasets.core.download.util import DownloadError as DownloadError
from tensorflow_datasets.core.example_serializer import ExampleSerializer

EXTRACT_ERRORS = (extractor.ExtractError, extractor.UnsafeArchiveError)


def serialize_fields_in_order() -> None:
    """Make TFDS write the same bytes in every process; protobuf's default field order varies."""
    ExampleSerializer.serialize_example = _serialize_in_order


def _serialize_in_order(self: ExampleSerializer, example: dict[str, Any]) -> bytes:
    return bytes(self.get_tf_example(example).SerializeToString(deterministic=True))


def limit_download_retries(retries: int) -> None:
    """Limit how often TFDS retries a download; its default of 10 takes 204 s."""
    downloader.MAX_RETRIES = retries


def archive_urls(builder: tfds.core.DatasetBuilder) -> list[str]:
    """Return the URLs that the builder downloads."""
    return sorted(builder.url_infos)


def mismatched_archives(builder: tfds.core.DatasetBuilder, folder: Path) -> list[Path]:
    """Return the archives in a folder whose size or sha256 differs from the published one."""
    published = {info.filename: info for info in builder.url_infos.values()}
    present = [folder / name for name in published if (folder / name).is_file()]
    return [path for path in present if checksums.compute_url_info(path) != published[path.name]]
