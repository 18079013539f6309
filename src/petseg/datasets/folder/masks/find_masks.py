"""Masks as image files: in a folder of their own or among the images, with or without a suffix."""

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace

from petseg.datasets.folder.classes.class_files import read_classes
from petseg.datasets.folder.found import Found, found_image
from petseg.datasets.folder.listing.files import Folder, FoundFile, Place
from petseg.datasets.folder.listing.names import names_other_files
from petseg.datasets.folder.masks.image_index import ImageIndex, Match, Rule
from petseg.datasets.folder.masks.mask_files import MaskFile
from petseg.datasets.folder.masks.mask_names import bases_of_mask, without_inner_word
from petseg.images.files import IMAGE_SUFFIXES

JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
MIN_SHARE = 0.5
"""Of the images, or of a folder's files: how many need a file of the same name."""

_MAX_GUESSES = 3  # rules


def find_masks(folder: Folder) -> Found:
    """Pair the images of a folder with their masks. What can't be paired is a finding."""
    masks = [file for file in folder.with_suffix(*IMAGE_SUFFIXES) if file.role == "mask"]
    images = folder.images()
    if not masks:
        masks = _masks_among_images(images)
        among_images = set(masks)
        images = [file for file in images if file not in among_images]
    pairs, rules = _pair(folder, images, masks)
    classes, source = read_classes(folder)
    found = [
        found_image(image, MaskFile(pairs[image].path) if image in pairs else None)
        for image in images
    ]
    return Found(found, classes, source, ", ".join(map(str, rules)))


def has_masks(folder: Folder) -> bool:
    """Whether some image file is a mask by its folder or by its name."""
    files = folder.with_suffix(*IMAGE_SUFFIXES)
    return any(file.role == "mask" for file in files) or bool(_masks_among_images(files))


def _masks_among_images(files: Sequence[FoundFile]) -> list[FoundFile]:
    """Return the files that are masks of others in the same folder, by a word in their names.

    Without such a word, cat.png and cat.jpg.png are masks of cat.jpg.
    """
    index = ImageIndex(files)
    masks = []
    for file in files:
        stem = file.path.stem
        same_name = [other for other in index.named(file, stem) if other != file]
        inner = without_inner_word(stem)
        if bases := bases_of_mask(stem):
            is_mask = any(index.named(file, base) for base in bases if base != inner)
            if not is_mask and inner in bases and file.suffix not in JPEG:
                # Of two PNG photos, the word may be part of the name.
                is_mask = any(other.suffix in JPEG for other in index.named(file, inner))
        else:
            is_mask = file.suffix not in JPEG and any(o.suffix in JPEG for o in same_name)
        if is_mask:
            masks.append(file)
    return masks


def _pair(
    folder: Folder, images: Sequence[FoundFile], masks: Sequence[FoundFile]
) -> tuple[dict[FoundFile, FoundFile], list[Rule]]:
    """Return the mask of each image that has one, and the rules by which masks were matched."""
    matches = ImageIndex(images).match(masks)
    shared = [
        f"{' and '.join(str(image.relative) for image in match.images)} ({mask.relative})"
        for mask, match in matches.items()
        if len(match.images) > 1
    ]
    folder.findings.problem("Images that share a mask", shared, "rename one of them, and its mask")
    masks_of = _choose_masks(folder, matches)
    paired = [mask for chosen in masks_of.values() for mask in chosen]
    orphans = [mask for mask in masks if mask not in matches]
    lonely = [image for image in images if image not in masks_of]
    _report_orphans(folder, _only_in_folder(images, lonely), masks, orphans, paired)
    pairs = [(image, mask) for image, chosen in masks_of.items() for mask in chosen]
    places = {"/".join(mask.folders) for image, mask in pairs if mask.folders != image.folders}
    if len(places) > 1:
        what = "Folders of masks, but not of their images, not used as classes"
        folder.findings.note(what, sorted(place or "." for place in places))
    rules = Counter(matches[mask].rule for mask in paired)
    guesses = [str(rule) for rule in rules if rule.is_guess]
    if len(guesses) > _MAX_GUESSES:
        folder.findings.problem(
            "Masks are named in too many ways to be matched with images", guesses, "rename them"
        )
    elif len(guesses) > 1:
        folder.findings.note("Words in the names of masks, not used as classes", guesses)
    guessed = [mask for mask in paired if matches[mask].rule.is_guess]
    if len(guessed) < MIN_SHARE * len(paired):
        folder.findings.note(
            "Masks matched by a part of their names, unlike most",
            [f"{m.relative} ({matches[m].images[0].relative})" for m in guessed],
            "remove them if they don't belong to these images",
        )
    return {image: chosen[0] for image, chosen in masks_of.items()}, list(rules)


def _choose_masks(
    folder: Folder, matches: dict[FoundFile, Match]
) -> dict[FoundFile, list[FoundFile]]:
    """Return the masks of each image. Several are a problem, unless only one isn't a guess."""
    masks_of: dict[FoundFile, list[FoundFile]] = defaultdict(list)
    for mask, match in matches.items():
        for image in match.images:
            masks_of[image].append(mask)
    several, worse = [], []
    for image, found in masks_of.items():
        named = [mask for mask in found if not matches[mask].rule.is_guess]
        if len(named) == 1:  # a_gtFine_labelIds.png next to a_gtFine_color.png
            worse += [str(mask.relative) for mask in found if mask not in named]
            masks_of[image] = named
        elif len(found) > 1:
            names = [mask.path.name for mask in found]
            if len(set(names)) < len(names):
                names = [str(mask.relative) for mask in found]
            several.append(f"{image.relative} ({', '.join(names)})")
    folder.findings.problem(
        "Images with several masks",
        several,
        "keep the one with all classes; if there is one per class or object, merge them into one",
    )
    folder.findings.note("Masks left out, since another one's name fits better", worse)
    return masks_of


def _only_in_folder(images: Sequence[FoundFile], some: Sequence[FoundFile]) -> set[Place]:
    """Return the folders that have one of some images, and no other image."""
    counts = Counter(image.place for image in images)
    return {image.place for image in some if counts[image.place] == 1}


def _report_orphans(
    folder: Folder,
    places: Collection[Place],
    masks: Sequence[FoundFile],
    orphans: Sequence[FoundFile],
    paired: Sequence[FoundFile],
) -> None:
    """Report the masks without an image: a problem if most masks' images are elsewhere.

    Several in one of the `places`, of a single image without a mask, are masks of its objects.
    """
    num_masks = Counter(mask.place for mask in orphans)
    of_objects = [m for m in orphans if m.place in places and num_masks[m.place] > 1]
    if len(of_objects) > MIN_SHARE * len(masks):
        folder.findings.problem(
            "Masks of single objects",
            [str(mask.relative) for mask in of_objects],
            "merge those of each image into one mask",
        )
        return
    lost = _masks_of_other_images(folder, orphans, paired)
    if len(lost) > MIN_SHARE * len(masks):
        folder.findings.problem(
            "Masks of images that aren't in a folder for images",
            [str(mask.relative) for mask in lost],
            "name all folders of images alike, such as images, or remove these masks",
        )
    else:
        names = [str(mask.relative) for mask in orphans]
        folder.findings.note("Masks without an image, left out", names)


def _masks_of_other_images(
    folder: Folder, orphans: Sequence[FoundFile], paired: Sequence[FoundFile]
) -> list[FoundFile]:
    """Return the masks whose images are in folders that aren't named like those of the others.

    A folder that has files for other masks, too, has copies, or files of another kind.
    """
    if not orphans:
        return []
    # Without the folder that its images are in, a file is in the same folder as its mask.
    index = ImageIndex(
        [
            replace(file, folders=file.folders[:-1])
            for file in folder.other_images()
            if not names_other_files(file.folders)
        ]
    )
    of_paired = index.match(paired).values()
    copies = {image.path.parent for match in of_paired for image in match.images}
    return [
        mask
        for mask, match in index.match(orphans).items()
        if any(image.path.parent not in copies for image in match.images)
    ]
