"""Find the folder of the images, by its files' names, if only that of the masks is named so."""

from petseg.datasets.folder.listing.files import Folder, FoundFile
from petseg.datasets.folder.listing.layout import classify
from petseg.datasets.folder.listing.names import Role, names_masks, names_other_files
from petseg.datasets.folder.masks.find_masks import MIN_SHARE
from petseg.datasets.folder.masks.image_index import ImageIndex
from petseg.datasets.folder.masks.mask_folders import REMEDY, group_by_folder, join_names
from petseg.images.files import IMAGE_SUFFIXES

_MIN_SHARE_OF_IMAGES = 0.9  # that the folder has; the rest may lie next to it, such as a logo


def mark_image_folder(folder: Folder) -> None:
    """Take the only folder whose files are named like the masks for that of the images.

    That is noted. The folder must have images of more than half of the masks, and most of the
    images: others may be a second category. Nothing is done if most masks have an image already, or
    if a folder is named images.
    """
    images = [file for file in folder.images() if not _is_other_file(file)]
    masks = [file for file in folder.with_suffix(*IMAGE_SUFFIXES) if file.role == "mask"]
    min_masks = MIN_SHARE * len(masks)
    if any(file.role == "image" for file in images):
        return
    if not masks or len(ImageIndex(images).match(masks)) > min_masks:
        return
    has_splits = any(mask.split for mask in masks)
    categories = {name for mask in masks for name in mask.folders}
    fitting: dict[frozenset[FoundFile], dict[str, Role]] = {}
    for names, files in group_by_folder(images, has_splits=has_splits).items():
        if len(files) < _MIN_SHARE_OF_IMAGES * len(images) or categories & names:
            continue
        roles: dict[str, Role] = dict.fromkeys(names, "image")
        as_images = [classify(file.path, file.relative, roles) for file in files]
        matches = ImageIndex(as_images).match(masks)
        near = [
            mask for mask in matches if any(i.place == mask.place for i in matches[mask].images)
        ]
        if len(near) > min_masks:
            fitting.setdefault(frozenset(files), roles)
    if len(fitting) != 1:
        return
    (roles,) = fitting.values()
    folder.findings.note(
        f"No folder is named images; taking {join_names(roles)}, whose files are named like the "
        "masks",
        remedy=REMEDY,
    )
    folder.files = [classify(file.path, file.relative, roles) for file in folder.files]


def _is_other_file(file: FoundFile) -> bool:
    return names_other_files(file.folders) or names_masks(file.folders)
