"""Find the folder of the masks if its name doesn't say so, by the names of its files."""

from collections import defaultdict
from dataclasses import replace

from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.masks import matched_by_name
from petseg.images.files import IMAGE_SUFFIXES

_SHARE = 0.5  # of the images, whose names a folder must have more of


def mark_mask_folder(folder: Folder) -> bool:
    """Take the folder whose files are named like the images for that of the masks, and say so.

    Several such folders are a problem, and so are folders of the same names if none says that it
    holds the images. Whether there is any of this.
    """
    images = [file for file in folder.images() if file.role == "image"]
    others = [file for file in folder.with_suffix(*IMAGE_SUFFIXES) if file.role is None]
    masks = defaultdict[str, list[FoundFile]](list)
    for file in others:
        for name in file.folders:
            folders = tuple(other for other in file.folders if other != name)
            masks[name].append(replace(file, role="mask", folders=folders))
    if not images:
        return _report_twins(folder, others)
    fitting: dict[str, list[FoundFile]] = {}
    for name, files in masks.items():
        has_mask = matched_by_name(images, files)
        is_inside = any({f.path for f in files} <= {f.path for f in o} for o in fitting.values())
        if len(has_mask) > _SHARE * len(images) and not is_inside:
            fitting[name] = files
    if len(fitting) > 1:
        folder.findings.problem(
            "Folders whose files are named like the images",
            sorted(fitting),
            "rename the one with the masks masks",
        )
    for name, files in fitting.items() if len(fitting) == 1 else ():
        folder.findings.note(
            f"The files in {name} are named like the images, so they are taken for their masks"
        )
        marked = {file.path: file for file in files}
        folder.files = [marked.get(file.path, file) for file in folder.files]
    return bool(fitting)


def _report_twins(folder: Folder, files: list[FoundFile]) -> bool:
    """Report two folders that have files of the same names; whether there are such."""
    names = defaultdict[str, set[object]](set)
    for file in files:
        for name in file.folders[:1]:
            names[name].add((file.split, file.folders[1:], file.path.stem))
    if len(names) != 2:
        return False
    one, other = names.values()
    if len(one & other) <= _SHARE * min(len(one), len(other)):
        return False
    folder.findings.problem(
        "Folders whose files have the same names",
        sorted(names),
        "if one has the masks of the other, rename them images and masks",
    )
    return True
