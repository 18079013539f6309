"""Which files in a folder are images, and which ones a computer left there for itself."""

import errno
import os
from pathlib import Path, PurePath

IMAGE_SUFFIXES = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp"),
    *(".tif", ".tiff", ".gif"),
}
"""The suffixes, in lower case, of the image files that petseg reads."""

OTHER_IMAGE_SUFFIXES = {
    *(".heic", ".heif", ".hif", ".avif", ".jxl", ".jp2", ".j2k", ".svg", ".psd", ".xcf", ".eps"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".ico", ".exr", ".hdr", ".dcm", ".nii"),
    *(".dng", ".raw", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".srw", ".pef"),
}
"""The suffixes of files that look like images to a user and that petseg doesn't read."""

EVICTED_SUFFIX = ".icloud"
"""The suffix of what a Mac leaves of a file that it has moved to iCloud: .cat.jpg.icloud."""

_SYSTEM_NAMES = {  # in lower case; of files and folders
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"),
    *("@eadir", "#recycle", "#snapshot", "__macosx", "lost+found"),
}


def is_system_file(relative: PurePath) -> bool:
    """Whether a file belongs to an operating system, a network drive or a thumbnail cache.

    `relative` is the file's path below the folder that the user named. Everything hidden counts
    (.DS_Store, ._cat.jpg, .thumbnails/...), and so do Thumbs.db, @eaDir, __MACOSX and the like, but
    not what iCloud has left of a file.
    """
    *folders, name = relative.parts
    hidden = [part for part in folders if part.startswith(".")]
    hidden += [name] * (name.startswith(".") and not name.endswith(EVICTED_SUFFIX))
    return bool(hidden) or any(part.lower() in _SYSTEM_NAMES for part in relative.parts)


def evicted_suffix(path: PurePath) -> str:
    """Return the suffix, in lower case, of a file that is only in iCloud; empty if it is here."""
    return PurePath(path.stem).suffix.lower() if path.suffix == EVICTED_SUFFIX else ""


def walk_files(folder: Path) -> list[Path]:
    """Return every file below a folder except system files, in a fixed order.

    Linked folders are followed. A folder that can be reached on several paths is read once, and
    then without a link if possible, so links can't loop. Broken links are returned like files.
    Raises OSError if a folder can't be read.
    """
    found, seen = list[Path](), set[str]()
    folders, links = [folder], list[Path]()
    while folders or links:
        parent = folders.pop() if folders else links.pop()
        real = os.path.realpath(parent)
        if real in seen:
            continue
        seen.add(real)
        for entry in sorted(os.scandir(parent), key=lambda entry: entry.name):
            if is_system_file(PurePath(entry.name)):
                continue
            path = parent / entry.name
            if not _is_folder(entry):
                found.append(path)
            elif entry.is_symlink():
                links.append(path)
            else:
                folders.append(path)
    return sorted(found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link to itself is like a broken one."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False
