"""Files at a URL (s3://, gs://, ...) through fsspec, with credentials from the environment."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from petseg.core.errors import PetsegError, first_line, is_disk_full, translate


def is_remote(path: str) -> bool:
    return "://" in path


def translate_fsspec_errors(url: str) -> AbstractContextManager[None]:
    """Raise a PetsegError for any exception in the block, except for a full disk."""
    return translate(lambda error: _explain_fsspec(error, url))


def _explain_fsspec(error: Exception, url: str) -> str | None:
    if isinstance(error, FileNotFoundError):
        return f"{url} does not exist; check the URL."
    if isinstance(error, ImportError):
        install = "pip install 'petseg[s3]' or 'petseg[gs]'"
        return f"{url} needs another package ({first_line(error)}); run {install}."
    if is_disk_full(error) or getattr(error, "errno", None) == errno.EFBIG:
        return None
    return (
        f"{url} can't be reached ({first_line(error)}); "
        "check the URL, the network and the credentials in the environment."
    )


@contextmanager
def local_copy(path: str) -> Iterator[Path]:
    """Yield a folder's local path. A remote folder is copied, and the copy is deleted at the end.

    Raises PetsegError. Any PetsegError from the block shows the URL, not the path of the copy.
    """
    if not is_remote(path):
        yield Path(path).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="petseg-") as temporary:
        copy = Path(temporary) / "copy"
        with translate_fsspec_errors(path):
            import fsspec

            system, root = fsspec.url_to_fs(path)
            system.get(root, str(copy), recursive=True)
        if not copy.is_dir():
            raise PetsegError(
                f"{path} is a file; give the folder that contains it or, if it is an archive, "
                "unpack it."
            )
        try:
            yield copy
        except PetsegError as error:
            raise PetsegError(str(error).replace(str(copy), path)) from error
