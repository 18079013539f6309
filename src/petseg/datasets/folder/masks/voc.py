"""Pascal VOC's layout, which CVAT's segmentation masks have too, and LabelMe's labelme2voc.

JPEGImages/, SegmentationClass/ and lists in ImageSets/Segmentation. Masks hold the colors of
labelmap.txt, as RGB or as a palette; without one, but with VOC's colors, they hold the numbers of
VOC's 20 classes. The color of VOC's borders belongs to no class.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from petseg.datasets.folder.classes.labels import IGNORE_NAME, MAX_DISTINCT_LABELS, color_label
from petseg.datasets.folder.found import Found
from petseg.datasets.folder.listing.files import Folder
from petseg.datasets.folder.masks.find_masks import find_masks
from petseg.images.reading import open_image, read_bytes

VOC_CLASSES = (
    *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair"),
    *("cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)
PASCAL_VOC = "Pascal VOC"  # where the names are from if no file has them
_VOID = (224, 224, 192)
_MAX_SAMPLES = 10  # masks whose colors are looked at


def is_voc(folder: Folder) -> bool:
    return any("SegmentationClass" in file.relative.parts[:-1] for file in folder.files)


def find_voc(folder: Folder) -> Found:
    """Return the images with their masks."""
    found = find_masks(folder)
    masks = [image.annotation.path for image in found.images if image.annotation]
    if not found.classes and not _have_voc_colors(masks[:_MAX_SAMPLES]):
        return found
    if found.classes:
        colors = any(
            isinstance(label, str) for labels in found.classes.values() for label in labels
        )
        classes, source = dict(found.classes), found.classes_from
        void = color_label(*_VOID) if colors else 255
    else:
        classes = {name: (v, color_label(*color_of(v))) for v, name in enumerate(VOC_CLASSES)}
        source, void = PASCAL_VOC, color_label(*_VOID)
    if not any(void in labels for labels in classes.values()):
        classes[IGNORE_NAME] = (*classes.get(IGNORE_NAME, ()), void)
    return Found(found.images, classes, source, found.rule)


def _have_voc_colors(masks: Sequence[Path]) -> bool:
    """Whether all masks have VOC's colors or its palette, and some not only black and gray."""
    some = False
    ours = {color_of(value) for value in range(len(VOC_CLASSES))}
    for path in masks:
        with suppress(Exception), open_image(read_bytes(path)) as mask:
            palette = mask.getpalette("RGB")
            if palette and palette[3:6] != [*color_of(1)]:
                return False
            if palette or len(mask.getbands()) == 1:
                some |= bool(palette)
                continue
            used: Any = mask.convert("RGB").getcolors(MAX_DISTINCT_LABELS) or []
            colors = {color for _, color in used if len(set(color)) > 1} - {_VOID}
            if colors - ours:
                return False
            some |= bool(colors)
    return some


def color_of(value: int) -> tuple[int, int, int]:
    """Return VOC's color of a class: the bits of its number, spread over the three channels."""
    red, green, blue = (
        sum((value >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3)
    )
    return red, green, blue
