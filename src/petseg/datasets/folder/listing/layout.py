"""The layout of a user's folder: where it starts, and what the names of its folders mean.

images/train/pug/1.jpg   and   train/images/pug/1.jpg   are both image pug/1.jpg of split train
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.names import (
    SHORT_SPLITS,
    Role,
    Split,
    meaning_of,
    names_images_or_masks,
    split_in,
)
from petseg.images.files import IMAGE_SUFFIXES, evicted_suffix, walk_files

_ANNOTATION_SUFFIXES = (".json", ".xml", ".txt", ".csv", ".yaml", ".yml")
_COMPANIONS = {
    *(".md", ".rst", ".pdf", ".html", ".py", ".ipynb", ".sh", ".m"),
    *(".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz"),
}


def list_folder(root: Path) -> Folder:
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
    files = [classify(path, relative) for path, relative in zip(paths, relatives, strict=True)]
    if roles := _masks_next_to_images(files):
        changed = [classify(file.path, file.relative, roles) for file in files]
        if any(file.role == "mask" for file in changed):  # not so inside a folder for images
            files = changed
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


def _masks_next_to_images(files: Sequence[FoundFile]) -> dict[str, Role]:
    """Return the folders named like image_masks if others are named images, and none masks."""
    unsure = {part for f in files for part in f.relative.parts[:-1] if names_images_or_masks(part)}
    if not unsure:
        return {}
    images = [file for file in files if file.suffix in IMAGE_SUFFIXES]
    others = {file.role for file in images if unsure.isdisjoint(file.relative.parts[:-1])}
    return dict.fromkeys(unsure, "mask") if "image" in others and "mask" not in others else {}


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


def classify(path: Path, relative: PurePath, roles: Mapping[str, Role] | None = None) -> FoundFile:
    """Return a file with the meaning of its folders; `roles` has that of names without one."""
    role: Role | None = None
    split: Split | None = None
    folders: list[str] = []
    for part in relative.parts[:-1]:
        its_role, its_split = meaning_of(part)
        if roles and part in roles:
            its_role, its_split = roles[part], split_in(part)
            its_split = its_split if split is None else None
        is_second_split = its_split and (split not in (None, its_split) or folders)
        is_second_role = its_role and role not in (None, its_role)
        if is_second_split or is_second_role or not (its_role or its_split):
            folders.append(part)
        else:
            role, split = role or its_role, split or its_split
    return FoundFile(path, PurePosixPath(relative.as_posix()), role, split, tuple(folders))


def check_splits(folder: Folder) -> None:
    """Report folders of splits that contradict each other.

    They count as categories if only one split is named and other folders have images, too, or
    if there are none to train on.
    """
    images = folder.images()
    without = [file for file in images if not file.split]
    named = [file for file in images if file.split]
    folder.findings.problem(
        "Folders that may name a split",
        sorted(_unclear_splits(images, named)),
        "name them train, val and test, at the top or directly in the folders of images and masks",
    )
    if named and not without and {file.split for file in named} in ({"val"}, {"test"}):
        folder.findings.note(
            f"All images are in folders for {named[0].split}, so these count as categories, "
            "not as a split"
        )
        folder.files = [_without_split(file) for file in folder.files]
    if not named or not without:
        return
    if len({file.split for file in named}) == 1 and all(file.folders for file in without):
        folder.findings.note(
            f"The folder of {named[0].relative} is among others, so it counts as a category, "
            "not as a split"
        )
        folder.files = [_without_split(file) for file in folder.files]
    else:
        outside = [str(file.relative) for file in without]
        folder.findings.problem(
            "Images outside of the folders of the splits", outside, "move them into one"
        )


def _unclear_splits(images: Sequence[FoundFile], named: Sequence[FoundFile]) -> set[str]:
    """Return the folders that may name a split, but don't count as one."""
    if named:
        return _nested_splits(named)
    split_of_folder = {
        "/".join(file.relative.parts[: file.relative.parts.index(part) + 1]): split
        for file in images
        for part in file.folders
        if (split := split_in(part))
    }
    if len(set(split_of_folder.values())) > 1:
        return set(split_of_folder)
    first = {file.folders[0].lower() if file.folders else "" for file in images}
    is_split = len(first) > 1 and first <= SHORT_SPLITS and first & {"tr", "trn"}
    return first if is_split else set()


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
    of_split = {part for part in parts if meaning_of(part)[0] is None and meaning_of(part)[1]}
    folders = tuple(part for part in parts if part in file.folders or part in of_split)
    return FoundFile(file.path, file.relative, file.role, None, folders)
