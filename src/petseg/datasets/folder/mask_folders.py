"""Find the folder of the masks if its name doesn't say so, by the names of its files."""

from collections import defaultdict

from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.layout import classify
from petseg.datasets.folder.masks import JPEG, name_matcher
from petseg.datasets.folder.names import meaning_of, words_of
from petseg.datasets.folder.other_tools import report_other_tools
from petseg.images.files import IMAGE_SUFFIXES

_OTHERS = {
    *("depth", "edge", "edges", "confidence", "pred", "preds", "prediction", "predictions"),
    *("instance", "instances", "segmentationobject", "overlay", "overlays"),
    *("thumb", "thumbs", "thumbnails", "preview", "previews", "visualization", "vis"),
}  # words for pictures that aren't masks of classes
_MIN_SHARE = 0.5  # of the images, or of a folder's files, that need a file of the same name


def mark_mask_folder(folder: Folder) -> bool:
    """Take the only folder whose files are named like the images for that of the masks.

    That is noted; several such folders are a problem. Return whether there is any. The images must
    be in a folder whose name says so, and the masks mustn't be JPEG. If there are other annotations
    that can't be read, no word of the folder's name may be unknown but one for masks.
    """
    images = [file for file in folder.images() if file.role == "image"]
    files_in = defaultdict[str, list[FoundFile]](list)
    for file in folder.with_suffix(*IMAGE_SUFFIXES):
        if file.role is None:
            for name in file.folders:
                files_in[name].append(file)
    has_others = any(file.role == "mask" for file in folder.files) or report_other_tools(folder)
    images_of = name_matcher(images)
    fitting: dict[str, list[FoundFile]] = {}
    for name, files in files_in.items():
        is_inside = any(set(files) <= set(outer) for outer in fitting.values())
        words = words_of(name)
        is_named = any(meaning_of(word)[0] == "mask" for word in words)
        if is_inside or _OTHERS.intersection(words) or any(f.suffix in JPEG for f in files):
            continue
        if has_others and not is_named:
            continue
        masks = [classify(file.path, file.relative, of_masks=name) for file in files]
        with_mask = {image for mask in masks for image in images_of(mask)}
        if len(with_mask) > _MIN_SHARE * len(images):
            fitting[name] = files
    if len(fitting) > 1:
        folder.findings.problem(
            "Folders whose files are named like the images",
            sorted(fitting),
            "rename the one with all classes to masks; if each has one class, merge them",
        )
    elif fitting:
        [(name, files)] = fitting.items()
        folder.findings.note(
            f"No folder is named masks; taking {name}, whose files are named like the images"
        )
        marked = {file.path: classify(file.path, file.relative, of_masks=name) for file in files}
        folder.files = [marked.get(file.path, file) for file in folder.files]
    return bool(fitting)


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
