"""What petseg data finds in a folder: labels, sizes, problems, suspicions, parameters."""

import shutil

import numpy as np
import pytest
from PIL import Image

from petseg.inspection.describe import describe
from petseg.inspection.inspect import inspect_folder
from support.folders import (
    GREEN,
    HEIGHT,
    MASK,
    RING,
    color_mask,
    draw_image,
    draw_pairs,
    folder_parameters,
    masks_of,
    palette_mask,
    scan_of,
    write_coco,
    write_image,
    write_labelme,
    write_mask,
    write_text,
    yolo_line,
)

NAMES = [f"{number}" for number in range(10)]


def inspect(root, **values):
    return inspect_folder(root, folder_parameters(path=str(root), **values))


def text_of(findings):
    return "\n".join(map(str, findings))


def several_labels(count=3):
    mask = MASK.copy()
    mask[0] = np.arange(mask.shape[1]) % count
    return mask


def draw_kind(kind, root):
    """Write a folder that can be trained on."""
    if kind == "0 and 255":
        draw_pairs(root, content=MASK * 255)
    elif kind == "colors":
        draw_pairs(root, content=color_mask())
    elif kind == "several labels":
        draw_pairs(root, content=several_labels())
    elif kind == "with ignored pixels":
        mask = several_labels()
        mask[mask == 2] = 255
        draw_pairs(root, content=mask)
    elif kind == "with names":
        write_text(draw_pairs(root) / "classes.txt", "background\ncat\n")
    elif kind == "coco":
        names = [write_image(root / "images" / f"{n}.png", int(n)).name for n in NAMES]
        write_coco(root / "coco.json", names)
    elif kind == "labelme":
        for n in NAMES:
            write_image(root / f"{n}.png", int(n))
            write_labelme(root / f"{n}.json")


KINDS = ("0 and 255", "colors", "several labels", "with ignored pixels", "with names", "coco")


@pytest.mark.parametrize("kind", [*KINDS, "labelme"])
def test_the_proposed_parameters_read_the_folder_as_shown(kind, tmp_path):
    draw_kind(kind, tmp_path)
    first = inspect(tmp_path)
    second = inspect_folder(tmp_path, first.params)
    for inspection in (first, second):
        assert not text_of(inspection.problems)
    assert second.params == first.params
    assert second.scan.table.names == first.scan.table.names
    assert second.labels == first.labels
    assert second.params.annotations != "auto"


def test_labels_are_counted_by_pixels_and_by_split(tmp_path):
    inspection = inspect(draw_pairs(tmp_path, content=MASK * 255))
    background, foreground = inspection.labels
    assert (background.class_name, background.label) == ("background", 0)
    assert (foreground.class_name, foreground.label) == ("foreground", 255)
    assert foreground.pixels == 10 * MASK.sum()
    assert foreground.share == MASK.mean()
    assert sum(foreground.images.values()) == 10


def test_labels_without_names_get_placeholders_and_a_note(tmp_path):
    inspection = inspect(draw_pairs(tmp_path, content=several_labels(4)))
    table = {"background": (0,), "class_1": (1,), "class_2": (2,), "class_3": (3,)}
    assert inspection.params.classes == table
    assert "placeholders; rename them" in text_of(inspection.notes)


def test_masks_that_disagree_about_255_stay_a_problem(tmp_path):
    draw_pairs(tmp_path, content=several_labels())
    write_mask(tmp_path / "masks" / "3.png", MASK * 255)
    problems = text_of(inspect(tmp_path).problems)
    assert "Masks of 0 and 255 among masks of other labels" in problems


def test_labels_that_are_in_no_class_are_shown_as_such(tmp_path):
    inspection = inspect(draw_pairs(tmp_path, content=several_labels()), classes=("no", "yes"))
    assert [use.class_name for use in inspection.labels] == ["no", "yes", ""]
    assert "(none)" in describe(inspection)


def test_images_without_a_mask_are_a_problem_and_not_counted_as_background(tmp_path):
    draw_pairs(tmp_path)
    (tmp_path / "masks" / "1.png").unlink()
    inspection = inspect(tmp_path)
    assert "Images without a mask" in text_of(inspection.problems)
    assert sum(use.pixels for use in inspection.labels) == 9 * MASK.size
    assert "background only" not in text_of(inspection.suspicions)


def test_sizes_and_turned_photos_are_counted(tmp_path):
    draw_pairs(tmp_path)
    photo = draw_image(3, (HEIGHT, HEIGHT * 2))
    exif = photo.getexif()
    exif[0x0112] = 6
    photo.save(tmp_path / "images" / "3.png", exif=exif)
    write_mask(tmp_path / "masks" / "3.png", np.zeros((HEIGHT, HEIGHT * 2), np.uint8))
    inspection = inspect(tmp_path)
    assert inspection.sizes == {(12, 8): 9, (16, 8): 1}
    assert inspection.num_turned == 1
    assert "12x8 (9), 16x8 (1)" in describe(inspection)


def stray_pixels(root):
    mask = MASK.copy()
    mask[0, 0] = 7
    write_mask(root / "masks" / "4.png", mask)


def an_empty_mask(root):
    write_mask(root / "masks" / "4.png", MASK * 0)


def an_ignored_object(root):
    write_mask(root / "masks" / "4.png", MASK * 2)


def copies(root):
    for name in NAMES[5:]:
        shutil.copy(root / "images" / "4.png", root / "images" / f"{name}.png")


def a_class_of_one_image(root):
    mask = MASK * 3
    write_mask(root / "masks" / "4.png", mask)


def jpeg_masks(root):
    for name in NAMES:
        (root / "masks" / f"{name}.png").unlink()
        Image.fromarray(MASK * 255).save(root / "masks" / f"{name}.jpg")


def an_inverted_mask(root):
    write_mask(root / "masks" / "4.png", 1 - MASK)


def numbered_objects(root):
    for number, name in enumerate(NAMES):
        write_mask(root / "masks" / f"{name}.png", MASK * np.uint8(100 + number))


def objects_counted_from_1(root):
    for number, name in enumerate(NAMES):
        labels = np.clip(np.arange(12) - 1, 0, number % 3 + 1).astype(np.uint8)
        write_mask(root / "masks" / f"{name}.png", MASK * labels)


TABLE = {"background": (0,), "cat": (1, "100-120"), "dog": (3, 7), "ignore": (2,)}
SUSPICIONS = {
    stray_pixels: "Labels that occur in a handful of pixels only (1): 7 (1 pixels in 1 file)",
    an_empty_mask: "Masks of background only (1): 4.png",
    an_ignored_object: "whose whole object is ignored (1): 4.png",
    copies: "Images with the same pixels within a split",
    a_class_of_one_image: "Classes without a pixel in the t",
    an_inverted_mask: "Masks with an object at all edges and background inside (1): 4.png",
    objects_counted_from_1: "Labels count from 1 in every mask; they may number objects",
    numbered_objects: "Most labels are in one file only (",
    jpeg_masks: "Images whose masks are JPEG or lossy WebP",
}


@pytest.mark.parametrize("change", SUSPICIONS, ids=lambda change: change.__name__)
def test_what_looks_like_a_mistake_is_listed(change, tmp_path):
    draw_pairs(tmp_path)
    clean = inspect(tmp_path, classes={"background": (0,), "cat": (1,)})
    assert SUSPICIONS[change] not in text_of(clean.suspicions)
    change(tmp_path)
    ranges = {"background": ("0-127",), "cat": ("128-255",)}
    inspection = inspect(tmp_path, classes=ranges if change is jpeg_masks else TABLE)
    assert not text_of(inspection.problems)
    assert SUSPICIONS[change] in text_of(inspection.suspicions)
    assert change is not jpeg_masks or "handful" not in text_of(inspection.suspicions)


def test_the_labels_of_a_range_are_one_row(tmp_path):
    draw_pairs(tmp_path, content=MASK * np.uint8(200) + np.eye(8, 12, dtype=np.uint8))
    inspection = inspect(tmp_path, classes={"background": ("0-127",), "cat": ("128-255",)})
    rows = [(use.class_name, use.label, use.pixels) for use in inspection.labels]
    assert rows == [("background", "0-127", 720), ("cat", "128-255", 240)]
    assert sum(inspection.labels[1].images.values()) == 10


def test_names_that_differ_in_case_only_are_listed(tmp_path):
    inspection = inspect(draw_pairs(tmp_path), classes={"Cat": (0,), "cat": (1,)})
    assert "differ in case only (1): Cat and cat" in text_of(inspection.suspicions)


@pytest.mark.parametrize("points", [RING, [*RING, *RING[:2]], [3, 1, 7, 3, 6, 5, 2, 3]])
def test_shapes_that_are_all_rectangles_are_said(tmp_path, points):
    for number, name in enumerate(NAMES):
        write_image(tmp_path / f"{name}.png", number)
        write_labelme(tmp_path / f"{name}.json", [{"label": "cat", "points": pairs_of(points)}])
    what = "All shapes are rectangles; if they are boxes around the objects, export polygons"
    assert what in text_of(inspect(tmp_path).suspicions)
    for other in ([2, 3, 8, 3, 9, 7, 3, 7], [2, 3, 8, 3, 7, 7, 3, 7], [2, 3, 8, 3, 8, 7]):
        write_labelme(tmp_path / f"{NAMES[0]}.json", [{"label": "cat", "points": pairs_of(other)}])
        assert what not in text_of(inspect(tmp_path).suspicions)


def test_labels_of_shapes_may_number_objects(tmp_path):
    for number, name in enumerate(NAMES):
        write_image(tmp_path / f"{name}.png", number)
        shape = {"label": f"cell {number % 3}", "points": pairs_of(RING)}
        write_labelme(tmp_path / f"{name}.json", [shape])
    what = "Classes whose names differ only in a number (3): cell 0, cell 1, cell 2; if they number"
    assert what in text_of(inspect(tmp_path).suspicions)


def pairs_of(values):
    return np.reshape(values, (-1, 2)).tolist()


def test_masks_without_their_background_may_be_off_by_one(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK + 1)
    write_text(root / "classes.txt", "background\ncat\ndog\n")
    what = "No mask has background, which classes.txt names; all labels may be off by one"
    assert what in text_of(inspect(root).suspicions)
    for name in NAMES:
        write_mask(root / "masks" / f"{name}.png", MASK)
    assert what not in text_of(inspect(root).suspicions)


def test_many_labels_are_cut_in_the_text(tmp_path):
    mask = np.arange(96, dtype=np.uint8).reshape(8, 12)
    inspection = inspect(draw_pairs(tmp_path, content=mask), classes=("background", "cat"))
    assert len(inspection.labels) == 96
    assert "and 86 more labels" in describe(inspection)


def test_yolo_classes_without_names_are_proposed_by_number(tmp_path):
    for number in (0, 2, 10):
        write_image(tmp_path / f"images/{number}.png", number)
        write_text(tmp_path / f"labels/{number}.txt", yolo_line(number))
    proposed = inspect(tmp_path).params.classes
    assert proposed == {
        "background": ("background",), "class_0": (0,), "class_2": (2,), "class_10": (10,)
    }  # fmt: skip
    masks = masks_of(scan_of(tmp_path, classes=proposed))
    assert {name: mask.max() for name, mask in masks.items()} == {
        "0.png": 1, "2.png": 2, "10.png": 3
    }  # fmt: skip


def test_palettes_that_differ_are_a_problem_for_any_number_of_objects(tmp_path):
    draw_pairs(tmp_path)
    labels = MASK * (1 + np.eye(8, 12, dtype=np.uint8))
    red, blue = (255, 0, 0), (0, 0, 255)
    for number, name in enumerate(NAMES):
        colors = [(0, 0, 0), red, blue] if number % 2 else [(0, 0, 0), GREEN, red]
        write_mask(tmp_path / "masks" / f"{name}.png", palette_mask(labels, colors))
    assert "Palettes in which" in text_of(inspect(tmp_path).problems)


def test_a_palette_whose_first_color_is_not_black_is_said(tmp_path):
    draw_pairs(tmp_path, content=palette_mask(MASK, (GREEN, (9, 8, 7))))
    inspection = inspect(tmp_path)
    assert inspection.params.classes == {"class_0": (0,), "class_1": (1,)}
    assert "index 0 of their palettes is #307020" in text_of(inspection.notes)


def test_labels_with_a_number_sign_are_proposed_as_a_table(tmp_path):
    for name in NAMES:
        write_image(tmp_path / f"{name}.png", int(name))
        square = {"label": "#1", "points": [[2, 3], [8, 3], [8, 7], [2, 7]]}
        write_labelme(tmp_path / f"{name}.json", [square])
    proposed = inspect(tmp_path).params.classes
    assert proposed == {"background": ("background",), "class_1": ("#1",)}
    masks = masks_of(scan_of(tmp_path, classes=proposed))
    assert all(np.array_equal(mask, MASK) for mask in masks.values())
