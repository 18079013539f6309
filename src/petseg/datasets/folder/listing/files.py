"""The files of a user's folder, and what is said about those that aren't used."""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from petseg.datasets.folder.findings import Findings
from petseg.datasets.folder.listing.names import Role, Split
from petseg.images.files import EVICTED_SUFFIX, IMAGE_SUFFIXES, OTHER_IMAGE_SUFFIXES

_INSTANCES = {"SegmentationObject"}  # VOC's masks of single objects, which nobody misses


Place = tuple[Split | None, tuple[str, ...]]
"""The folder of an image and of its mask, without the names for their roles."""


@dataclass(frozen=True)
class FoundFile:
    """A file below the root."""

    path: Path
    relative: PurePosixPath  # to the root
    role: Role | None  # by its folder
    split: Split | None  # by its folder
    folders: tuple[str, ...]  # other than those that name a role or a split

    @property
    def name(self) -> str:
        """Its path without the folder that names its role; unique among the images."""
        path = "/".join((*filter(None, [self.split]), *self.folders, self.path.name))
        return unicodedata.normalize("NFC", path)  # Macs decompose letters with accents

    @property
    def place(self) -> Place:
        """Equal for the folders of an image and of its mask."""
        return self.split, self.folders

    @cached_property
    def suffix(self) -> str:
        return self.path.suffix.lower()


@dataclass
class Folder:
    """All files of a user's folder, except system files."""

    root: Path
    files: list[FoundFile]
    findings: Findings = field(default_factory=Findings)
    read: set[Path] = field(default_factory=set)  # lists and tables that were taken into account

    def with_suffix(self, *suffixes: str) -> list[FoundFile]:
        return [file for file in self.files if file.suffix in suffixes]

    def at_root(self, *names: str) -> list[FoundFile]:
        """Return the files with these names (in lower case), in no folder but a split's or masks'.

        They count as read.
        """
        found = [
            file
            for name in names
            for file in self.files
            if file.path.name.lower() == name and not file.folders and file.role != "image"
        ]
        self.read.update(file.path for file in found)
        return found

    def above_masks(self, names: Iterable[str]) -> list[FoundFile]:
        """Return the files with these names (in lower case) if each mask is next to or below one.

        They count as read.
        """
        named = set(names)
        found = [f for f in self.files if f.path.name.lower() in named and f.role != "image"]
        masks = [file for file in self.with_suffix(*IMAGE_SUFFIXES) if file.role != "image"]
        places = {file.path.parent for file in found}
        if not all(places.intersection(mask.path.parents) for mask in masks):
            return []
        above = {parent for mask in masks for parent in mask.path.parents}
        found = [file for file in found if file.path.parent in above]
        self.read.update(file.path for file in found)
        return found

    def images(self) -> list[FoundFile]:
        """Return the image files that aren't masks by their folder.

        If some folder is named images/ or the like, only the images in such folders count.
        """
        images = [file for file in self.with_suffix(*IMAGE_SUFFIXES) if file.role != "mask"]
        in_folders = [file for file in images if file.role == "image"]
        return in_folders or images

    def other_images(self) -> list[FoundFile]:
        """Return the image files outside of the folders for images, if there are such folders."""
        files = self.with_suffix(*IMAGE_SUFFIXES)
        if not any(file.role == "image" for file in files):
            return []
        return [file for file in files if file.role is None]

    def note_other_images(self) -> None:
        """Say which image files are in no folder for images, although there are such folders."""
        others = [
            str(file.relative)
            for file in self.other_images()
            if not _INSTANCES.intersection(file.relative.parts)
        ]
        self.findings.note("Image files outside of the folders for images, left out", others)

    def note_unread(self, annotations: Iterable[Path]) -> None:
        """Say which files were not taken into account, apart from image files and descriptions."""
        known = self.read.union(annotations)
        suffixes = {*IMAGE_SUFFIXES, *OTHER_IMAGE_SUFFIXES, EVICTED_SUFFIX, ".md"}
        others = [
            str(file.relative)
            for file in self.files
            if file.path not in known
            and file.suffix not in suffixes
            and not file.path.name.lower().startswith(("readme", "license"))
        ]
        self.findings.note("Files of other kinds, not read", others)

    def check_names(self, images: Iterable[FoundFile]) -> None:
        """Report images whose names can't be used, or that are no images that petseg reads."""
        by_name = defaultdict(list)
        for file in images:
            by_name[file.name].append(str(file.relative))
        same = [" and ".join(files) for files in by_name.values() if len(files) > 1]
        self.findings.problem("Images of the same name", same, "rename them")
        bad = [repr(name) for name in by_name if not name.isprintable()]
        # Names go into tables and file names.
        self.findings.problem("Names with unprintable characters", bad, "rename them")
        self.report_other_formats()

    def report_other_formats(self) -> None:
        """Report images that petseg doesn't read.

        They are left out if there is a readable one of the name, or if they are outside of the
        folders for images.
        """
        readable = {file.path.with_suffix("") for file in self.with_suffix(*IMAGE_SUFFIXES)}
        has_folders = any(f.role == "image" for f in self.with_suffix(*IMAGE_SUFFIXES))
        missing, others = list[str](), list[str]()
        unread_masks = self._unread_masks()
        for file in self.with_suffix(*OTHER_IMAGE_SUFFIXES):
            is_extra = has_folders and file.role != "image"
            if file in unread_masks:
                continue
            if is_extra or file.path.with_suffix("") in readable:
                others.append(str(file.relative))
            elif file.role != "mask":
                missing.append(str(file.relative))
        formats = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        what = "Images in formats that petseg doesn't read"
        self.findings.problem(what, missing, f"convert them to {formats}")
        self.findings.note(f"{what}, left out", others)
        self.report_unread_masks()

    def report_unread_masks(self) -> bool:
        """Report masks that petseg doesn't read, and return whether there are any."""
        masks = [str(file.relative) for file in self._unread_masks()]
        what = "Masks in formats that petseg doesn't read"
        self.findings.problem(what, masks, "convert them to PNG")
        return bool(masks)

    def _unread_masks(self) -> list[FoundFile]:
        """Return such files that have an image's name, unless a mask that can be read has it."""
        others = [f for f in self.with_suffix(*OTHER_IMAGE_SUFFIXES) if f.role == "mask"]
        if not others:
            return []
        readable = self.with_suffix(*IMAGE_SUFFIXES)
        with_mask = {(f.place, f.path.stem) for f in readable if f.role == "mask"}
        of_images = {(f.place, f.path.stem) for f in readable if f.role != "mask"} - with_mask
        return [file for file in others if (file.place, file.path.stem) in of_images]
