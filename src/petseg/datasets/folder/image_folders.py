"""Find the folder of the images, by its files' names, if only that of the masks is named so."""

from collections.abc import Sequence

from petseg.datasets.folder.files import Folder, FoundFile
from petseg.datasets.folder.layout import classify
from petseg.datasets.folder.mask_folders import group_by_folder, join_names
from petseg.datasets.folder.mask_names import ImageIndex
from petseg.datasets.folder.masks import MIN_SHARE
from petseg.datasets.folder.names import Role, names_other_pictures
from petseg.images.files import IMAGE_SUFFIXES


def mark_image_folder(folder: Folder) -> None:
    """Take the only folder whose files are named like the masks for that of the images.

    That is noted. The folder must have images of more than half of the masks. Nothing is done if so
    many have one already, or if a folder is named images.
    """
    images = folder.images()
    masks = [file for file in folder.with_suffix(*IMAGE_SUFFIXES) if file.role == "mask"]
    if any(file.role == "image" for file in images) or _have_images(masks, images):
        return
    has_splits = any(mask.split for mask in masks)
    categories = {name for mask in masks for name in mask.folders}
    fitting: dict[frozenset[FoundFile], dict[str, Role]] = {}
    for names, files in group_by_folder(images, has_splits=has_splits).items():
        if names_other_pictures(names) or not categories.isdisjoint(names):
            continue
        roles: dict[str, Role] = dict.fromkeys(names, "image")
        as_images = [classify(file.path, file.relative, roles) for file in files]
        if _have_images(masks, as_images, in_same_folder=True):
            fitting.setdefault(frozenset(files), roles)
    if len(fitting) != 1:
        return
    (roles,) = fitting.values()
    folder.findings.note(
        f"No folder is named images; taking {join_names(roles)}, whose files are named like the "
        "masks"
    )
    folder.files = [classify(file.path, file.relative, roles) for file in folder.files]


def _have_images(
    masks: Sequence[FoundFile], images: Sequence[FoundFile], *, in_same_folder: bool = False
) -> bool:
    """Whether more than half of the masks have an image, in a folder of the same name or in any."""
    index = ImageIndex(images)
    have_images = [
        any(not in_same_folder or image.key == mask.key for image in index.images_of(mask)[0])
        for mask in masks
    ]
    return sum(have_images) > MIN_SHARE * len(masks)
