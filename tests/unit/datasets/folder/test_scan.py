"""From labels to classes: the table, what contradicts it, sizes, rotation, ignored pixels."""

import os
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from petseg.datasets.folder.classes.class_table import canonical, table_of
from petseg.datasets.folder.classes.label_text import as_yaml, ordered
from support.folders import (
    GREEN,
    GREEN_KEY,
    HEIGHT,
    MASK,
    WIDTH,
    color_mask,
    draw_image,
    draw_pairs,
    masks_of,
    notes_of,
    palette_mask,
    problems_of,
    scan_of,
    write_image,
    write_mask,
    write_text,
    yolo_line,
)
from support.image_files import exif
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "masks of 0 and 255, classes [background, cat]": "Classes that no image has (1): cat; correct dataset.folder.classes, or set it to {background: 0, cat: 255}.",
    "masks of 1 and 2, classes [background, cat]": "Labels that are in no class (1): 2 (240 pixels in 10 files: masks/0.png); add them to dataset.folder.classes as 'class_2: 2' or 'ignore: 2', or set it to {background: 1, cat: 2}.",
    "masks of 0 and 7, classes [background, cat]": "Labels that are in no class (1): 7 (240 pixels in 10 files: masks/0.png); add them to dataset.folder.classes as 'class_7: 7' or 'ignore: 7', or set it to {background: 0, cat: 7}.",
    "masks in color, classes [background, cat]": "Labels that are in no class (1): '#307020' (240 pixels in 10 files: masks/0.png); add them to dataset.folder.classes as 'class_307020: \"#307020\"' or 'ignore: \"#307020\"'.",
    "masks of 0, 127 and 255": "The masks have no names for their labels; set dataset.folder.classes, for example to {background: 0, class_127: 127, class_255: 255}.",
    "masks in color with white": "The masks have no names for their labels; set dataset.folder.classes, for example to {background: 0, class_255: 255, class_307020: \"#307020\"}.",
    "colors with names, and white without one": "Labels that are in no class (1): 255 (…); add them to dataset.folder.classes as 'class_255: 255' or 'ignore: 255'.",
    "masks of 0 and 255, one mask of 0, 1 and 255": "Masks of 0 and 255 among masks of other labels (1, masks/0.png) (9): masks/1.png, …",
    "palettes whose index 0 isn't black": "The masks have no names for their labels; set dataset.folder.classes, for example to {class_0: 0, class_1: 1} (index 0 of their palettes is #307020, so it may not be the background).",
    "masks of 0 and 1, and masks that are wholly white": "Masks of 0 and 255 among masks of other labels (6, masks/0.png) (4): masks/6.png, …",
    "a number with two names": "Labels that several classes have (1): 1 (cat and dog); leave each in one class.",
    "an empty list of classes": "Lists of classes that can't be read (1): class_dict.csv (it names no classes); fix or remove them.",
    "palettes that give an index different colors": "Palettes in which an index has different colors (1): 1 is #307020 (masks/0.png) and #ff0000 (masks/5.png); set dataset.folder.classes to a table of colors; if the indices are right, to {background: 0, foreground: 1}.",
    "names without the background": "Labels that are in no class (1): 2 (…); add them to dataset.folder.classes as 'class_2: 2' or 'ignore: 2', or set it to {background: 0, cat: 1, dog: 2}.",
    "broken link that is no image": "Broken links, pipes and the like (1): notes.txt; fix or remove them.",
    "pipe": "Broken links, pipes and the like (1): images/pipe.png; fix or remove them.",
    "masks of 0, 3 and 5 without names": "The masks have no names for their labels; set dataset.folder.classes, for example to {background: 0, class_3: 3, class_5: 5}.",
    "blurred masks": "The masks have 86 different labels, so they are blurred or were resized; export them again, or, if they are black and white, set dataset.folder.classes to {background: \"0-127\", foreground: \"128-255\"}, or to a table of all labels.",
    "half of the masks in color, half of numbers": "Masks of numbers among masks in color (5, masks/1.png) (5): masks/0.png, masks/2.png, masks/4.png, ...; export all in one way, or set dataset.folder.classes to a table with both, such as {background: 0, cat: [1, \"#804080\"]}.",
    "blurred masks, and a list of two classes": "The masks have 86 different labels, so they are blurred or were resized; export them again, or, if they are black and white, set dataset.folder.classes to {background: \"0-127\", road: \"128-255\"}, or to a table of all labels.",
    "a list of images as classes.txt": "Lists of classes that can't be read (1): classes.txt (it lists images, such as '0.png 0', not classes); fix or remove them.",
    "masks that fit no image, with unlabeled: background": "No image has a mask or other annotation, so there are no classes; check the names of the masks.",
    "masks blurred at the edges": "The masks have 13 different labels, so they are blurred or were resized; …",
    "masks in color, blurred at the edges": "The masks have 13 different labels, so they are blurred or were resized; …",
    "masks of one class": "All masks show one class (1): background; check the masks, or correct dataset.folder.classes.",
    "classes that the export names otherwise": "Names in dataset.folder.classes that labelmap.txt lacks (1): animal; use its names, background, cat, or a table.",
    "half of the masks of 0 and 1, half of 0 and 255": "Masks of 0 and 255 among masks of other labels (5, masks/0.png) (5): masks/1.png, masks/3.png, masks/5.png, ...; set dataset.folder.classes to {background: 0, cat: [1, 255]} if both mean the same, or to {background: 0, cat: 1, ignore: 255} if 255 belongs to no class.",
    "palettes that differ": "Palettes in which a color has different indices (2): …; set dataset.folder.classes to a table of colors, for example {background: \"#000000\", class_307020: \"#307020\"}.",
    "palettes in which black is the object": "Palettes in which background, index 0, has a color and another index is black (10): …; set dataset.folder.classes to a table of colors or indices; if the indices are right, to {background: 0, cat: 1}.",
    "masks saved as JPEG": "Masks saved as JPEG or lossy WebP, which blurs labels (10): …; export them as PNG, or, if they are black and white, set dataset.folder.classes to {background: \"0-127\", foreground: \"128-255\"}.",
    "masks with ignored pixels only": "Classes that no image has (2): background, cat; correct dataset.folder.classes.",
    "masks that are all background": "Classes that no image has (1): cat; correct dataset.folder.classes.",
    "label that two classes have": "Labels that several classes have (1): 1 (cat and dog); leave each in one class.",
    "ranges that overlap": "Labels that several classes have (1): 1 to 5 (cat and dog); leave each in one class.",
    "range from high to low": "Ranges that end below their start (1): 9-1 (cat); exchange their ends.",
    "masks of another size": "Masks of another size than their image (1): masks/3.png (9x7, image 12x8); a mask needs its image's size.",
    "broken image": "Images that can't be read (1): images/3.png can't be read as an image (…); fix or remove them.",
    "broken mask": "Annotations that can't be read (1): masks/3.png can't be read as a mask (…); fix or remove them.",
    "GIF with several frames among the images": "Images that can't be read (1): images/3.png can't be read as an image (it has 3 frames, but must be a single image); fix or remove them.",
    "HEIC or another format that isn't read": "Images in formats that petseg doesn't read (1): images/IMG_1.HEIC; convert them to bmp, gif, jfif, jpe, jpeg, jpg, png, tif, tiff, webp.",
    "name with a newline": "Names with unprintable characters (1): 'two\\nlines.png'; rename them.",
    "broken symlink": "Images that can't be read (1): images/3.png can't be read as an image (No such file or directory); fix or remove them.",
    "several problems at once": "All are reported in one error, each with its number and the first three files.",
    "mask drawn before the photo's EXIF rotation": "Turned like the photo, and petseg says so.",
    "class that no image has": "Left out, and petseg says so.",
    "same image in two splits": "Kept, and petseg says so.",
}  # fmt: skip

TWO = ["background", "cat"]
NAMED = {"background": 0, "cat": 1}


def write_masks(root, content, numbers=range(10)):
    for number in numbers:
        write_mask(root / f"masks/{number}.png", content)


def swap_palettes(root):
    write_masks(root, palette_mask(), range(5))
    write_masks(root, palette_mask(1 - MASK, (GREEN, (0, 0, 0))), range(5, 10))


def as_jpeg(root):
    for number in range(10):
        (root / f"masks/{number}.png").unlink()
        write_mask(root / f"masks/{number}.jpg", MASK * 255)


def link_nowhere(root):
    (root / "images/3.png").unlink()
    (root / "images/3.png").symlink_to("nowhere.png")


def add_animation(root):
    frames = [draw_image(n) for n in range(3)]
    frames[0].save(root / "images/3.png", "GIF", save_all=True, append_images=frames[1:])


def rename_the_class(root):
    write_masks(root, color_mask())
    write_text(root / "labelmap.txt", "background:0,0,0::\ncat:48,112,32::\n")


def name_green(root):
    write_masks(root, WITH_WHITE)
    write_text(root / "labelmap.txt", "background:0,0,0::\ncat:48,112,32::\n")


def all_but_one_with_255(root):
    write_masks(root, MASK * 255)
    write_masks(root, np.where(np.eye(8, 12) > 0, 255, MASK).astype(np.uint8), [0])


def change_colors(root):
    write_masks(root, palette_mask(), range(5))
    write_masks(root, palette_mask(MASK, ((0, 0, 0), (255, 0, 0))), range(5, 10))


def name_cat_and_dog(root):
    write_masks(root, MASK + MASK * np.eye(8, 12, dtype=np.uint8))
    write_text(root / "classes.txt", "cat\ndog\n")


WITH_WHITE = color_mask()
WITH_WHITE[0, :5] = 255
THREE_GRAYS = np.where(np.eye(8, 12) > 0, 255, MASK * 127).astype(np.uint8)


def change_masks(content, numbers=range(10)):
    return lambda root: write_masks(root, content, numbers)


RAMP = np.linspace(0, 255, 96).astype(np.uint8).reshape(8, 12) // 3 * 3


def blur_with_list(root):
    write_masks(root, RAMP, range(10))
    write_text(root / "class_dict.csv", "name,r,g,b\nroad,255,255,255\nbackground,0,0,0\n")


BLURRED = np.repeat(np.array([[0], [0], [0], [0], [0], [255], [255], [0]], np.uint8), 12, axis=1)
BLURRED[7] = np.arange(12) * 20
REJECTED = {
    "masks of 0 and 255, classes [background, cat]": (TWO, change_masks(MASK * 255)),
    "masks of 1 and 2, classes [background, cat]": (TWO, change_masks(MASK + 1)),
    "masks of 0 and 7, classes [background, cat]": (TWO, change_masks(MASK * 7)),
    "masks in color, classes [background, cat]": (TWO, change_masks(color_mask())),
    "masks of 0, 127 and 255": ("auto", change_masks(THREE_GRAYS)),
    "masks in color with white": ("auto", change_masks(WITH_WHITE)),
    "colors with names, and white without one": ("auto", name_green),
    "masks of 0 and 255, one mask of 0, 1 and 255": ("auto", all_but_one_with_255),
    "palettes whose index 0 isn't black": ("auto", change_masks(palette_mask(MASK, (GREEN, (1, 2, 3))))),
    "masks of 0 and 1, and masks that are wholly white": ("auto", change_masks(MASK * 0 + 255, range(6, 10))),
    "a number with two names": ("auto", lambda root: write_text(root / "labels.txt", "0: background\n1: cat\n1: dog\n")),
    "an empty list of classes": ("auto", lambda root: write_text(root / "class_dict.csv", " \n")),
    "palettes that give an index different colors": ("auto", change_colors),
    "names without the background": ("auto", name_cat_and_dog),
    "broken link that is no image": (TWO, lambda root: (root / "notes.txt").symlink_to("nowhere")),
    "pipe": (TWO, lambda root: os.mkfifo(root / "images/pipe.png")),
    "masks of 0, 3 and 5 without names": ("auto", change_masks(np.where(np.eye(8, 12) > 0, 5, MASK * 3).astype(np.uint8))),
    "blurred masks": ("auto", change_masks(RAMP)),
    "half of the masks in color, half of numbers": ("auto", change_masks(color_mask(), range(1, 10, 2))),
    "blurred masks, and a list of two classes": ("auto", blur_with_list),
    "a list of images as classes.txt": ("auto", lambda root: write_text(root / "classes.txt", "0.png 0\n1.png 1\n2.png 0\n")),
    "masks blurred at the edges": ("auto", change_masks(BLURRED)),
    "masks in color, blurred at the edges": ("auto", change_masks(np.stack([BLURRED, BLURRED // 2, BLURRED // 3], -1))),
    "masks of one class": (["background"], change_masks(MASK * 0)),
    "classes that the export names otherwise": (["background", "animal"], rename_the_class),
    "half of the masks of 0 and 1, half of 0 and 255": (TWO, change_masks(MASK * 255, range(1, 10, 2))),
    "palettes that differ": (TWO, swap_palettes),
    "palettes in which black is the object": (TWO, change_masks(palette_mask(MASK, (GREEN, (0, 0, 0))))),
    "masks saved as JPEG": (TWO, as_jpeg),
    "masks with ignored pixels only": (TWO, change_masks(MASK * 0 + 255)),
    "masks that are all background": (TWO, change_masks(MASK * 0)),
    "label that two classes have": ({"background": 0, "cat": 1, "dog": [1, 2]}, lambda root: None),
    "ranges that overlap": ({"background": 0, "cat": "1-5", "dog": "1-9"}, lambda root: None),
    "range from high to low": ({"background": 0, "cat": ["9-1", 1]}, lambda root: None),
    "masks of another size": (TWO, change_masks(np.zeros((7, 9), np.uint8), [3])),
    "broken image": (TWO, lambda root: (root / "images/3.png").write_bytes(b"\x89PNG")),
    "broken mask": (TWO, lambda root: (root / "masks/3.png").write_bytes(b"")),
    "GIF with several frames among the images": (TWO, add_animation),
    "HEIC or another format that isn't read": (TWO, lambda root: (root / "images/IMG_1.HEIC").touch()),
    "name with a newline": (TWO, lambda root: draw_pairs(root, ["two\nlines"])),
    "broken symlink": (TWO, link_nowhere),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_what_would_train_wrong_labels_is_a_problem(tmp_path, case):
    classes, change = REJECTED[case]
    root = draw_pairs(tmp_path / "mine")
    change(root)
    problems = problems_of(scan_of(root, classes=classes).index)
    assert matches(CASES[case], problems, tmp_path), problems


def test_a_range_is_no_reason_to_call_masks_blurred(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=RAMP)
    problems = problems_of(scan_of(root, classes={"background": "0-90", "cat": "200-255"}).index)
    assert problems.startswith("Labels that are in no class")


def test_masks_that_fit_no_image_name_no_classes(tmp_path):
    root = draw_pairs(tmp_path / "mine", mask="masks/of {}.png")
    for number in range(10):
        (root / f"images/{number}.png").rename(root / f"images/a{number}b.png")
    problems = problems_of(scan_of(root, unlabeled="background").index)
    assert problems == CASES["masks that fit no image, with unlabeled: background"]
    assert "Labels that are in no class" not in problems_of(scan_of(root).index)


def test_images_without_a_mask_need_no_class_if_they_are_a_problem(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK * 3 + 1)
    write_image(root / "images/10.png")
    problems = problems_of(scan_of(root, classes={"cat": 1, "dog": 4}).index)
    assert problems.startswith("Images without a mask or other annotation (1): images/10.png")
    assert "\n" not in problems


def test_all_problems_are_reported_at_once(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for number in (1, 4, 7):
        write_mask(root / f"masks/{number}.png", np.zeros((8, 13), np.uint8))
    for number in (2, 5):
        (root / f"masks/{number}.png").unlink()
    (root / "images/8.png").write_bytes(b"")
    problems = problems_of(scan_of(root, classes=TWO).index).splitlines()
    expected = ["Images without a mask", "Images that can't be read", "Masks of another size"]
    assert len(problems) == 3
    assert all(map(str.startswith, problems, expected))
    assert "(3): masks/1.png (13x8, image 12x8)" in problems[2]
    assert CASES["several problems at once"]


READ = {
    "a list": (TWO, MASK, MASK),
    "a list of one name": (["cat"], MASK, MASK),
    "auto, 0 and 1": ("auto", MASK, MASK),
    "auto, 0 and 255": ("auto", MASK * 255, MASK),
    "auto, black and a color": ("auto", color_mask(), MASK),
    "0 and 255": ({"background": 0, "cat": 255}, MASK * 255, MASK),
    "gaps": ({"cat": 7, "background": 0}, MASK * 7, 1 - MASK),
    "16 bits": ({"background": 0, "cat": 300}, MASK.astype(np.uint16) * 300, MASK),
    "colors": ({"background": "#000000", "cat": GREEN_KEY}, color_mask(), MASK),
    "colors in upper case": ({"background": 0, "cat": GREEN_KEY.upper()}, color_mask(), MASK),
    "equal channels": (TWO, np.dstack([MASK] * 3), MASK),
    "colors of a palette": ({"background": "#000000", "cat": GREEN_KEY}, palette_mask(1 - MASK, (GREEN, (0, 0, 0))), MASK),
    "indices of a palette": (NAMED, palette_mask(MASK, (GREEN, (0, 0, 0))), MASK),
    "ranges": ({"background": "0-127", "cat": "128-255"}, MASK * 200, MASK),
    "merged": ({"background": [0, 2], "cat": [1, 3]}, MASK + 2, MASK),
    "ignored": ({"cat": 1, "dog": 0, "ignore": [2, "3-9"]}, np.where(np.eye(8, 12) > 0, 5, MASK), np.where(np.eye(8, 12) > 0, 255, 1 - MASK)),
    "names that YAML could misread": (["no", "1"], MASK, MASK),
    "an accent": (["fondo", "ratón"], MASK, MASK),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_labels_become_classes(tmp_path, case):
    classes, content, expected = READ[case]
    content = content if isinstance(content, Image.Image) else np.asarray(content)
    if isinstance(content, np.ndarray) and content.dtype == np.int64:
        content = content.astype(np.uint8)
    root = draw_pairs(tmp_path / "mine", content=content)
    for mask in masks_of(scan_of(root, classes=classes)).values():
        assert mask.dtype == np.uint8
        assert np.array_equal(mask, expected)


def test_jpeg_masks_are_read_by_ranges(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    as_jpeg(root)
    scan = scan_of(root, classes={"background": "0-127", "cat": "128-255"})
    for mask in masks_of(scan).values():
        assert np.array_equal(mask, MASK)


@pytest.mark.parametrize("classes", [["background", "cat"], "auto"])
def test_255_belongs_to_no_class_unless_the_table_says_so(tmp_path, classes):
    mask = MASK.copy()
    mask[0] = 255
    scan = scan_of(draw_pairs(tmp_path / "mine", content=mask), classes=classes)
    for found in masks_of(scan).values():
        assert np.array_equal(found, mask)
    assert "12.50% of the pixels belong to no class (10)" in notes_of(scan.index)


def test_an_image_without_a_pixel_in_a_class_is_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_masks(root, MASK * 0 + 255, [3])
    write_masks(root, np.where(MASK, 255, 1).astype(np.uint8), [4])
    scan = scan_of(root, classes=TWO)
    masks_of(scan)
    assert "Images without a single pixel in a class (1): 3.png" in notes_of(scan.index)


CLASS_FILES = {
    "without a background": ("classes.txt", "cat\ndog\n", ("cat", "dog")),
    "with numbers": ("labels.txt", "1: dog\n0: cat\n", ("dog", "cat")),
    "class_dict.csv": ("class_dict.csv", "name,r,g,b\ncat,0,0,0\ndog,1,1,1\n", ("cat", "dog")),
    "class_dict.csv without a header": ("class_dict.csv", "cat,0,0,0\ndog,1,1,1\n", ("cat", "dog")),
    "_classes.csv without a header": ("_classes.csv", "0,cat\n1,dog\n", ("cat", "dog")),
}  # fmt: skip


@pytest.mark.parametrize("case", CLASS_FILES)
def test_files_name_the_classes(tmp_path, case):
    name, text, names = CLASS_FILES[case]
    root = draw_pairs(tmp_path / "mine")
    write_text(root / name, text)
    scan = scan_of(root)
    assert scan.table.names == names
    label_of_dog = names.index("dog")
    for mask in masks_of(scan).values():
        assert np.array_equal(mask == label_of_dog, MASK == 1)
    assert ("names no background, so the label" in notes_of(scan.index)) == name.endswith(".txt")


@pytest.mark.parametrize(
    "text",
    [
        "dog 1\ncat 7\nbackground 0\n",
        "id,name\n0,background\n1,dog\n7,cat\n",
        "7 - cat\n1 - dog\n0 - background\n",
        "0) background\n1) dog\n7) cat\n",
        "background - 0\n'dog', 1\ncat: 7\n",
    ],
    ids=["behind", "header", "dash", "parenthesis", "signs behind"],
)
def test_numbers_in_any_form_are_labels(tmp_path, text):
    root = draw_pairs(tmp_path / "mine", content=MASK * 7)
    write_masks(root, MASK, [3])
    write_text(root / "classes.txt", text)
    scan = scan_of(root)
    assert not problems_of(scan.index)
    assert {name: scan.table.class_of(label) for name, label in (("dog", 1), ("cat", 7))} == {
        name: scan.table.names.index(name) for name in ("dog", "cat")
    }


def test_a_name_without_a_number_among_others_with_one_is_a_problem(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "classes.txt", "cat\n1: dog\n2: bird\n")
    expected = "Lists of classes that can't be read (1): classes.txt ('cat' has no number, but"
    assert expected in problems_of(scan_of(root).index)


@pytest.mark.parametrize("second", ["cat\ndog\n", "dog\ncat\n"])
def test_lists_of_classes_in_the_folders_of_exports_must_agree(tmp_path, second):
    root = tmp_path / "mine"
    for number, names in enumerate(("cat\ndog\n", second)):
        draw_pairs(root, ["1", "2"], f"{number}/images/{{}}.png", f"{number}/masks/{{}}.png")
        write_text(root / f"{number}/classes.txt", names)
    scan = scan_of(root)
    if second.startswith("cat"):
        assert scan.table.names == ("cat", "dog")
        assert scan.index.classes_from == "0/classes.txt"
    else:
        expected = "Lists of classes that differ from 0/classes.txt (1): 1/classes.txt; the same"
        assert expected in problems_of(scan.index)


@pytest.mark.parametrize(
    "text", ["background\nBoeing 737\n", "background\nBoeing 737\nAirbus 320\n"]
)
def test_names_that_end_with_a_number_keep_it(tmp_path, text):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "classes.txt", text)
    assert scan_of(root).table.names == ("background", "Boeing 737")


def test_masks_with_a_palette_of_even_grays_are_not_blurred(tmp_path):
    mask = MASK * 0
    mask[0, :10] = np.arange(10)
    content = palette_mask(
        mask, [(gray, gray, gray) for gray in np.linspace(0, 255, 10, dtype=int)]
    )
    problems = problems_of(scan_of(draw_pairs(tmp_path / "mine", content=content)).index)
    assert "blurred" not in problems
    assert "The masks have no names for their labels" in problems


def test_blurred_masks_may_have_a_palette(tmp_path):
    grays = [0, 255, *range(9, 250, 9)]
    mask = MASK.copy()
    mask[0] = np.arange(mask.shape[1]) + 2
    content = palette_mask(mask, [(gray, gray, gray) for gray in grays])
    problems = problems_of(scan_of(draw_pairs(tmp_path / "mine", content=content)).index)
    assert "so they are blurred or were resized; export them again, or, if they are" in problems
    assert "save them in gray, without a palette" in problems


def test_names_that_begin_with_a_number_keep_it(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "classes.txt", "0 people\n1 person\n2 people\n")
    assert scan_of(root).table.names == ("0 people", "1 person")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0: background\n7: cat\n8: cat\n", ("background", "cat")),
        ("0: background\n8: 3-wheeler\n7: (other)\n", ("background", "3-wheeler", "(other)")),
    ],
    ids=["a name twice", "odd names"],
)
def test_numbers_before_the_names_are_labels(tmp_path, text, names):
    content = np.where(np.eye(8, 12) > 0, 8, MASK * 7).astype(np.uint8)
    root = draw_pairs(tmp_path / "mine", content=content)
    write_text(root / "labels.txt", text)
    assert scan_of(root).table.names == names


def test_numbers_above_255_are_not_blurred(tmp_path):
    labels = np.arange(96, dtype=np.uint16).reshape(8, 12) * 4
    problems = problems_of(scan_of(draw_pairs(tmp_path / "mine", content=labels)).index)
    assert "The masks have no names for their labels" in problems
    assert "blurred" not in problems


def test_more_numbers_than_classes_may_be_objects(tmp_path):
    root = tmp_path / "mine"
    labels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    for number in range(10):
        write_mask(root / f"masks/{number}.png", labels)
        draw_image(number, (20, 15)).save(write_image(root / f"images/{number}.png"))
    problems = problems_of(scan_of(root).index)
    assert "300 different labels in the masks, but at most 255 classes" in problems
    scan = scan_of(root, classes={"background": 0, "object": "1-65535"})
    for mask in masks_of(scan).values():
        assert np.array_equal(mask, labels > 0)


def test_a_class_that_no_image_has_is_left_out(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK * 2)
    scan = scan_of(root, classes=["background", "dog", "cat", *(f"c{n}" for n in range(252))])
    assert scan.table.names == ("background", "cat")
    assert "Classes that no image has, left out (253): dog, c0, c1, ..." in notes_of(scan.index)
    for mask in masks_of(scan).values():
        assert np.array_equal(mask, MASK)
    assert CASES["class that no image has"]


def test_255_classes_fit(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
    root = tmp_path / "mine"
    for number in range(10):
        write_mask(root / f"masks/{number}.png", mask)
        draw_image(number, (16, 16)).save(write_image(root / f"images/{number}.png"))
    scan = scan_of(root, classes=[f"class{number}" for number in range(255)])
    assert len(scan.table.names) == 255
    for found in masks_of(scan).values():
        assert np.array_equal(found, mask)


def test_a_list_of_classes_may_rename_those_of_an_export_of_numbers(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "classes.txt", "fondo\ngato\n")
    scan = scan_of(root, classes=TWO)
    assert scan.table.names == ("background", "cat")
    note = "Names of dataset.folder.classes that replace those in classes.txt (2): "
    assert f"{note}background (label 0), cat (label 1)." in notes_of(scan.index)
    masks_of(scan)


def test_names_of_an_export_can_be_merged_and_ignored(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK + 1)
    write_text(root / "class_names.txt", "car\ntruck\nvan\n")
    scan = scan_of(root, classes={"background": "truck", "vehicle": ["van", "car"]})
    for mask in masks_of(scan).values():
        assert np.array_equal(mask, MASK)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_drawn_before_the_exif_rotation_is_turned_with_the_photo(tmp_path, orientation):
    root = draw_pairs(tmp_path / "mine", image="images/{}.jpg")
    turned = Image.fromarray(MASK)
    turned.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(turned))
    write_image(root / "images/3.jpg", 3, exif=exif(orientation))
    write_image(root / "images/4.jpg", 4, exif=exif(orientation))
    write_mask(root / "masks/4.png", shown)
    scan = scan_of(root, classes=TWO)
    masks = masks_of(scan)
    assert np.array_equal(masks["4.jpg"], shown)  # drawn on what a viewer shows
    notes = notes_of(scan.index)
    if orientation < 5:
        assert np.array_equal(masks["3.jpg"], MASK)  # nobody can know
        assert ("rotation that keeps their size (2): " in notes) == (orientation > 1)
    else:
        assert np.array_equal(masks["3.jpg"], shown)
        assert "before their EXIF rotation, turned with the photos (1): masks/3.png" in notes
        assert scan.items["3.jpg"].fits_turned
    assert CASES["mask drawn before the photo's EXIF rotation"]


def test_a_rotation_that_yolo_does_not_mention_is_said(tmp_path):
    for number in range(10):
        options = {"exif": exif(6)} if number == 3 else {}
        write_image(tmp_path / f"images/{number}.jpg", number, **options)
        write_text(tmp_path / f"labels/{number}.txt", yolo_line())
    note = "Photos with an EXIF rotation, of which YOLO's files say nothing (1): 3.jpg"
    assert note in notes_of(scan_of(tmp_path).index)


def test_a_fourth_channel_that_is_not_used_is_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    image = draw_image(3).convert("RGBA")
    image.save(root / "images/2.png")  # opaque
    image.putpixel((5, 5), (1, 2, 3, 4))
    image.save(root / "images/3.png")
    write_infrared(root / "images/4.tif")
    (root / "images/4.png").unlink()
    what = "Images with an extra channel (transparency, infrared), which petseg ignores (2): "
    assert f"{what}3.png, 4.tif." in notes_of(scan_of(root).index)


def write_infrared(path):
    """Write a TIFF of four bands, the fourth of no said meaning; Pillow writes only alpha."""
    values = np.dstack([np.asarray(draw_image(4)), np.eye(HEIGHT, WIDTH, dtype=np.uint8)])
    tags = [
        *((256, 4, 1, WIDTH), (257, 4, 1, HEIGHT), (258, 3, 4, 158), (259, 3, 1, 1)),
        *((262, 3, 1, 2), (273, 4, 1, 166), (277, 3, 1, 4), (278, 4, 1, HEIGHT)),
        *((279, 4, 1, values.size), (284, 3, 1, 1), (338, 3, 1, 0), (339, 3, 1, 1)),
    ]
    header = b"II*\0" + struct.pack("<IH", 8, len(tags))
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    bits = struct.pack("<I4H", 0, 8, 8, 8, 8)
    path.write_bytes(header + entries + bits + values.tobytes())


def test_gray_of_16_bits_that_is_scaled_unequally_is_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for number, brightest in ((0, 1000), (1, 1000), (2, 3000)):
        values = np.linspace(0, brightest, WIDTH * HEIGHT).astype(np.uint16)
        Image.fromarray(values.reshape(HEIGHT, WIDTH)).save(root / f"images/{number}.png")
    notes = notes_of(scan_of(root).index)
    assert (
        "each scaled to 8 bits by its own brightest pixel (3): 0.png, 1.png, 2.png; 2 from" in notes
    )
    assert "2 from 10 bits, 1 from 12 bits; if absolute brightness matters, convert all" in notes
    (root / "images/2.png").unlink()
    assert "16-bit" not in notes_of(scan_of(root).index)


@pytest.mark.parametrize("name", ["4.png", "4.bmp"])
def test_the_same_pixels_in_two_splits_are_said(tmp_path, name):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "test.txt", "3\n5\n")
    (root / "images/4.png").unlink()
    write_image(root / f"images/{name}", 3)
    index = scan_of(root, classes=TWO).index
    note = f"Images with the same pixels in two splits (1): {name} (train) = 3.png (test)"
    assert note in notes_of(index)
    assert CASES["same image in two splits"]


def test_pixels_are_counted_by_class(tmp_path):
    scan = scan_of(draw_pairs(tmp_path / "mine"), classes=TWO)
    counts = scan.pixels_of("3.png")
    assert counts.sum() == MASK.size
    assert counts[:2].tolist() == [(MASK == 0).sum(), MASK.sum()]
    assert scan.items["3.png"].facts.size == (12, 8)


def test_a_table_of_classes_is_written_as_yaml():
    table = {
        "background": (0,),
        "no": (1, 255),
        "ratón": ("#307020",),
        "a b": ("128-255",),
        "x: y": ("car",),
    }
    assert as_yaml(table) == (
        '{background: 0, "no": [1, 255], ratón: "#307020", a b: "128-255", "x: y": car}'
    )


def test_numbers_come_before_names_in_alphabetical_order():
    assert ordered(["dog", 10, "#0a0a0b", "bird", 2]) == [2, 10, "#0a0a0b", "bird", "dog"]


def test_labels_are_compared_whatever_their_form():
    assert [canonical(key) for key in ("#808080", "#30702A", "12", " cat ")] == [
        128,
        "#30702a",
        12,
        "cat",
    ]
    table = table_of({"a": ("1", "10-19"), "b": (1, 2), "ignore": ("9",)})
    assert [table.class_of(key) for key in (1, "2", 15, 9, 3)] == [0, 1, 0, 255, None]


@pytest.mark.parametrize("names", ["1: cat\n2: dog\n", None])
def test_the_table_that_is_suggested_moves_no_label_with_a_class(tmp_path, names):
    root = draw_pairs(tmp_path / "mine", content=MASK)
    classes = "auto" if names else {"cat": 1, "dog": 2}
    if names:
        write_text(root / "labels.txt", names)
    problems = problems_of(scan_of(root, classes=classes).index)
    assert "or set it to {background: 0, cat: 1, dog: 2}" in problems


def test_a_list_that_would_renumber_the_names_of_the_export_is_a_problem(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK)
    write_text(root / "classes.txt", "background\ndog\ncat\n")
    problems = problems_of(scan_of(root, classes=["background", "cat", "pup"]).index)
    assert "another label than in the list (1): cat: 1, but 2 in classes.txt; write" in problems


def test_background_of_another_name_gets_the_images_without_a_mask(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK)
    (root / "masks/3.png").unlink()
    settings = {"unlabeled": "background", "classes": {"bg": 0, "cat": 1}}
    assert "as 'bg: [0, background]'" in problems_of(scan_of(root, **settings).index)
    settings["classes"] = {"bg": [0, "background"], "cat": 1}
    assert not problems_of(scan_of(root, **settings).index)


def test_a_table_of_ranges_for_blurred_masks_may_have_single_labels(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.png", "masks/{}.jpg", MASK * 255)
    classes = {"background": [0, "1-127"], "cat": "128-255"}
    assert not problems_of(scan_of(root, classes=classes).index)


def test_a_list_that_counts_from_1_may_mean_labels_from_0(tmp_path):
    root = draw_pairs(tmp_path / "mine", content=MASK)
    write_text(root / "labels.txt", "1. background\n2. cat\n")
    problems = problems_of(scan_of(root).index)
    assert "or set it to {background: 0, cat: 1}" in problems


def test_a_list_may_add_the_background_to_the_names_of_the_export(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    name_cat_and_dog(root)
    scan = scan_of(root, classes=["background", "cat", "dog"])
    assert not problems_of(scan.index)
    assert scan.table.names == ("background", "cat", "dog")


@pytest.mark.parametrize("label", [0, "0-0"])
def test_the_advice_about_images_without_a_mask_works(tmp_path, label):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "classes.txt", "background\ncat\n")
    (root / "masks/3.png").unlink()
    settings = {"unlabeled": "background", "classes": {"bg": label, "cat": 1}}
    assert ", background]'" in problems_of(scan_of(root, **settings).index)
    settings["classes"]["bg"] = [label, "background"]
    masks = masks_of(scan_of(root, **settings))
    assert not masks["3.png"].any()
    assert np.array_equal(masks["4.png"], MASK)
