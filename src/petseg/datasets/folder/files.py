"""The files of a user's folder: which are images or masks, and in which split, by their folders.

images/train/pug/1.jpg   and   train/images/pug/1.jpg   are both image pug/1.jpg of split train
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from petseg.datasets.folder.findings import Findings
from petseg.datasets.folder.names import Role, Split, meaning_of, split_in
from petseg.images.files import (
    EVICTED_SUFFIX,
    IMAGE_SUFFIXES,
    OTHER_IMAGE_SUFFIXES,
    evicted_suffix,
    walk_files,
)

_ANNOTATION_SUFFIXES = (".json", ".xml", ".txt", ".csv", ".yaml", ".yml")
_COMPANIONS = {
    *(".md", ".rst", ".pdf", ".html", ".py", ".ipynb", ".sh", ".m"),
    *(".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"),
}
_INSTANCES = {"SegmentationObject"}  # VOC's masks of single objects, which nobody misses


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
        return "/".join((*filter(None, [self.split]), *self.folders, self.path.name))

    @property
    def key(self) -> tuple[Split | None, tuple[str, ...]]:
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

    def note_other_images(self) -> None:
        """Say which image files are in no folder for images, although there are such folders."""
        used = self.images()
        if not any(file.role == "image" for file in used):
            return
        others = [
            str(file.relative)
            for file in self.with_suffix(*IMAGE_SUFFIXES)
            if file.role is None and not _INSTANCES.intersection(file.relative.parts)
        ]
        self.findings.note("Images outside of the folders for images, left out", others)

    def note_unread(self, annotations: Iterable[Path]) -> None:
        """Say which files were not taken into account, apart from pictures and descriptions."""
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
        for file in self.with_suffix(*OTHER_IMAGE_SUFFIXES):
            is_extra = has_folders and file.role != "image"
            if is_extra or file.path.with_suffix("") in readable:
                others.append(str(file.relative))
            elif file.role != "mask":
                missing.append(str(file.relative))
        formats = ", ".join(sorted(suffix[1:] for suffix in IMAGE_SUFFIXES))
        what = "Images in formats that petseg doesn't read"
        self.findings.problem(what, missing, f"convert them to {formats}")
        self.findings.note(f"{what}, left out", others)


def find_files(root: Path) -> Folder:
    """List the files of a folder. If all are below one folder without a meaning, start there.

    Raises OSError if a folder can't be read.
    """
    paths, outside = _in_only_folder(root, walk_files(root))
    relatives = [path.relative_to(root) for path in paths]
    while relatives and all(
        len(relative.parts) > 1 and relative.parts[0] == relatives[0].parts[0]
        for relative in relatives
    ):
        first = relatives[0].parts[0]
        means_nothing = meaning_of(first) in ((None, None), (None, "val"), (None, "test"))
        if not means_nothing and not _has_other_roles(first, relatives):
            break
        root /= first
        relatives = [relative.relative_to(first) for relative in relatives]
    files = [_classify(path, relative) for path, relative in zip(paths, relatives, strict=True)]
    unreadable = {file for file in files if _is_unreadable(file)}
    folder = Folder(root, [file for file in files if file not in unreadable])
    folder.findings.note("Files next to the folder of the images, not read", outside)
    wanted = {*IMAGE_SUFFIXES, *_ANNOTATION_SUFFIXES}
    evicted = [str(file.relative) for file in files if evicted_suffix(file.path) in wanted]
    folder.findings.problem("Files that are only in iCloud", evicted, "download them")
    names = [str(file.relative) for file in files if file in unreadable]
    folder.findings.problem("Broken links, pipes and the like", names, "fix or remove them")
    links = {parent for path in paths for parent in path.relative_to(root).parents[:-1]}
    linked = sorted(str(link) for link in links if (root / link).is_symlink())
    remedy = "DVC sees no change in them: run dvc repro --force download after one"
    folder.findings.note("Linked folders", linked, remedy)
    _check_splits(folder)
    return folder


def _in_only_folder(root: Path, paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Leave out descriptions, programs and archives next to the only folder.

    Return the other files, and the names of those left out.
    """
    at_root = [path for path in paths if path.parent == root]
    others = [path for path in paths if path.parent != root]
    folders = {path.relative_to(root).parts[0] for path in others}
    if len(folders) != 1 or not all(map(_is_companion, at_root)):
        return list(paths), []
    return others, [path.name for path in at_root]


def _is_companion(path: Path) -> bool:
    """Whether a file comes with data, but isn't of them."""
    name = path.name.lower()
    return path.suffix.lower() in _COMPANIONS or name.startswith(
        ("readme", "license", "licence", "citation", "requirements")
    )


def _has_other_roles(first: str, relatives: Iterable[Path]) -> bool:
    """Whether a folder has both roles, as segmentation/ with images/ and masks/ in it."""
    role = meaning_of(first)[0]
    roles = {meaning_of(part)[0] for relative in relatives for part in relative.parts[1:-1]}
    if any(r.suffix.lower() in IMAGE_SUFFIXES for r in relatives if len(r.parts) == 2):
        roles.add(role)
    return role is not None and roles >= {"image", "mask"}


def _is_unreadable(file: FoundFile) -> bool:
    """Whether it can't be read as a file; images with broken links are reported with the others."""
    return not file.path.is_file() and (file.suffix not in IMAGE_SUFFIXES or file.path.exists())


def _classify(path: Path, relative: Path) -> FoundFile:
    role: Role | None = None
    split: Split | None = None
    folders: list[str] = []
    for part in relative.parts[:-1]:
        its_role, its_split = meaning_of(part)
        is_second_split = its_split and (split not in (None, its_split) or folders)
        is_second_role = its_role and role not in (None, its_role)
        if is_second_split or is_second_role or not (its_role or its_split):
            folders.append(part)
        else:
            role, split = role or its_role, split or its_split
    return FoundFile(path, PurePosixPath(relative.as_posix()), role, split, tuple(folders))


def _check_splits(folder: Folder) -> None:
    """Take a split folder for a category if it is the only one among other folders."""
    images = folder.images()
    without = [file for file in images if not file.split]
    named = [file for file in images if file.split]
    unclear = {part for file in images for part in file.folders if split_in(part)}
    if named:
        unclear = _nested_splits(named)
    elif len({split_in(part) for part in unclear}) < 2:
        unclear = set()
    remedy = "name them train, val and test, above all folders but those of images and masks"
    folder.findings.problem("Folders that may name a split", sorted(unclear), remedy)
    if named and not without and {file.split for file in named} in ({"val"}, {"test"}):
        folder.findings.note(
            f"All images are in folders for {named[0].split}, so these are taken for categories, "
            "not for a split"
        )
        folder.files = [_without_split(file) for file in folder.files]
    if not named or not without:
        return
    if len({file.split for file in named}) == 1 and all(file.folders for file in without):
        folder.findings.note(
            f"The folder of {named[0].relative} is among others, so it is taken for a category, "
            "not for a split"
        )
        folder.files = [_without_split(file) for file in folder.files]
    else:
        outside = [str(file.relative) for file in without]
        folder.findings.problem(
            "Images outside of the folders of the splits", outside, "move them into one"
        )


def _nested_splits(images: Sequence[FoundFile]) -> set[str]:
    """Return the folders of another split inside that of an image, unless among categories."""
    found: set[str] = set()
    children: dict[tuple[str, ...], set[str]] = defaultdict(set)
    folders = {file.relative.parts[:-1]: file.split for file in images}
    for parts in folders:
        for depth, part in enumerate(parts):
            children[parts[:depth]].add(part)
    for parts, split in folders.items():
        for depth, part in enumerate(parts):
            are_categories = any(meaning_of(n) == (None, None) for n in children[parts[:depth]])
            if meaning_of(part)[1] not in (None, split) and not are_categories:
                found.add("/".join(parts))
    return found


def _without_split(file: FoundFile) -> FoundFile:
    parts = file.relative.parts[:-1]
    folders = tuple(part for part in parts if part in file.folders or not meaning_of(part)[0])
    return FoundFile(file.path, file.relative, file.role, None, folders)
