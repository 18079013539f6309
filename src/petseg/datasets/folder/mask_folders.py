"""Find the folder of the masks if its name doesn't say so, by the names of its files."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.layout import classify
from petseg.datasets.folder.masks import JPEG, name_matcher
from petseg.datasets.folder.names import meaning_of, words_of
from petseg.datasets.folder.other_tools import files_of_other_tools
from petseg.images.files import IMAGE_SUFFIXES

_NOT_MASK_WORDS = {
    *("depth", "depthmap", "depthmaps", "disparity", "normals", "confidence", "heatmaps"),
    *("edge", "edges", "boundary", "boundaries", "border", "borders", "contour", "contours"),
    *("pred", "preds", "prediction", "predictions", "overlay", "overlays", "vis"),
    *("instance", "instances", "object", "objects", "segmentationobject"),
    *("thumb", "thumbs", "thumbnails", "preview", "previews", "visualization"),
}
_MIN_SHARE = 0.5  # of the images, or of a folder's files, that need a file of the same name


def mark_mask_folder(folder: Folder) -> bool:
    """Take the folder whose files are named like the images for that of the masks, and note it.

    It must have masks of more than half of the images; a second folder with any is a problem.
    Return whether there is one. The images must be in a folder whose name says so, and masks
    mustn't be JPEG. If there are other annotations that petseg doesn't read, a word of the folder's
    name must stand for masks.
    """
    images = [file for file in folder.images() if file.role == "image"]
    in_folder = _candidates(folder, must_be_named=_has_other_annotations(folder))
    images_of = name_matcher(images)
    masks = {name: _as_masks(files, name, images) for name, files in in_folder.items()}
    matched = {name: {i for m in masks[name] for i in images_of(m)} for name in masks}
    fitting = [name for name in masks if len(matched[name]) > _MIN_SHARE * len(images)]
    for outer in list(fitting):
        if any(set(in_folder[name]) < set(in_folder[outer]) for name in fitting):
            fitting.remove(outer)
    if not fitting:
        return False
    found = fitting[0]
    apart = [name for name in masks if set(in_folder[name]).isdisjoint(in_folder[found])]
    others = [name for name in apart if matched[name]]
    if others:
        folder.findings.problem(
            "Folders whose files are named like the images",
            sorted([found, *others]),
            "rename the one with all classes to masks; if each has one class, merge them",
        )
        return True
    folder.findings.note(
        f"No folder is named masks; taking {found}, whose files are named like the images"
    )
    marked = {file.path: file for file in masks[found]}
    folder.files = [marked.get(file.path, file) for file in folder.files]
    return True


def _has_other_annotations(folder: Folder) -> bool:
    texts = folder.with_suffix(".json", ".xml")
    return any(file.role == "mask" for file in texts) or bool(files_of_other_tools(folder))


def _candidates(folder: Folder, *, must_be_named: bool) -> dict[str, list[FoundFile]]:
    """Return the files that may be masks by each folder that they are in, outer folders first."""
    found = defaultdict[str, list[FoundFile]](list)
    for file in folder.with_suffix(*IMAGE_SUFFIXES):
        words = {word for name in file.folders for word in words_of(name)}
        if file.role is not None or file.suffix in JPEG or words & _NOT_MASK_WORDS:
            continue
        for name in file.folders:
            is_named = any(meaning_of(word)[0] == "mask" for word in words_of(name))
            if is_named or not must_be_named:
                found[name].append(file)
    return found


def _as_masks(
    files: Sequence[FoundFile], folder_name: str, images: Sequence[FoundFile]
) -> list[FoundFile]:
    """Return files as masks; without a split if the images have none."""
    masks = [classify(file.path, file.relative, folder_name) for file in files]
    if any(image.split for image in images):
        return masks
    return [replace(mask, split=None, folders=_categories(mask, folder_name)) for mask in masks]


def _categories(file: FoundFile, folder_name: str) -> tuple[str, ...]:
    parts = file.relative.parts[:-1]
    return tuple(part for part in parts if part != folder_name and not meaning_of(part)[0])


def report_twins(folder: Folder) -> bool:
    """Report two folders with files of the same names, only one of them with JPEG files.

    Return whether there are any.
    """
    names = defaultdict[str, set[object]](set)
    with_jpeg = set[str]()
    for file in folder.with_suffix(*IMAGE_SUFFIXES):
        for name in file.folders[:1]:
            names[name].add((file.split, file.folders[1:], file.path.stem))
            if file.suffix in JPEG:
                with_jpeg.add(name)
    if len(names) != 2 or len(with_jpeg) != 1:
        return False
    one, other = names.values()
    if len(one & other) <= _MIN_SHARE * min(len(one), len(other)):
        return False
    folder.findings.problem(
        "Folders whose files have the same names",
        sorted(names),
        "if one has the masks of the other, rename them images and masks",
    )
    return True
