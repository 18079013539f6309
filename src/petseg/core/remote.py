"""What lies behind a URL: a bucket (s3://, gs://) or whatever else fsspec knows; credentials are the environment's."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from petseg.core.errors import PetsegError, first_line, is_disk_full


def is_remote(path: str) -> bool:
    return "://" in path


@contextmanager
def translate_fsspec_errors(url: str) -> Iterator[None]:
    """Raises PetsegError for what fsspec raises in the block."""
    try:
        yield
    except PetsegError:
        raise
    except FileNotFoundError as error:
        raise PetsegError(f"{url} is not there; look after the address.") from error
    except ImportError as error:
        raise PetsegError(
            f"{url} needs another package ({first_line(error)}): pip install -e '.[s3]', or gs."
        ) from error
    except Exception as error:  # each of fsspec's drivers has kinds of its own
        if is_disk_full(error):
            raise
        raise PetsegError(
            f"{url} can't be reached ({first_line(error)}); look after the address, the network and the credentials "
            "in the environment."
        ) from error


@contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """The folder at a path; one behind a URL is copied, and the copy is gone after the block.

    Raises PetsegError, also for one in the block, in which the URL takes the copy's place.
    """
    if not is_remote(path):
        yield Path(path)
        return
    with tempfile.TemporaryDirectory(prefix="petseg-") as temporary:
        copy = Path(temporary) / "copy"
        with translate_fsspec_errors(path):
            import fsspec

            system, root = fsspec.url_to_fs(path)
            system.get(root, str(copy), recursive=True)
        try:
            yield copy
        except PetsegError as error:
            raise PetsegError(str(error).replace(str(copy), path)) from error
