"""COCO, LabelMe, YOLO, CVAT, VOC and Oxford exports give the masks that were drawn."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from petseg.datasets.folder.masks.voc import VOC_CLASSES, color_of
from petseg.datasets.folder.shapes.coco import decompress
from support.folders import (
    GREEN,
    HEIGHT,
    MASK,
    RING,
    VIA_POLYGON,
    WIDTH,
    color_mask,
    draw_image,
    draw_pairs,
    index_of,
    masks_of,
    names_by_split,
    notes_of,
    palette_mask,
    problems_of,
    scan_of,
    write_coco,
    write_image,
    write_labelme,
    write_mask,
    write_text,
    write_via,
    yolo_line,
)
from support.image_files import encode
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "COCO: no JSON": "JSON files that can't be read (1): coco.json can't be read (Invalid JSON…); export them again.",
    "COCO: an image without a size": "JSON files that can't be read (1): coco.json can't be read (images.0.width: Input should be a valid integer, and 9 more); export them again.",
    "COCO: an unknown category": "Objects whose category the JSON doesn't list (10): annotations[0] of coco.json (9), …; fix them.",
    "COCO: boxes only": "Objects without a segmentation (10): annotations[0] of coco.json, annotations[1] of coco.json, annotations[2] of coco.json, ...; export polygons or masks, not boxes.",
    "COCO: another size than the image": "Annotations that can't be read (10): 0.png: coco.json says that an image is 99x8, but it is 12x8; export it again, …",
    "COCO: damaged run lengths": "Annotations that can't be read (10): 0.png: coco.json has an invalid object (a compressed run-length code is damaged), …; fix or remove them.",
    "COCO: run lengths of another size": "Annotations that can't be read (10): 0.png: coco.json has an invalid object (a run-length code of 100000x10000 pixels), …; fix or remove them.",
    "COCO: run lengths of a smaller image": "Annotations that can't be read (10): 0.png: coco.json has an invalid object (a run-length code of 6x4 pixels), …; fix or remove them.",
    "COCO: crowds": "Crowds (iscrowd 1), which are ignored (1): annotations[10] of coco.json; CVAT marks painted masks this way; if these are objects, set iscrowd to 0.",
    "COCO: a shape far beyond the image": "Annotations with shapes that extend more than 5 % beyond the image, cut off at its edge (1): 0.png.",
    "COCO: a shape between the pixels": "Annotations with shapes that cover no pixel's center (1): 0.png.",
    "COCO: a file without a split among others": "Images in no split, although the export has splits (5): 5.png, 6.png, 7.png, ...; name their file or subset after train, val or test.",
    "YOLO: a confidence": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (an odd number of coordinates; if the last is a confidence, remove it); fix or remove them.",
    "YOLO: a class without coordinates": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (it has no coordinates); fix or remove them.",
    "YOLO: a split inside of another": "Images in two splits of data.yaml (1): images/a/1.png; leave each in one.",
    "YOLO: two lists of names that differ": "Lists of classes that differ from data.yaml (1): other.yaml; make them the same, or remove one.",
    "COCO: categories of the same name": "Categories of the same name, merged into one class (1): cat (coco.json).",
    "LabelMe: an image under another name": "JSON files with the name of one image and the imagePath of another (1): 3.json.",
    "YOLO: a split without an image": "Splits of data.yaml without an image in the folder (1): train: ../train/images.",
    "VOC: colors without names": "No file names the classes, but the masks have Pascal VOC's colors, so its names are taken; if they are others (LabelMe has the same colors), set dataset.folder.classes.",
    "masks in a folder per class": "Folders of masks, but not of their images, not used as classes (2): cat, dog.",
    "masks with a word per class": "Words in the names of masks, not used as classes (2): image + '_cat', image + '_dog'.",
    "COCO: an image twice": "Images that are in the JSON twice (1): '0.png' (coco.json); remove one of them.",
    "COCO: an image that the folder lacks": "Left out, and petseg says so; a path outside of the folder is such an image.",
    "LabelMe: no JSON": "Annotations that can't be read (1): 3.json can't be read (Invalid JSON…); fix or remove them.",
    "LabelMe: a mask that isn't an image": "Annotations that can't be read (1): 3.json has an invalid shape (…); fix or remove them.",
    "LabelMe: an unknown shape": "Annotations that can't be read (1): 3.json has an invalid shape (a cube of 1 points); fix or remove them.",
    "YOLO: boxes": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (it is a box, not a polygon; export a segmentation); fix or remove them.",
    "LabelMe: a shape beyond the image, whose size the JSON lacks": "Annotations that can't be read (1): 3.json has an invalid shape (it reaches 30, 3 in an image of 12x8; use the image that was annotated); fix or remove them.",
    "LabelMe: a shape without a label": "Annotations that can't be read (1): 3.json has an invalid shape (a shape without a label); fix or remove them.",
    "YOLO: a class of 0.5": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (the class 0.5 is not a whole number); fix or remove them.",
    "YOLO: a word": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (could not convert string to float: 'x'); fix or remove them.",
    "YOLO: pixels instead of fractions": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (a coordinate is not within 0 to 1); fix or remove them.",
    "YOLO: a class without a name": "Annotations that can't be read (1): labels/3.txt, line 1 can't be read (the class 7 has no name in data.yaml); fix or remove them.",
    "YOLO: a data.yaml without a list": "Files of class names that can't be read (1): data.yaml must have a list of names, such as names: [cat, dog]; fix them.",
    "more than 255 classes": "300 classes; merge some in dataset.folder.classes, so that at most 255 are left.",
    "class names that can't be used": "Names of classes that can't be used (2): 'a\\nb', 'ignored'; give them other names in dataset.folder.classes.",
    "labelmap.txt with an invalid line": "Lists of classes that can't be read (1): labelmap.txt ('cat:1,2::' is not label:red,green,blue:parts:actions); fix or remove them.",
    "CVAT: no XML": "XML files that can't be read (1): annotations.xml is not valid XML (…); export them again.",
    "CVAT: XML that defines entities": "XML files that can't be read (1): annotations.xml has a document type, which CVAT doesn't write; export them again.",
    "CVAT: an export for video": "XML files that can't be read (1): annotations.xml is for video; choose CVAT for images; export them again.",
    "CVAT: an image without a size": "Annotations that can't be read (10): 0.png: annotations.xml gives no width and height; export it again, …; fix or remove them.",
    "CVAT: a polygon of words": "Annotations that can't be read (10): 0.png: annotations.xml has an invalid shape (could not convert string to float: 'a'), …; fix or remove them.",
    "COCO: objects of an image that isn't listed": "Objects of images that the JSON doesn't list, left out (1): image_id 99 (coco.json).",
    "LabelMe: lines and points": "Lines and points in annotations, left out (1): 3.json.",
    "YOLO: a text file without an image": "Text files without an image, left out (1): labels/77.txt.",
    "CVAT: polylines, points, cuboids and skeletons": "Shapes without an area, left out (10): a skeleton of '0.png' (annotations.xml), …",
    "annotations of two kinds": "The folder has annotations of several kinds, labelme and masks; set dataset.folder.annotations to one of them.",
    "a format that the folder lacks": "No annotations of the kind coco, of dataset.folder.annotations, for the images in these folders (1): images/ (10); docs/own-data.md shows where each format has them; …",
    "VIA: no JSON": "JSON files that can't be read (1): via.json can't be read (Invalid JSON…); export them again.",
    "VIA: a region of an unknown form": "Annotations that can't be read (1): 3.png: via.json has a region without 'y'; fix or remove them.",
    "VIA: a region without its attribute": "Regions without exactly one value of class (1): none in '3.png' (via.json); give them one, or remove them.",
    "VIA: an attribute with a value per region": "The attribute id isn't the class: 10 values in 10 regions; keep the one with the class, or call it class.",
    "VIA: a region left of the image": "Annotations that can't be read (1): 3.png: via.json has an invalid region (it reaches -3, 3 in an image of 12x8; use the image that was annotated); fix or remove them.",
    "VIA: a name and a species": "The regions have several attributes (2): name, species; keep the one with the class, or call it class.",
    "VIA: null as the class": "Regions without exactly one value of class (1): none in '3.png' (via.json); give them one, or remove them.",
    "VIA: several attributes": "The regions have several attributes (2): color, age; keep the one with the class, or call it class.",
    "VIA: another size than the image": "Annotations that can't be read (1): 3.png: via.json has an invalid region (it reaches 32, 3 in an image of 12x8; use the image that was annotated); fix or remove them.",
    "VIA: a changed image": "Images that were changed after they were annotated (the number of bytes differs) (1): '0.png' (via.json); if they were resized, the regions don't fit.",
    "Oxford list with a duplicate": "Lines that list an image again (1): 'beagle_2' (annotations/trainval.txt, line 3); remove them.",
    "Oxford lists that share an image": "Lines that list an image again (1): 'beagle_2' (annotations/test.txt, line 2); remove them.",
    "Oxford list with an unknown name": "Lines that name no image (1): 'pug_1' (annotations/trainval.txt, line 3); fix or remove them.",
    "Oxford list with a path outside the folder": "Lines that name no image (1): '../../../etc/passwd' (annotations/trainval.txt, line 3); fix or remove them.",
    "Oxford list with a short line": "Lines that are not NAME CLASS-ID SPECIES BREED-ID with species 1 or 2 (1): 'beagle_2 5' (annotations/trainval.txt, line 3); fix or remove them.",
}  # fmt: skip

NAMES = [f"{number}.png" for number in range(10)]
COMPRESSED = "c044000000000m0"  # MASK as pycocotools 2.0.11 encodes it


def draw_images(root, place=""):
    for number, name in enumerate(NAMES):
        write_image(root / place / name, number)
    return root


def run_lengths(mask):
    flat = mask.T.ravel()
    return np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), len(flat)]).tolist()


def assert_every_mask_is(scan, expected=MASK, count=10):
    masks = masks_of(scan)
    assert len(masks) == count
    for mask in masks.values():
        assert np.array_equal(mask, expected)


@pytest.mark.parametrize(
    "segmentation",
    [
        [RING],
        {"counts": run_lengths(MASK), "size": [HEIGHT, WIDTH]},
        {"counts": COMPRESSED, "size": [HEIGHT, WIDTH]},
    ],
    ids=["polygons", "run lengths", "compressed run lengths"],
)
@pytest.mark.parametrize(
    ("place", "json_file"),
    [
        ("images", "annotations/instances_default.json"),
        ("", "_annotations.coco.json"),
        ("images", "result.json"),
    ],
    ids=["CVAT", "Roboflow", "Label Studio"],
)
def test_coco(tmp_path, place, json_file, segmentation):
    root = draw_images(tmp_path / "mine", place)
    write_coco(root / json_file, [f"images/{name}" for name in NAMES], segmentation)
    scan = scan_of(root)
    assert scan.table.names == ("background", "cat")
    assert_every_mask_is(scan)


def test_compressed_run_lengths_are_those_of_pycocotools():
    assert decompress(COMPRESSED).tolist() == run_lengths(MASK)
    odd = [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 3, 2, 1, 2, 1, 1, 1, 4, 4, 7, 3, 1, 1]
    assert decompress("0110000001011N00O0333OJN").tolist() == odd  # with negative differences


def test_coco_draws_small_objects_over_large_ones_and_crowds_below(tmp_path):
    root = draw_images(tmp_path / "mine")

    def item(category, left, top, right, bottom, crowd=0):
        ring = [left, top, right, top, right, bottom, left, bottom]
        return {
            "id": 1,
            "image_id": 0,
            "category_id": category,
            "segmentation": [ring],
            "iscrowd": crowd,
        }

    document = write_coco(root / "coco.json", NAMES)
    categories = [{"id": 5, "name": "cat"}, {"id": 2, "name": "dog"}, {"id": 8, "name": "unused"}]
    annotations = [
        item(2, 0, 0, 2, 2),
        item(5, 0, 0, 6, 4),
        item(5, 0, 0, 12, 1, crowd=1),
        *({**a, "category_id": 5} for a in document["annotations"][1:]),
    ]
    write_coco(root / "coco.json", NAMES, annotations=annotations, categories=categories)
    scan = scan_of(root)
    mask = masks_of(scan)["0.png"]
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[0] = 255
    expected[:4, :6], expected[:2, :2] = 1, 2
    assert np.array_equal(mask, expected)
    assert scan.table.names == ("background", "cat", "dog")
    assert "Classes that no image has, left out (1): unused" in notes_of(scan.index)


@pytest.mark.parametrize("layout", ["annotations", "folders"])
def test_coco_with_a_file_per_split(tmp_path, layout):
    root = tmp_path / "mine"
    for split, numbers in (("train", range(6)), ("val", range(6, 10))):
        folder = split if layout == "annotations" else {"val": "valid"}.get(split, split)
        names = [f"{number}.png" for number in numbers]
        for number in numbers:
            write_image(root / folder / f"{number}.png", number)
        place = f"annotations/instances_{split}2017.json"
        write_coco(
            root / (place if layout == "annotations" else f"{folder}/_annotations.coco.json"), names
        )
        if layout == "annotations":
            write_coco(root / f"annotations/person_keypoints_{split}2017.json", [])
    index = index_of(root)
    splits = names_by_split(index)
    assert len(splits["val"]) == 4
    assert len(splits["train"]) + len(splits["test"]) == 6


def test_one_coco_file_leaves_the_split_to_the_lists(tmp_path):
    root = draw_images(tmp_path / "mine")
    write_coco(root / "train.json", NAMES)
    write_text(root / "test.txt", "3\n")
    assert names_by_split(index_of(root))["test"] == ["3.png"]


def test_images_in_the_json_that_the_folder_lacks_are_left_out(tmp_path):
    root = draw_images(tmp_path / "mine")
    write_coco(root / "coco.json", [*NAMES, "../../etc/passwd", "lost.png"])
    index = index_of(root)
    assert not problems_of(index)
    assert "left out (2): '../../etc/passwd' (coco.json), 'lost.png' (coco.json)" in notes_of(index)
    assert CASES["COCO: an image that the folder lacks"]


@pytest.mark.parametrize("place", ["", "images"])
def test_labelme(tmp_path, place):
    root = draw_images(tmp_path / "mine", place)
    for name in NAMES:
        write_labelme(root / name.replace("png", "json"))
    scan = scan_of(root)
    assert scan.table.names == ("background", "cat")
    assert "The classes are the labels that occur" in notes_of(scan.index)
    assert_every_mask_is(scan)


def test_labelme_shapes_of_all_kinds_in_the_order_of_the_file(tmp_path):
    root = draw_images(tmp_path / "mine")
    bitmap = base64.b64encode(encode(np.eye(3, dtype=bool))).decode()
    shapes = [
        {"label": "__ignore__", "points": [[0, 0], [12, 1]], "shape_type": "rectangle"},
        {"label": "cat", "points": [[0, 0], [6, 0], [6, 4], [0, 4]]},
        {"label": "_background_", "points": [[1, 1], [3, 3]], "shape_type": "rectangle"},
        {"label": "dog", "points": [[8, 4], [11, 7]], "shape_type": "mask", "mask": bitmap},
        {"label": "cat", "points": [[6, 6], [6, 7]], "shape_type": "circle"},
        {"label": "line", "points": [[0, 0], [9, 7]], "shape_type": "linestrip"},
    ]
    for name in NAMES:
        write_labelme(root / name.replace("png", "json"), shapes)
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[0] = 255
    expected[:4, :6] = 1
    expected[1:3, 1:3] = 0
    expected[[4, 5, 6], [8, 9, 10]] = 2
    expected[5:7, 5:7] = 1
    scan = scan_of(root)
    assert scan.table.names == ("background", "cat", "dog")
    assert_every_mask_is(scan, expected)


def draw_yolo(root, names="names: [cat, dog]\n"):
    draw_images(root, "images")
    for name in NAMES:
        write_text(root / "labels" / name.replace("png", "txt"), yolo_line())
    if names:
        write_text(root / "data.yaml", f"train: ../train/images\nnc: 2\n{names}")
    return root


@pytest.mark.parametrize("names", ["names: [cat, dog]\n", "names: {0: cat, 1: dog}\n"])
def test_yolo(tmp_path, names):
    scan = scan_of(draw_yolo(tmp_path / "mine", names))
    assert scan.table.names == ("background", "cat")
    assert scan.index.classes_from == "data.yaml"
    assert_every_mask_is(scan)


@pytest.mark.parametrize(
    "classes", [["background", "cat"], ["cat"], {"background": "background", "cat": 0}]
)
def test_yolo_without_names_has_numbers(tmp_path, classes):
    scan = scan_of(draw_yolo(tmp_path / "mine", ""), classes=classes)
    assert scan.table.names == ("background", "cat")
    assert_every_mask_is(scan)


def test_yolo_with_folders_of_splits_and_an_empty_file(tmp_path):
    root = tmp_path / "mine"
    for split, name in (("train", "1"), ("train", "2"), ("valid", "3"), ("test", "4")):
        write_image(root / split / "images" / f"{name}.png", int(name))
        write_text(root / split / "labels" / f"{name}.txt", "" if name == "2" else yolo_line(1))
    write_text(root / "data.yaml", "names: [cat, dog]\n")
    scan = scan_of(root)
    masks = masks_of(scan)
    assert names_by_split(scan.index) == {
        "train": ["train/1.png", "train/2.png"], "val": ["val/3.png"], "test": ["test/4.png"]
    }  # fmt: skip
    assert not masks["train/2.png"].any()
    assert np.array_equal(masks["val/3.png"], MASK)


def test_captions_of_images_are_not_yolo(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for number in range(10):
        write_text(root / f"images/{number}.txt", "1 cat on a sofa\n")
    assert index_of(root).format == "masks"


CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version>
<meta><job><labels><label><name>cat</name></label><label><name>dog</name></label></labels></job></meta>
{images}</annotations>"""
CVAT_IMAGE = '<image id="{n}" name="{name}" width="{width}" height="{height}">{shapes}</image>\n'
CVAT_POLYGON = '<polygon label="cat" points="2.0,3.0;8.0,3.0;8.0,7.0;2.0,7.0" z_order="0"/>'


def draw_cvat(root, shapes=CVAT_POLYGON, width=WIDTH):
    draw_images(root, "images")
    images = [
        CVAT_IMAGE.format(n=n, name=name, width=width, height=HEIGHT, shapes=shapes)
        for n, name in enumerate(NAMES)
    ]
    write_text(root / "annotations.xml", CVAT.format(images="".join(images)))
    return root


def test_cvat_for_images(tmp_path):
    scan = scan_of(draw_cvat(tmp_path / "mine"))
    assert scan.table.names == ("background", "cat")
    assert "Classes that no image has, left out (1): dog" in notes_of(scan.index)
    assert_every_mask_is(scan)


def test_cvat_shapes_of_all_kinds_by_their_z_order(tmp_path):
    shapes = """<box label="dog" xtl="0" ytl="0" xbr="2" ybr="2" z_order="1"/>
        <polygon label="cat" points="0,0;6,0;6,4;0,4" z_order="0"/>
        <mask label="dog" rle="1, 2, 1" left="8" top="4" width="2" height="2" z_order="2"/>
        <ellipse label="cat" cx="6" cy="6" rx="1" ry="1" z_order="0"/>
        <polyline label="cat" points="0,0;9,7"/>"""
    scan = scan_of(draw_cvat(tmp_path / "mine", shapes))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[:4, :6], expected[:2, :2], expected[5:7, 5:7] = 1, 2, 1
    expected[4, 9] = expected[5, 8] = 2
    assert_every_mask_is(scan, expected)
    assert "Shapes without an area, left out (10): a polyline of '0.png'" in notes_of(scan.index)


def draw_voc(root, content, label_map=""):
    draw_pairs(root, None, "JPEGImages/{}.png", "SegmentationClass/{}.png", content)
    write_mask(root / "SegmentationObject/0.png")
    write_text(root / "ImageSets/Segmentation/train.txt", "\n".join("012345"))
    write_text(root / "ImageSets/Segmentation/val.txt", "\n".join("6789"))
    if label_map:
        write_text(root / "labelmap.txt", label_map)
    return root


@pytest.mark.parametrize("content", [color_mask(), palette_mask()], ids=["RGB", "palette"])
def test_masks_of_cvat_with_a_label_map(tmp_path, content):
    label_map = (
        f"# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:{','.join(map(str, GREEN))}::\n"
    )
    scan = scan_of(draw_voc(tmp_path / "mine", content, label_map))
    assert scan.index.format == "voc"
    assert len(scan.index.splits["val"]) == 4
    assert_every_mask_is(scan)


def test_voc_has_its_own_classes_and_ignores_borders(tmp_path):
    mask = MASK * VOC_CLASSES.index("dog")
    mask[0] = 255
    colors = [color_of(value) for value in range(256)]
    assert color_of(12) == (64, 0, 128)
    assert color_of(255) == (224, 224, 192)
    expected = MASK.copy()
    expected[0] = 255
    for content in (palette_mask(mask, colors), np.array(colors, np.uint8)[mask]):
        scan = scan_of(draw_voc(tmp_path / str(type(content)), content))
        assert scan.table.names == ("background", "dog")
        assert_every_mask_is(scan, expected)


def test_a_folder_called_like_vocs_may_have_masks_without_its_classes(tmp_path):
    scan = scan_of(draw_voc(tmp_path / "mine", MASK))
    assert scan.index.format == "voc"
    assert scan.table.names == ("background", "foreground")
    assert_every_mask_is(scan)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (np.dstack([MASK * 255] * 3), ("background", "foreground")),
        (color_mask(), ("background", "foreground")),
    ],
    ids=["equal channels", "another color"],
)
def test_only_vocs_own_colors_are_its_classes(tmp_path, content, names):
    scan = scan_of(draw_voc(tmp_path / "mine", content))
    assert scan.table.names == names
    assert_every_mask_is(scan)


def draw_oxford(root):
    for number, name in enumerate(("Abyssinian_1", "beagle_2", "beagle_3", "beagle_4")):
        write_image(root / f"images/{name}.jpg", number)
        write_mask(root / f"annotations/trimaps/{name}.png", MASK + 1)
    write_text(root / "annotations/trainval.txt", "Abyssinian_1 1 1 1\nbeagle_2 5 2 1\n")
    write_text(root / "annotations/test.txt", "beagle_3 5 2 1\n")
    return root


def test_oxford(tmp_path):
    scan = scan_of(draw_oxford(tmp_path / "mine"))
    index = scan.index
    assert scan.table.names == ("pet", "background")
    assert "Classes that no image has, left out (1): border" in notes_of(index)
    assert "Images in no list, left out (1): images/beagle_4.jpg" in notes_of(index)
    assert index.categories == ["Abyssinian", "beagle"]
    assert index.supercategories == ["cat", "dog"]
    assert names_by_split(index) == {
        "train": ["Abyssinian_1.jpg", "beagle_2.jpg"], "test": ["beagle_3.jpg"]
    }  # fmt: skip
    for mask in masks_of(scan).values():
        assert np.array_equal(mask, MASK)


def test_oxford_without_lists_is_drawn_by_hash(tmp_path):
    root = draw_oxford(tmp_path / "mine")
    for name in ("trainval", "test"):
        (root / f"annotations/{name}.txt").unlink()
    assert len(index_of(root).items) == 4


OXFORD_LINES = {
    "Oxford list with a duplicate": ("trainval", "beagle_2 5 2 1\n"),
    "Oxford lists that share an image": ("test", "beagle_2 5 2 1\n"),
    "Oxford list with an unknown name": ("trainval", "pug_1 5 2 1\n"),
    "Oxford list with a path outside the folder": ("trainval", "../../../etc/passwd 5 2 1\n"),
    "Oxford list with a short line": ("trainval", "beagle_2 5\n"),
}


@pytest.mark.parametrize("case", OXFORD_LINES)
def test_an_invalid_line_of_an_oxford_list_is_a_problem(tmp_path, case):
    root = draw_oxford(tmp_path / "mine")
    name, line = OXFORD_LINES[case]
    path = root / f"annotations/{name}.txt"
    path.write_text(path.read_text() + line)
    assert matches(CASES[case], problems_of(index_of(root)), tmp_path)


def draw_300_classes(root):
    labels = np.arange(300, dtype=np.uint16).reshape(15, 20)
    for number in range(10):
        draw_image(number, (20, 15)).save(write_image(root / f"images/{number}.png"))
        write_mask(root / f"masks/{number}.png", labels)
    write_text(root / "classes.txt", "\n".join(f"c{number}" for number in range(300)))


CAT = {"class": "cat"}
BOX = {"name": "rect", "x": 2, "y": 3, "width": 6, "height": 4}


@pytest.mark.parametrize("shape", [VIA_POLYGON, BOX], ids=["polygon", "rectangle"])
@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"species": "cat"}, "cat"),
        ({"class": "undefined", " Label": "cat", "color": "gray"}, "cat"),
        ({"species": {"cat": True, "dog": False}}, "cat"),
        ({"species": ["cat"]}, "cat"),
        ({}, "object"),
        (None, "object"),
    ],
    ids=["the only one", "the usual one", "a checkbox", "a list", "none", "null"],
)
def test_via(tmp_path, shape, attributes, label):
    write_via(draw_images(tmp_path / "mine") / "via.json", NAMES, shape, attributes)
    scan = scan_of(tmp_path / "mine")
    assert scan.table.names == ("background", label)
    assert_every_mask_is(scan)


def test_via_files_are_splits_by_their_names(tmp_path):
    root = draw_images(tmp_path / "mine")
    write_via(root / "via_train.json", NAMES[:7])
    write_via(root / "via_val.json", NAMES[7:])
    index = index_of(root)
    assert [item.name for item in index.splits["val"]] == NAMES[7:]


def test_of_coco_and_via_which_via_exports_both_coco_is_read(tmp_path):
    root = draw_images(tmp_path / "mine")
    write_coco(root / "coco.json", NAMES)
    write_via(root / "via.json", NAMES)
    index = index_of(root)
    assert not problems_of(index)
    assert index.format == "coco"
    assert "Files of other kinds, not read (1): via.json" in notes_of(index)


def test_a_json_with_regions_of_another_kind_is_not_read(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "regions.json", '{"1": {"filename": "1.png", "regions": [1]}}')
    index = index_of(root)
    assert not problems_of(index)
    assert index.format == "masks"


@pytest.mark.parametrize("values", [{"Class": "cat", "class": ""}, {"class": {"cat": "true"}}])
def test_values_of_via_that_are_not_set_do_not_count(tmp_path, values):
    write_via(draw_images(tmp_path / "mine") / "via.json", NAMES, BOX, values)
    assert_every_mask_is(scan_of(tmp_path / "mine"))


def test_a_split_in_the_name_of_the_only_via_file_does_not_count(tmp_path):
    write_via(draw_images(tmp_path / "mine") / "test_project.json", NAMES)
    assert len(index_of(tmp_path / "mine").splits["train"]) > 1


def test_a_region_with_its_middle_inside_of_the_image_may_reach_beyond(tmp_path):
    circle = {"name": "circle", "cx": 1, "cy": 1, "r": 4}
    write_via(draw_images(tmp_path / "mine") / "via.json", NAMES, circle)
    for mask in masks_of(scan_of(tmp_path / "mine")).values():
        assert mask[0, 0] == 1
        assert mask[7, 11] == 0


def test_via_projects_and_numbered_regions_of_a_split(tmp_path):
    root = tmp_path / "mine"
    for split in ("train", "val"):
        file = draw_images(root, split) / split / "via_region_data.json"
        document = write_via(file, NAMES)
        for image in document.values():
            image["regions"] = dict(enumerate(image["regions"]))
        write_text(file, json.dumps({"_via_settings": {}, "_via_img_metadata": document}))
    scan = scan_of(root)
    assert len(scan.index.splits["val"]) == 10
    assert_every_mask_is(scan, count=20)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ({"name": "circle", "cx": 6, "cy": 4, "r": 2}, (4, 2, 8, 6)),
        ({"name": "ellipse", "cx": 6, "cy": 4, "rx": 3, "ry": 1, "theta": np.pi / 2}, (5, 1, 7, 7)),
        ({"name": "ellipse", "cx": 6, "cy": 4, "rx": 3, "ry": 1}, (3, 3, 9, 5)),
    ],
    ids=["circle", "turned ellipse", "ellipse"],
)
def test_via_circles_and_ellipses(tmp_path, shape, box):
    write_via(draw_images(tmp_path / "mine") / "via.json", NAMES, shape)
    left, top, right, bottom = box
    for mask in masks_of(scan_of(tmp_path / "mine")).values():
        rows, columns = np.nonzero(mask)
        found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert found == (left, top, right, bottom)
        assert mask.sum() > 0.6 * (right - left) * (bottom - top)


def test_small_via_regions_cover_large_ones(tmp_path):
    root = draw_images(tmp_path / "mine")
    document = write_via(root / "via.json", NAMES)
    whole = {"name": "rect", "x": 0, "y": 0, "width": WIDTH, "height": HEIGHT}
    for image in document.values():
        large = {"shape_attributes": whole, "region_attributes": {"class": "rug"}}
        image["regions"].append(large)
    write_text(root / "via.json", json.dumps(document))
    assert_every_mask_is(scan_of(root, classes=("cat", "rug")), 1 - MASK)


def test_an_image_without_via_regions_has_no_annotation(tmp_path):
    root = draw_images(tmp_path / "mine")
    document = write_via(root / "via.json", NAMES)
    document["3.png-1"]["regions"] = []
    write_text(root / "via.json", json.dumps(document))
    assert "Images without a mask or other annotation (1): 3.png;" in problems_of(index_of(root))


def test_an_image_that_changed_since_via_saw_it_is_said(tmp_path):
    root = draw_images(tmp_path / "mine")
    num_bytes = (root / "0.png").stat().st_size
    write_via(root / "via.json", NAMES[:1], size=num_bytes)
    assert "changed after" not in notes_of(index_of(root))
    write_via(root / "via.json", NAMES[:1], size=num_bytes + 1)
    assert CASES["VIA: a changed image"] in notes_of(index_of(root))


def coco(names=NAMES, segmentation=None, image=(), item=()):
    """Write COCO's JSON with these values in every image and every object."""

    def write(root):
        draw_images(root)
        document = write_coco(root / "coco.json", names, segmentation)
        images = [{**old, **dict(image)} for old in document["images"]]
        objects = [{**old, **dict(item)} for old in document["annotations"]]
        write_coco(root / "coco.json", names, images=images, annotations=objects)

    return write


def via(shape, attributes):
    """Write VIA's JSON, with another region in the image 3.png."""

    def write(root):
        images = write_via(draw_images(root) / "via.json", NAMES)
        region = {"shape_attributes": shape, "region_attributes": attributes}
        images["3.png-1"]["regions"] = [region]
        write_text(root / "via.json", json.dumps(images))

    return write


def labelme(text):
    def write(root):
        draw_images(root)
        for name in NAMES:
            write_labelme(root / name.replace("png", "json"))
        if isinstance(text, str):
            write_text(root / "3.json", text)
        else:
            write_labelme(root / "3.json", text)

    return write


def yolo(line):
    def write(root):
        draw_yolo(root)
        write_text(root / "labels/3.txt", line)

    return write


LINE = {"label": "cat", "points": [[0, 0], [9, 7]], "shape_type": "line"}
SQUARE_OF_CAT = {"label": "cat", "points": np.reshape(RING, (-1, 2)).tolist()}
STRAY = [{"image_id": n, "category_id": 3, "segmentation": [RING]} for n in (*range(10), 99)]
TINY = [2.1, 3.1, 2.2, 3.1, 2.2, 3.2]
CROWD = {"image_id": 3, "category_id": 3, "segmentation": [RING], "iscrowd": 1}
BETWEEN = {"image_id": 0, "category_id": 3, "segmentation": [TINY]}
FAR_OFF = {"image_id": 0, "category_id": 3, "segmentation": [[20, 3, 30, 3, 30, 7]]}
OBJECTS = STRAY[:10]
LEFT_OUT = {
    "COCO: crowds": lambda root: (draw_images(root), write_coco(root / "coco.json", NAMES, annotations=[*OBJECTS, CROWD])),
    "COCO: a shape far beyond the image": lambda root: (draw_images(root), write_coco(root / "coco.json", NAMES, annotations=[*OBJECTS, FAR_OFF])),
    "COCO: a shape between the pixels": lambda root: (draw_images(root), write_coco(root / "coco.json", NAMES, annotations=[*OBJECTS, BETWEEN])),
    "COCO: categories of the same name": lambda root: (draw_images(root), write_coco(root / "coco.json", NAMES, categories=[{"id": n, "name": "cat"} for n in (3, 4)])),
    "LabelMe: an image under another name": lambda root: (labelme([SQUARE_OF_CAT])(root), write_labelme(root / "3.json", image="7.png")),
    "YOLO: a split without an image": draw_yolo,
    "masks in a folder per class": lambda root: (draw_pairs(root, "01234", mask="masks/cat/{}.png"), draw_pairs(root, "56789", mask="masks/dog/{}.png")),
    "masks with a word per class": lambda root: (draw_pairs(root, "01234", mask="masks/{}_cat.png"), draw_pairs(root, "56789", mask="masks/{}_dog.png")),
    "COCO: objects of an image that isn't listed": lambda root: (draw_images(root), write_coco(root / "coco.json", NAMES, annotations=STRAY)),
    "LabelMe: lines and points": labelme([SQUARE_OF_CAT, LINE]),
    "YOLO: a text file without an image": lambda root: write_text(draw_yolo(root) / "labels/77.txt", yolo_line()),
    "CVAT: polylines, points, cuboids and skeletons": lambda root: draw_cvat(root, CVAT_POLYGON + '<skeleton label="cat"/>'),
}  # fmt: skip


def test_a_coco_file_is_known_if_its_images_are_in_the_middle(tmp_path):
    root = draw_images(tmp_path / "mine")
    document = write_coco(root / "coco.json", NAMES)
    order = {"info": "x" * 2**17, "images": document["images"], "notes": "x" * 2**17}
    write_text(root / "coco.json", json.dumps({**order, **document}))
    assert_every_mask_is(scan_of(root))


def test_a_circle_at_the_edge_needs_no_size_in_labelmes_file(tmp_path):
    root = draw_images(tmp_path / "mine")
    circle = '{"label": "cat", "shape_type": "circle", "points": [[11, 4], [11, 7]]}'
    for name in NAMES:
        write_text(root / name.replace("png", "json"), f'{{"shapes": [{circle}]}}')
    assert not problems_of(scan_of(root).index)


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_is_left_out_is_said(tmp_path, case):
    LEFT_OUT[case](tmp_path / "mine")
    scan = scan_of(tmp_path / "mine")
    assert_every_mask_is(scan)
    assert any(matches(CASES[case], line, tmp_path) for line in notes_of(scan.index).split("\n"))


INVALID = {
    "COCO: no JSON": lambda root: (draw_images(root), write_text(root / "coco.json", '{"images": [], "annotations": [], "categories"')),
    "COCO: an image without a size": coco(image={"width": None}),
    "COCO: an unknown category": coco(item={"category_id": 9}),
    "COCO: boxes only": coco(item={"segmentation": []}),
    "COCO: another size than the image": coco(image={"width": 99}),
    "COCO: damaged run lengths": coco(segmentation={"counts": "~~", "size": [HEIGHT, WIDTH]}),
    "COCO: run lengths of another size": coco(segmentation={"counts": [10**9], "size": [10**4, 10**5]}),
    "COCO: run lengths of a smaller image": coco(segmentation={"counts": [4, 4, 16], "size": [4, 6]}),
    "COCO: a file without a split among others": lambda root: (draw_images(root), write_coco(root / "train.json", NAMES[:5]), write_coco(root / "other.json", NAMES[5:])),
    "YOLO: a confidence": yolo("0 0.1 0.1 0.2 0.2 0.3 0.3 0.9\n"),
    "YOLO: a class without coordinates": yolo("0\n"),
    "YOLO: a split inside of another": lambda root: (draw_yolo(root), write_image(root / "images/a/1.png"), write_text(root / "labels/a/1.txt", yolo_line()), write_text(root / "data.yaml", "train: images\nval: images/a\nnames: [cat]\n")),
    "YOLO: two lists of names that differ": lambda root: write_text(draw_yolo(root) / "other.yaml", "names: [dog, cat]\n"),
    "COCO: an image twice": coco(names=[*NAMES, "0.png"]),
    "LabelMe: no JSON": labelme('{"shapes": ['),
    "LabelMe: a mask that isn't an image": labelme([{"label": "cat", "points": [[1, 2]], "shape_type": "mask", "mask": "AAAA"}]),
    "LabelMe: an unknown shape": labelme([{"label": "cat", "points": [[1, 2]], "shape_type": "cube"}]),
    "YOLO: boxes": yolo("0 0.5 0.5 0.2 0.2\n"),
    "LabelMe: a shape beyond the image, whose size the JSON lacks": labelme('{"shapes": [{"label": "cat", "points": [[2, 3], [30, 3], [30, 7]]}]}'),
    "LabelMe: a shape without a label": labelme([{**SQUARE_OF_CAT, "label": " "}]),
    "YOLO: a class of 0.5": yolo("0.5 0.1 0.1 0.2 0.2 0.3 0.3\n"),
    "YOLO: a word": yolo("0 x 0.5 0.2 0.2 0.3 0.3\n"),
    "YOLO: pixels instead of fractions": yolo("0 1 1 20 20 30 30\n"),
    "YOLO: a class without a name": yolo(yolo_line(7)),
    "YOLO: a data.yaml without a list": lambda root: draw_yolo(root, "names: {0: [a]}\n"),
    "more than 255 classes": draw_300_classes,
    "class names that can't be used": labelme([{"label": "ignored", "points": [[0, 0], [4, 0], [4, 8]]}, {"label": "a\nb", "points": [[4, 0], [8, 0], [8, 8]]}]),
    "labelmap.txt with an invalid line": lambda root: draw_voc(root, MASK, "background:0,0,0::\ncat:1,2::\n"),
    "CVAT: no XML": lambda root: write_text(draw_cvat(root) / "annotations.xml", "<annotations><image>"),
    "CVAT: XML that defines entities": lambda root: write_text(draw_cvat(root) / "annotations.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotations/>'),
    "CVAT: an export for video": lambda root: write_text(draw_cvat(root) / "annotations.xml", '<annotations><track label="cat"/></annotations>'),
    "CVAT: an image without a size": lambda root: draw_cvat(root, width=""),
    "CVAT: a polygon of words": lambda root: draw_cvat(root, '<polygon label="cat" points="a,b;c,d"/>'),
    "VIA: no JSON": lambda root: write_text(draw_images(root) / "via.json", '{"a": {"filename": "0.png", "regions": [{"shape_attributes":'),
    "VIA: a region of an unknown form": via({"name": "rect", "x": 1}, CAT),
    "VIA: a region without its attribute": via(BOX, {"class": ""}),
    "VIA: an attribute with a value per region": lambda root: write_text(draw_images(root) / "via.json", json.dumps({name: {"filename": name, "regions": [{"shape_attributes": BOX, "region_attributes": {"id": name}}]} for name in NAMES})),
    "VIA: a region left of the image": via({**BOX, "x": -3}, CAT),
    "VIA: a name and a species": lambda root: write_via(draw_images(root) / "via.json", NAMES, BOX, {"name": "Tom", "species": "cat"}),
    "VIA: null as the class": via(BOX, {"class": None}),
    "VIA: several attributes": lambda root: write_via(draw_images(root) / "via.json", NAMES, BOX, {"color": "gray", "age": "2"}),
    "VIA: another size than the image": via({**BOX, "width": 30}, CAT),
    "annotations of two kinds": lambda root: (labelme([])(root), draw_pairs(root, image="{}.png")),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID)
def test_an_invalid_annotation_is_rejected_with_the_reason(tmp_path, case):
    INVALID[case](tmp_path / "mine")
    text = problems_of(scan_of(tmp_path / "mine").index)
    assert matches(CASES[case], text.split("\n")[0], tmp_path), text


@pytest.mark.parametrize(
    "case", ["COCO: no JSON", "YOLO: a data.yaml without a list", "CVAT: no XML"]
)
def test_a_file_that_cannot_be_read_hides_no_other_problem(tmp_path, case):
    INVALID[case](tmp_path / "mine")
    next((tmp_path / "mine").rglob("3.png")).write_bytes(b"")
    problems = problems_of(scan_of(tmp_path / "mine").index).split("\n")
    assert matches(CASES[case], problems[0], tmp_path)
    assert [problem.split(" (")[0] for problem in problems[1:]] == ["Images that can't be read"]


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "via", "yolo"])
def test_a_format_that_the_folder_lacks_is_a_problem(tmp_path, name):
    problems = problems_of(index_of(draw_pairs(tmp_path / "mine"), annotations=name))
    expected = CASES["a format that the folder lacks"].replace("coco", name)
    assert matches(expected, problems, tmp_path), problems


def test_a_class_whose_only_shape_covers_no_pixel_is_left_out(tmp_path):
    root = draw_images(tmp_path / "mine")
    tag = {"image_id": 0, "category_id": 4, "segmentation": [TINY]}
    categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "tag"}]
    write_coco(root / "coco.json", NAMES, annotations=[*OBJECTS, tag], categories=categories)
    scan = scan_of(root)
    assert scan.table.names == ("background", "cat")
    assert_every_mask_is(scan)


@pytest.mark.parametrize("kind", ["rectangle", "rotation"])
def test_labelme_rectangles_of_four_points(tmp_path, kind):
    labelme([{**SQUARE_OF_CAT, "shape_type": kind}])(tmp_path / "mine")
    assert_every_mask_is(scan_of(tmp_path / "mine"))


def test_cvat_boxes_are_rotated_about_their_center(tmp_path):
    upright = '<box label="cat" xtl="3" ytl="2" xbr="7" ybr="8" rotation="90"/>'
    assert_every_mask_is(scan_of(draw_cvat(tmp_path / "mine", upright)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("train: images/a\nval: ../images/b\ntest: /old/place/images/c\n", [4, 3, 3]),
        ("path: ../mine\ntrain: [images/a, images/b]\ntest: images/c\n", [7, 3]),
        ("train: first.txt\nval: ./second.txt\ntest: /old/place/third.txt\n", [4, 3, 3]),
        ("train: images\\\\a\nval: images\\\\b\ntest: images\\\\c\n", [4, 3, 3]),
        ("train: images/a\nval: images/c\ntest: images/c\n", [4, 3]),
        ("test: images/c\n", [7, 3]),
        ("train: images/a\nval: second.txt\ntest: images/c\n", [4, 3, 3]),
        ("train: first.txt\nval: third.txt\ntest: third.txt\n", [4, 3]),
        ("train: images/a\nval: images/a\ntest: images/c\n", [4, 3]),
    ],
    ids=[
        *("folders", "lists of folders", "lists of images", "backslashes", "val is test"),
        *("test only", "folders and lists", "val is test, in a list", "val is train"),
    ],
)
def test_yolo_splits_of_data_yaml(tmp_path, data, expected):
    root = tmp_path / "mine"
    for number in range(10):
        place = "aaaabbbccc"[number]
        write_image(root / f"images/{place}/{number}.png", number)
        write_text(root / f"labels/{place}/{number}.txt", yolo_line())
    for name, place in (("first", "a"), ("second", "b"), ("third", "c")):
        names = sorted(path.name for path in (root / "images" / place).iterdir())
        write_text(root / f"{name}.txt", "".join(f"./images/{place}/{n}\n" for n in names))
    write_text(root / "data.yaml", f"{data}names: [cat]\n")
    splits = names_by_split(index_of(root))
    assert [len(names) for names in splits.values()] == expected
    assert splits["test"] == ["c/7.png", "c/8.png", "c/9.png"]


def test_yolo_splits_that_are_equal_do_not_count(tmp_path):
    root = draw_yolo(tmp_path / "mine")
    write_text(root / "data.yaml", "train: images\nval: images\nnames: [cat]\n")
    index = index_of(root)
    assert list(index.splits) == ["train", "test"]
    note = "data.yaml has equal images in train and val: val is drawn from train"
    assert note in notes_of(index)


def test_yolo_images_outside_of_the_splits_are_left_out(tmp_path):
    root = draw_yolo(tmp_path / "mine")
    for name in ("a", "b"):
        write_image(root / f"images/{name}/1.png")
        write_text(root / f"labels/{name}/1.txt", yolo_line())
    write_text(root / "data.yaml", "train: images/a\ntest: images/b\nnames: [cat]\n")
    index = index_of(root)
    assert names_by_split(index) == {"train": ["a/1.png"], "test": ["b/1.png"]}
    assert "Images in no split of data.yaml, left out (10): images/0.png" in notes_of(index)


def test_yolo_lists_are_those_of_the_path_in_data_yaml(tmp_path):
    root = draw_yolo(tmp_path / "mine")
    for place, split in (("s1/", [range(6), range(6, 8)]), ("", [range(4), range(4, 8)])):
        for name, numbers in zip(("train", "val"), split, strict=True):
            write_text(root / f"{place}{name}.txt", "".join(f"{n}.png\n" for n in numbers))
    write_text(root / "test.txt", "8.png\n9.png\n")
    write_text(root / "data.yaml", "train: s1/train.txt\nval: s1/val.txt\ntest:\nnames: [cat]\n")
    index = index_of(root)
    assert not problems_of(index)
    assert [len(names) for names in names_by_split(index).values()] == [6, 2, 2]


def test_yolo_images_of_one_stem_must_not_share_a_text_file(tmp_path):
    root = draw_yolo(tmp_path / "mine")
    write_image(root / "images/1.jpg", 1)
    assert problems_of(index_of(root, annotations="yolo")) == (
        "Images that share a text file (1): images/1.jpg and images/1.png (labels/1.txt); keep one "
        "of them."
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_yolo_texts_may_have_a_byte_order_mark_and_numbers_as_numpy_writes_them(tmp_path, encoding):
    root = draw_yolo(tmp_path / "mine")
    for path in (root / "labels").glob("*.txt"):
        numbers = map(float, path.read_text().split())
        path.write_text(" ".join(f"{number:.6e}" for number in numbers), encoding)
    assert_every_mask_is(scan_of(root))


def test_yolo_poses_are_refused(tmp_path):
    root = draw_yolo(tmp_path / "mine")
    with (root / "data.yaml").open("a") as file:
        file.write("\nkpt_shape: [17, 3]\n")
    assert "data.yaml is of poses (kpt_shape); export a segmentation" in problems_of(index_of(root))


def test_coco_ids_of_two_exports_in_one_file_are_refused(tmp_path):
    root = draw_images(tmp_path / "mine")
    document = write_coco(root / "coco.json", NAMES)
    document["images"][1]["id"] = 0
    document["categories"].append({"id": 3, "name": "dog"})
    write_text(root / "coco.json", json.dumps(document))
    assert (
        "Ids that stand for several images or categories (2): image 0: 0.png and 1.png (coco.json),"
        " category 3: cat and dog (coco.json); export again"
    ) in problems_of(index_of(root))


def test_coco_ids_may_be_texts_in_one_place_and_numbers_in_another(tmp_path):
    root = draw_images(tmp_path / "mine")
    document = write_coco(root / "coco.json", NAMES)
    for item in document["annotations"]:
        item["image_id"] = str(item["image_id"])
    write_text(root / "coco.json", json.dumps(document))
    assert_every_mask_is(scan_of(root))


def test_names_of_shapes_are_no_ranges(tmp_path):
    root = draw_images(tmp_path / "mine")
    categories = [{"id": 3, "name": "0-10"}, {"id": 4, "name": "10-20"}, {"id": 5, "name": "2-1"}]
    document = write_coco(root / "coco.json", NAMES, categories=categories)
    for item in document["annotations"][:4]:
        item["category_id"] += item["id"] % 3
    write_text(root / "coco.json", json.dumps(document))
    scan = scan_of(root)
    assert not problems_of(scan.index)
    assert scan.table.names == ("background", "0-10", "10-20", "2-1")


def test_ranges_in_a_table_for_masks_must_not_overlap(tmp_path):
    table = {"0-127": "0-127", "100-255": "100-255"}
    root = draw_pairs(tmp_path / "mine", content=MASK * 255)
    assert "Labels that several classes have (1): 100 to 127" in problems_of(
        scan_of(root, classes=table).index
    )


@pytest.mark.parametrize("image", ["1.jpg", "0.jpg"])
def test_labelme_says_which_image_of_one_stem_it_means(tmp_path, image):
    root = tmp_path / "mine"
    for name in ("0.jpg", "1.jpg", "1.png"):
        write_image(root / name)
    write_labelme(root / "0.json", image="0.jpg")
    write_labelme(root / "1.json", image=image)
    index = index_of(root, annotations="labelme", unlabeled="background")
    if image == "1.jpg":
        assert not problems_of(index)
        assert "treated as background (1): 1.png" in notes_of(index)
    else:
        shared = "Images that share a JSON file (1): 1.jpg and 1.png (1.json); keep one of them"
        assert shared in problems_of(index)


def test_yolo_prefers_the_exact_name(tmp_path):
    root = tmp_path / "mine"
    for number, name in enumerate(("a", "A", "b")):
        write_image(root / f"images/{name}.png", number)
    write_text(root / "labels/A.txt", yolo_line())
    write_text(root / "labels/a.txt", "")
    write_text(root / "labels/B.txt", yolo_line())
    masks = masks_of(scan_of(root, classes=["background", "cat"]))
    assert {name: bool(mask.any()) for name, mask in masks.items()} == {
        "a.png": False, "A.png": True, "b.png": True
    }  # fmt: skip


def test_yolo_names_in_another_form(tmp_path):
    root = tmp_path / "mine"
    for number in range(10):
        write_image(root / f"images/Caf\u00e9{number}.png", number)
        write_text(root / f"labels/cafe\u0301{number}.txt", yolo_line())
    write_text(root / "labels/classes.txt", "cat\n")
    scan = scan_of(root)
    assert_every_mask_is(scan)
    assert "without an image" not in notes_of(scan.index)


def test_voc_colors_without_names_are_said(tmp_path):
    root = draw_voc(tmp_path / "mine", palette_mask(MASK, [(0, 0, 0), color_of(1)]), "")
    notes = notes_of(scan_of(root).index).split("\n")
    assert any(matches(CASES["VOC: colors without names"], note, tmp_path) for note in notes)


@pytest.mark.parametrize("place", ["images/a/{}.png", "images/{}.png"])
def test_labelme_files_of_other_names_or_folders(tmp_path, place):
    root = tmp_path / "mine"
    for number in range(10):
        path = write_image(root / place.format(number), number)
        name = f"json/a/{number}.json" if "a/" in place else f"json/annotation_{number}.json"
        write_labelme(root / name, image=f"..\\images\\{path.name}")
    write_image(root / "images/b/3.png")
    write_labelme(root / "json/b/3.json", [], image="3.png")
    masks = masks_of(scan_of(root))
    assert not masks.pop("b/3.png").any()
    assert len(masks) == 10
    assert all(np.array_equal(mask, MASK) for mask in masks.values())


def test_exports_side_by_side_name_their_own_images(tmp_path):
    root = tmp_path / "mine"
    for job in (0, 1):
        for name in NAMES:
            write_image(root / f"job_{job}/images/{name}", int(name[0]) + 10 * job)
        empty = {} if job else {"annotations": []}
        write_coco(root / f"job_{job}/annotations.json", NAMES, **empty)
    masks = masks_of(scan_of(root))
    assert [name for name, mask in masks.items() if mask.any()] == [f"job_1/{n}" for n in NAMES]
    assert len(masks) == 20


def test_yolo_classes_may_have_a_decimal_point(tmp_path):
    root = draw_yolo(tmp_path / "mine")
    for name in NAMES:
        text = (root / "labels" / name).with_suffix(".txt")
        text.write_text(text.read_text().replace("0 ", "0.0 ", 1))
    assert_every_mask_is(scan_of(root))


def test_a_name_may_look_like_a_range(tmp_path):
    root = draw_images(tmp_path / "mine")
    write_coco(root / "coco.json", NAMES, categories=[{"id": 3, "name": "10-20"}])
    scan = scan_of(root)
    assert scan.table.names == ("background", "10-20")
    assert_every_mask_is(scan)


@pytest.mark.parametrize("labels", ["coco", "labelme"])
def test_polygons_of_two_points_are_left_out_which_is_said(tmp_path, labels):
    root = tmp_path / "mine"
    draw_images(root)
    if labels == "coco":
        document = write_coco(root / "coco.json", NAMES)
        document["annotations"].append(
            {"id": 99, "image_id": 3, "category_id": 3, "segmentation": [[1, 2, 3, 4], []]}
        )
        write_text(root / "coco.json", json.dumps(document))
    else:
        points = np.reshape(RING, (-1, 2)).tolist()
        shapes = [{"label": "cat", "points": points}, {"label": "cat", "points": points[:2]}]
        for name in NAMES:
            write_labelme(root / f"{Path(name).stem}.json", shapes)
    scan = scan_of(root)
    assert_every_mask_is(scan)
    assert "shapes that cover no pixel's center" in notes_of(scan.index)


def test_an_empty_run_length_code_is_refused(tmp_path):
    root = tmp_path / "mine"
    draw_images(root)
    write_coco(root / "coco.json", NAMES, {"counts": [], "size": [HEIGHT, WIDTH]})
    assert "a run-length code doesn't fit its size" in problems_of(scan_of(root).index)


def test_labelme_s_shapes_may_be_in_the_middle_of_a_large_file(tmp_path):
    root = draw_images(tmp_path / "mine") or tmp_path / "mine"
    for name in NAMES:
        path = write_labelme(root / f"{Path(name).stem}.json")
        document = json.loads(path.read_text())
        large = "A" * 70_000
        text = json.dumps({"imageData": large, **document, "version": large})
        path.write_text(text.replace('"imageData": null', '"x": 0'))
    assert_every_mask_is(scan_of(root))


def test_the_first_and_the_last_images_of_via_may_have_no_regions(tmp_path):
    root = draw_images(tmp_path / "mine") or tmp_path / "mine"
    document = write_via(root / "via.json", NAMES)
    empty = {
        f"no{i}": {"filename": f"no{i}.png", "size": -1, "regions": [], "file_attributes": {}}
        for i in range(2000)
    }
    first = dict(list(empty.items())[:1000])
    write_text(root / "via.json", json.dumps({**first, **document, **empty}))
    assert_every_mask_is(scan_of(root))


def test_yolo_names_that_occur_twice_are_said(tmp_path):
    scan = scan_of(draw_yolo(tmp_path / "mine", "names: [cat, cat]\n"))
    assert "Names that data.yaml has twice, merged into one class (1): cat" in notes_of(scan.index)


def test_voc_s_colors_count_wherever_the_masks_begin(tmp_path):
    root = tmp_path / "mine"
    draw_voc(root, palette_mask(MASK * 8, [color_of(value) for value in range(21)]))
    for number in range(100, 120):
        write_image(root / f"JPEGImages/0{number}.jpg", number)
    scan = scan_of(root, unlabeled="skip")
    assert scan.table.names == ("background", "cat")


def test_vocs_void_may_be_a_class(tmp_path):
    root = tmp_path / "mine"
    content = np.where(MASK[..., None] > 0, np.array(GREEN, np.uint8), np.uint8(0))
    content[0, 0] = (224, 224, 192)
    label_map = "background:0,0,0::\ncat:48,112,32::\nvoid:224,224,192::\n"
    draw_voc(root, content, label_map)
    scan = scan_of(root)
    assert not problems_of(scan.index)
    assert scan.table.names == ("background", "cat", "void")


def test_an_oxford_list_that_is_not_text_is_a_problem_among_others(tmp_path):
    root = tmp_path / "mine"
    draw_oxford(root)
    (root / "annotations/trainval.txt").write_bytes(b"pug_\xe4 1 2 1\n")
    index = index_of(root)
    assert "Lists that can't be read (1): annotations/trainval.txt is not UTF-8" in problems_of(
        index
    )


def test_categories_of_coco_that_labelme_has_written(tmp_path):
    root = tmp_path / "mine"
    draw_images(root)
    categories = [{"id": 3, "name": "cat"}, {"id": 4, "name": "__ignore__"}]
    categories.append({"id": 5, "name": "_background_"})
    document = write_coco(root / "coco.json", NAMES, categories=categories)
    corner = [[0, 0, 2, 0, 2, 2, 0, 2]]
    other = {"id": 99, "image_id": 3, "category_id": 4, "segmentation": corner}
    document["annotations"].append(other)
    write_text(root / "coco.json", json.dumps(document))
    scan = scan_of(root)
    assert scan.table.names == ("background", "cat")
    assert (masks_of(scan)["3.png"][:2, :2] == 255).all()
