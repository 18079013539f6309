"""Which mask belongs to which image, whatever the files and folders are called."""

import os
import re
import shutil
from pathlib import Path

import pytest

from support.folders import (
    MASK,
    draw_pairs,
    index_of,
    notes_of,
    problems_of,
    write_image,
    write_labelme,
    write_mask,
    write_text,
)
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "image without a mask": "Images without a mask or other annotation (1): images/3.png; add it, or set dataset.folder.unlabeled to skip or background.",
    "two images with one mask": "Images that share a mask (1): images/3.jpg and images/3.png (masks/3.png); rename one of them, and its mask.",
    "image with two masks": "Images with several masks (1): images/3.png (3.png, 3_mask.png); keep the one with all classes; if there is one per class or object, merge them into one.",
    "masks named in many ways": "Masks are named in too many ways to be matched with images (10): …; rename them.",
    "no masks and no annotations": "Neither masks nor other annotations were found for the images in these folders (1): images/ (10); docs/own-data.md shows where each format has them; masks may be in a folder masks/, or next to their images as cat_mask.png; the folder must have both.",
    "empty folder": "The folder has no images; check the path.",
    "a mask per class": "Images with several masks (10): images/0.png (0_car.png, 0_road.png), …; keep the one with all classes; if there is one per class or object, merge them into one.",
    "two folders like the images": "Folders whose files are named like the images (2): color, gray; rename the one with all classes to masks; if each has one class, merge them.",
    "two folders of the same names": "Folders whose files have the same names (2): a, b; if one has the masks of the other, rename them images and masks.",
    "Supervisely's JSON": "petseg doesn't read Supervisely's JSON (1): ann/1.jpg.json; export masks, in a folder named masks, or COCO's polygons.\n…",
    "boxes only": "petseg doesn't read Pascal VOC's boxes (1): Annotations/1.xml; export masks, in a folder named masks, or COCO's polygons.\n…",
    "mask without an image": "Left out, and petseg says so.",
}  # fmt: skip

LAYOUTS = {
    "two folders": ("images/{}.png", "masks/{}.png"),
    "another suffix": ("images/{}.jpg", "masks/{}.tif"),
    "upper case": ("images/{}.JPG", "masks/{}.PNG"),
    "a word in the mask's name": ("images/{}.jpg", "masks/{}_mask.png"),
    "a word before the name": ("images/{}.jpg", "masks/seg-{}.png"),
    "an unknown word in the mask's name": ("images/{}.jpg", "masks/{}_v2.png"),
    "an unknown word before the name": ("images/{}.jpg", "masks/final_{}.png"),
    "the image's whole name": ("images/{}.jpg", "masks/{}.jpg.png"),
    "one folder, a word": ("{}.jpg", "{}_seg.png"),
    "one folder, a word and a suffix": ("{}.jpg", "{}.jpg_mask.png"),
    "one folder, two suffixes": ("{}.jpg", "{}.png"),
    "one folder, the image's whole name": ("{}.jpg", "{}.jpg.png"),
    "Cityscapes": ("leftImg8bit/a/{}_leftImg8bit.png", "gtFine/a/{}_gtFine_labelIds.png"),
    "DeepGlobe": ("{}_sat.jpg", "{}_mask.png"),
    "DRIVE": ("images/{}_training.tif", "1st_manual/{}_manual1.gif"),
    "a number behind the word": ("{}.jpg", "{}_mask_0.png"),
    "a word in parentheses": ("{}.jpg", "{} (mask).png"),
    "a glued word": ("{}.jpg", "{}mask.png"),
    "glued words in front": ("images/img{}.jpg", "masks/mask{}.png"),
    "a folder per image": ("{}/image.png", "{}/mask.png"),
    "images in a folder of another name": ("Original/{}.jpg", "Ground Truth/{}.png"),
    "images in folders of splits, masks in one": ("train/{}.jpg", "masks/{}_mask.png"),
    "CVAT's CamVid": ("default/{}.png", "defaultannot/{}.png"),
    "a word within the names": ("images/x_image_{}.png", "masks/x_mask_{}.png"),
    "a word within the names in one folder": ("x_image_{}.jpg", "x_mask_{}.png"),
    "Segments.ai": ("img_{}.jpg", "img_{}_label_ground-truth_semantic.png"),
    "nnU-Net": ("imagesTr/{}_0000.png", "labelsTr/{}.png"),
    "nnU-Net's names": ("images/{}_0000.png", "labels/{}.png"),
    "an ending of all images": ("images/p{}-HE.png", "masks/p{}.png"),
    "FloodNet": ("train-org-img/{}.jpg", "train-label-img/{}_lab.png"),
    "folders in a folder": ("data/images/{}.jpg", "data/labels/{}.png"),
    "folders in each category": ("a/images/{}.jpg", "a/masks/{}.png"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_are_matched_by_their_names(tmp_path, layout):
    image, mask = LAYOUTS[layout]
    index = index_of(draw_pairs(tmp_path / "mine", image=image, mask=mask))
    assert not problems_of(index)
    assert len(index.items) == 10
    for item in index.items:
        number = re.search(r"\d", item.name)[0]
        assert item.annotation.path == tmp_path / "mine" / mask.format(number)


def test_names_may_differ_in_case_and_in_how_accents_are_stored(tmp_path):
    root = tmp_path / "mine"
    names = [
        ("IMG_1", "img_1"),
        ("img_2", "IMG_2"),
        ("rat\u00f3n", "rato\u0301n"),
        ("a", "a"),
        ("A", "A"),
    ]
    for image, mask in names:
        write_image(root / f"images/{image}.jpg")
        write_mask(root / f"masks/{mask}.png")
    index = index_of(root)
    assert not problems_of(index)
    found = {item.image.stem: item.annotation.path.stem for item in index.items}
    assert found == dict(names)


def test_names_that_begin_alike_are_distinguished(tmp_path):
    names = ["cat", "cat_2", "cat_2_b"]
    root = draw_pairs(tmp_path / "mine", names, "images/{}.jpg", "masks/{}_gt.png")
    index = index_of(root)
    masks = {item.image.stem: item.annotation.path.stem for item in index.items}
    assert masks == {name: f"{name}_gt" for name in names}


def test_an_image_named_like_another_with_a_number_is_no_mask(tmp_path):
    names = ["cat", "cat_2"]
    index = index_of(draw_pairs(tmp_path / "mine", names, "{}.jpg", "{}_mask.png"))
    assert sorted(item.name for item in index.items) == ["cat.jpg", "cat_2.jpg"]


OTHER_TOOLS = {
    "Supervisely's JSON": ("ann/1.jpg.json", '{"objects": [{"classTitle": "cat"}]}'),
    "boxes only": ("Annotations/1.xml", "<annotation><object><bndbox>"),
}


def change(root, case):
    if case == "image without a mask":
        (root / "masks/3.png").unlink()
    elif case == "two images with one mask":
        write_image(root / "images/3.jpg")
    elif case == "image with two masks":
        write_mask(root / "masks/3_mask.png")
    elif case == "masks named in many ways":
        for number, word in enumerate("abcdefghij"):
            (root / f"masks/{number}.png").rename(root / f"masks/{number}_{word}.png")
    elif case == "a mask per class":
        for path in (root / "masks").iterdir():
            write_mask(path.with_stem(f"{path.stem}_road"))
            path.rename(path.with_stem(f"{path.stem}_car"))
    elif case == "no masks and no annotations":
        (root / "masks").rename(root / ".masks")
    elif case == "two folders like the images":
        (root / "masks").rename(root / "gray")
        shutil.copytree(root / "gray", root / "color")
    elif case == "two folders of the same names":
        for path in (root / "images").iterdir():
            path.rename(path.with_suffix(".jpg"))
        (root / "images").rename(root / "a")
        (root / "masks").rename(root / "b")
    elif case in OTHER_TOOLS:
        (root / "masks").rename(root / ".masks")
        write_text(root / OTHER_TOOLS[case][0], OTHER_TOOLS[case][1])
    else:
        for name in ("images", "masks"):
            (root / name).rename(root / f".{name}")


@pytest.mark.parametrize("case", [case for case in CASES if case != "mask without an image"])
def test_what_cannot_be_matched_is_a_problem(tmp_path, case):
    root = draw_pairs(tmp_path / "mine")
    change(root, case)
    problems = problems_of(index_of(root))
    assert matches(CASES[case], problems, tmp_path), problems


def test_of_the_masks_of_an_image_the_one_whose_name_is_known_counts_which_is_said(tmp_path):
    names = ("{}_leftImg8bit.png", "{}_gtFine_labelIds.png")
    root = draw_pairs(tmp_path / "mine", None, f"leftImg8bit/{names[0]}", f"gtFine/{names[1]}")
    draw_pairs(root, None, f"leftImg8bit/{names[0]}", "gtFine/{}_gtFine_color.png")
    index = index_of(root)
    assert not problems_of(index)
    assert all(item.annotation.path.stem.endswith("labelIds") for item in index.items)
    assert "Masks left out, since another one's name fits better (10)" in notes_of(index)


def test_a_mask_of_another_category_is_not_taken(tmp_path):
    root = draw_pairs(tmp_path / "mine", ["cat/1", "dog/2"])
    (root / "masks/dog/2.png").rename(root / "masks/cat/2.png")
    assert "without a mask or other annotation (1): images/dog/2.png" in problems_of(index_of(root))


def test_masks_without_an_image_are_left_out_with_their_number(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for number in range(4):
        write_mask(root / f"masks/lost{number}.png")
    index = index_of(root)
    assert "Masks without an image, left out (4): masks/lost0.png, masks/lost1.png" in notes_of(
        index
    )
    assert len(index.items) == 10
    assert CASES["mask without an image"]


@pytest.mark.parametrize("unlabeled", ["skip", "background"])
def test_images_without_a_mask_are_left_out_or_background_on_request(tmp_path, unlabeled):
    root = draw_pairs(tmp_path / "mine")
    (root / "masks/3.png").unlink()
    index = index_of(root, unlabeled=unlabeled)
    assert not problems_of(index)
    assert "Images without a mask or other annotation, " in notes_of(index)
    items = {item.name: item for item in index.items}
    assert len(items) == (9 if unlabeled == "skip" else 10)
    if unlabeled == "background":
        assert items["3.png"].annotation.read((5, 4)).count() == {"background": 20}


def test_subfolders_are_the_categories(tmp_path):
    names = ["pug/1", "pug/2", "beagle/1", "loose"]
    index = index_of(draw_pairs(tmp_path / "mine", names))
    assert index.categories == ["beagle", "pug", "unknown"]
    assert index.supercategories == ["unknown"]
    assert sorted(item.name for item in index.items) == [
        "beagle/1.png", "loose.png", "pug/1.png", "pug/2.png"
    ]  # fmt: skip


EXPORTED = {
    "labelmap.txt": (
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\na:b:48,112,32:hand:wave\n",
        {"background": (0,), "a:b": ("#307020",)},
    ),
    "_classes.csv": ("Pixel Value, Class\n0, background\n2, dog\n", {"background": (0,), "dog": (2,)}),
    "class_dict.csv": ("name,r,g,b\nSky,128,128,128\nRoad,1,2,3\n", {"Sky": (128,), "Road": ("#010203",)}),
    "label_colors.txt": ("64 128 64\tAnimal\n0 0 0 Void area\n", {"Animal": ("#408040",), "Void area": (0,)}),
    "class_names.txt": ("__ignore__\n_background_\ncat\n", {"background": (0,), "cat": (1,)}),
    "classes.txt": ("no\nratón\n", {"no": (0,), "ratón": (1,)}),
    "dataset.json": (
        '{"numTraining": 10, "labels": {"background": 0, "cat": 1, "ignore": 2}}',
        {"background": (0,), "cat": (1,), "ignore": (2,)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXPORTED)
def test_the_names_of_classes_come_from_the_export(tmp_path, name):
    root = draw_pairs(tmp_path / "mine")
    text, classes = EXPORTED[name]
    write_text(root / name, text)
    index = index_of(root)
    assert dict(index.classes) == classes
    assert index.classes_from == name


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        (
            '{"numTraining": 1, "labels": {"0": "background", "1": "cat"}}',
            {"background": (0,), "cat": (1,)},
        ),
        (
            '{"numTraining": 1, "labels": {"background": 0, "7": 1}}',
            {"background": (0,), "7": (1,)},
        ),
        ('{"labels": {"cat": 1}}', None),
        ('["labels"]', None),
    ],
    ids=["nnU-Net's first version", "a number as a name", "another tool's", "a list"],
)
def test_nnunet_s_classes(tmp_path, text, classes):
    root = draw_pairs(tmp_path / "mine", None, "imagesTr/{}_0000.png", "labelsTr/{}.png")
    write_text(root / "dataset.json", text)
    index = index_of(root)
    assert not problems_of(index)
    assert (dict(index.classes) if index.classes else None) == classes


def test_nnunet_s_channels_are_a_problem_and_its_overlapping_classes_are_not_used(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "imagesTr/{}_0000.png", "labelsTr/{}.png")
    write_image(root / "imagesTr/3_0001.png")
    write_text(root / "dataset.json", '{"numTraining": 10, "labels": {"cat": [1, 2]}}')
    index = index_of(root)
    assert "Classes of dataset.json, not used: the label of 'cat' is [1, 2], not" in notes_of(index)
    found = problems_of(index)
    assert "Images without a mask or other annotation (1): imagesTr/3_0001.png" in found


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/{}.jpg", "parsing/{}.png"),
        ("images/{}.jpg", "parsing/{}_mask.png"),
        ("train/images/{}.jpg", "train/parsing/{}.png"),
        ("images/pug/{}.jpg", "parsing/pug/{}.png"),
    ],
)
@pytest.mark.parametrize("annotations", ["auto", "masks"])
def test_a_folder_whose_files_are_named_like_the_images_has_the_masks(
    tmp_path, image, mask, annotations
):
    index = index_of(draw_pairs(tmp_path / "mine", None, image, mask), annotations=annotations)
    assert not problems_of(index)
    assert len(index.items) == 10
    assert "No folder is named masks; taking parsing, whose files are named" in notes_of(index)
    assert "left out" not in notes_of(index)


@pytest.mark.parametrize("name", ["edges", "depth", "predictions", "SegmentationObject"])
def test_a_folder_of_other_pictures_is_not_taken_for_that_of_the_masks(tmp_path, name):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.jpg", f"{name}/{{}}.png")
    assert "Neither masks nor other annotations were found" in problems_of(index_of(root))


def test_a_folder_of_jpegs_is_not_taken_for_that_of_the_masks(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.jpg", "small/{}.jpg")
    assert "Neither masks nor other annotations were found" in problems_of(index_of(root))


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (
            '{"info": {}, "categories": {"label": {"labels": []}}, "items": [{"annotations": []}]}',
            "Datumaro's JSON",
        ),
        (
            '{"annotations": [{"segments_info": []}], "images": [], "categories": []}',
            "COCO's panoptic JSON",
        ),
        (
            '{"image": {"image_id": 1}, "annotations": [{"segmentation": {"size": [8, 12], "counts": "a"}}]}',
            "Segment Anything's JSON",
        ),
    ],
)
def test_a_json_that_resembles_cocos_has_its_own_name(tmp_path, content, form):
    root = tmp_path / "mine"
    write_image(root / "images/1.png")
    write_text(root / "annotations/default.json", content)
    assert f"petseg doesn't read {form} (1): annotations/default.json" in problems_of(
        index_of(root)
    )


def test_an_archive_may_hold_the_masks(tmp_path):
    root = tmp_path / "mine"
    for place in ("day/1.jpg", "night/2.jpg"):
        write_image(root / place)
    (root / "masks.zip").write_bytes(b"PK")
    assert "Archives that may hold the masks (1): masks.zip; unpack them." in problems_of(
        index_of(root)
    )


@pytest.mark.parametrize("file", ["sites.geojson", "train.csv", "item.json"])
def test_weak_marks_of_other_tools_hide_no_masks(tmp_path, file):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.jpg", "road/{}.png")
    write_text(root / file, '{"type": "FeatureCollection", "EncodedPixels": "<pt>"}')
    assert not problems_of(index_of(root))


@pytest.mark.parametrize("file", ["ann/1.jpg.json", "labels/1.json"])
@pytest.mark.parametrize("name", ["masks_machine", "other"])
def test_beside_other_annotations_a_folder_must_have_a_word_for_masks(tmp_path, name, file):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.jpg", f"{name}/{{}}.png")
    write_text(root / file, '{"objects": [{"classTitle": "cat"}]}')
    problems = problems_of(index_of(root))
    is_refused = f"petseg doesn't read Supervisely's JSON (1): {file}" in problems
    assert is_refused == (name == "other")
    assert bool(problems) == is_refused


@pytest.mark.parametrize(
    ("image", "masks"),
    [
        ("images/{}.jpg", "results/parsing/{}.png"),
        ("images/test/{}.jpg", "parsing/test/{}.png"),
    ],
)
def test_the_innermost_folder_and_categories_called_test(tmp_path, image, masks):
    root = draw_pairs(tmp_path / "mine", None, image, masks)
    draw_pairs(root, None, image.replace("test", "cat"), masks.replace("test", "cat"))
    write_mask(root / "results/depth/1.png")
    write_mask(root / "results/1_legend.png")
    index = index_of(root)
    assert not problems_of(index)
    assert {item.annotation.path.parent.parent.name for item in index.items} <= {
        "results",
        "parsing",
    }


def test_a_folder_with_masks_of_some_images_is_not_left_out_in_silence(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.jpg", "cat/{}.png")
    write_mask(root / "dog/3.png")
    problems = problems_of(index_of(root))
    assert "Folders whose files are named like the images (2): cat, dog; rename" in problems


def test_two_categories_without_annotations_are_not_taken_for_images_and_masks(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "cat/{}.jpg", "dog/{}.jpg")
    assert "Neither masks nor other annotations" in problems_of(index_of(root))


def test_a_number_behind_another_word_is_part_of_the_name(tmp_path):
    root = draw_pairs(tmp_path / "mine", ["cat", "cat_1"], "images/{}.jpg", "masks/{}_mask.png")
    (root / "masks/cat_1_mask.png").rename(root / "masks/cat_mask_1.png")
    index = index_of(root)
    assert not problems_of(index)
    found = {item.image.stem: item.annotation.path.stem for item in index.items}
    assert found == {"cat": "cat_mask", "cat_1": "cat_mask_1"}


def test_a_dataset_json_hides_no_list_of_classes(tmp_path):
    for place in ("a", "b"):
        draw_pairs(tmp_path, None, f"{place}/images/{{}}.jpg", f"{place}/masks/{{}}.png")
        write_text(tmp_path / place / "classes.txt", "no\ncat\n")
    write_text(tmp_path / "dataset.json", '{"name": "pets"}')
    index = index_of(tmp_path)
    assert dict(index.classes) == {"no": (0,), "cat": (1,)}
    assert "Files of other kinds, not read (1): dataset.json" in notes_of(index)


@pytest.mark.parametrize("name", ["lab", "target", "ground", "anno", "semantic"])
@pytest.mark.parametrize("pattern", ["{}_1", "1_{}", "1_{}_2"])
def test_photos_may_have_such_words_in_their_names(tmp_path, name, pattern):
    names = ["1", pattern.format(name), "1_2", *"23456"]
    index = index_of(draw_pairs(tmp_path / "mine", names, "{}.jpg", "{}_mask.png"))
    assert not problems_of(index)
    assert len(index.items) == 8


@pytest.mark.parametrize("name", ["lab", "target", "segm", "anno_2020", "test_lab"])
@pytest.mark.parametrize(
    ("image", "mask"),
    [("{}/images/{{}}.jpg", "{}/masks/{{}}.png"), ("{}/{{}}.jpg", "{}/{{}}_mask.png")],
)
def test_categories_may_have_such_names(tmp_path, name, image, mask):
    root = tmp_path / "mine"
    for category in (name, "office"):
        draw_pairs(root, None, image.format(category), mask.format(category))
    index = index_of(root)
    assert not problems_of(index)
    assert index.categories == sorted((name, "office"))
    assert len(index.items) == 20


@pytest.mark.parametrize(
    ("image", "mask"),
    [("images/image_{}.png", "masks/mask_{}.png"), ("img_{}.jpg", "label_{}.png")],
)
def test_numbers_may_start_at_0000(tmp_path, image, mask):
    names = [f"{number:04}" for number in range(10)]
    root = draw_pairs(tmp_path / "mine", names, image, mask)
    if mask.startswith("masks"):
        write_mask(root / "masks/labels.png")  # a legend
    index = index_of(root)
    assert not problems_of(index)
    assert all(i.image.stem[-4:] == i.annotation.path.stem[-4:] for i in index.items)


def test_a_folder_with_few_of_the_names_is_not_taken_for_that_of_the_masks(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.jpg", "other/{}.png")
    for path in sorted((root / "other").iterdir())[:5]:
        path.unlink()
    assert "Neither masks nor other annotations were found" in problems_of(index_of(root))


def test_lists_of_classes_that_differ_between_splits_are_a_problem(tmp_path):
    root = tmp_path / "mine"
    for number, split in enumerate(("train", "valid", "test")):
        draw_pairs(root, ["1", "2"], f"{split}/{{}}.jpg", f"{split}/{{}}_mask.png")
        write_text(
            root / split / "_classes.csv", f"Pixel Value, Class\n0, a\n{number // 2 + 1}, b\n"
        )
    index = index_of(root)
    assert "Lists of classes that differ from test/_classes.csv (2)" in problems_of(index)
    assert MASK.max() == 1


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("segmentation/images/{}.png", "segmentation/masks/{}.png"),
        ("segmentation/train/images/{}.png", "segmentation/train/masks/{}.png"),
        ("img_dir/train/{}.png", "ann_dir/train/{}.png"),
    ],
)
def test_folders_of_masks_may_have_more_words_or_one_above(tmp_path, image, mask):
    index = index_of(draw_pairs(tmp_path / "mine", None, image, mask))
    assert not problems_of(index)
    assert len(index.items) == 10


def test_a_folder_for_all_images_may_have_a_category_called_mask(tmp_path):
    for name in ("mask/1", "no_mask/1", "mask/2", "no_mask/2"):
        write_image(tmp_path / f"images/{name}.jpg")
        write_labelme(tmp_path / f"images/{name}.json", image=f"{name[-1]}.jpg")
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert len(index.items) == 4


@pytest.mark.parametrize("place", ["boxes/classes.txt", "images/classes.txt", "a/classes.txt"])
def test_lists_of_classes_that_are_not_for_all_masks_do_not_count(tmp_path, place):
    root = draw_pairs(tmp_path / "mine")
    draw_pairs(root, ["11", "12"], "a/images/{}.png", "a/masks/{}.png")
    write_text(root / place, "cat\ndog\n")
    index = index_of(root)
    assert index.classes is None
    assert f"Files of other kinds, not read (1): {place}" in notes_of(index)


@pytest.mark.parametrize("name", ["README.md", "train.py", "dataset.zip", "LICENSE"])
def test_what_lies_next_to_the_only_folder_is_not_in_the_way(tmp_path, name):
    draw_pairs(tmp_path, ["1", "2"], "data/train/images/{}.png", "data/train/masks/{}.png")
    draw_pairs(tmp_path, ["3"], "data/test/images/{}.png", "data/test/masks/{}.png")
    write_text(tmp_path / name, "")
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert {split: len(items) for split, items in index.splits.items()} == {"train": 2, "test": 1}
    assert f"Files next to the folder of the images, not read (1): {name}" in notes_of(index)


def test_what_describes_the_data_next_to_the_only_folder_counts(tmp_path):
    draw_pairs(tmp_path, None, "data/images/{}.png", "data/masks/{}.png")
    write_text(tmp_path / "classes.txt", "background\ncat\n")
    assert index_of(tmp_path).classes_from == "classes.txt"


def test_a_second_version_of_the_masks_is_a_problem(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_mask(root / "masks_v2/3.png")
    expected = "Images with several masks (1): images/3.png (masks/3.png, masks_v2/3.png)"
    assert expected in problems_of(index_of(root))


def test_what_is_in_other_formats_is_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for name in ("3.CR2", "99.psd", ".98.png.icloud", ".notes.md.icloud", "../originals/1.HEIC"):
        write_text(root / "images" / name, "")
    index = index_of(root)
    left_out = "doesn't read, left out (2): images/3.CR2, originals/1.HEIC"
    assert left_out in notes_of(index)
    assert "Images in formats that petseg doesn't read (1): images/99.psd" in problems_of(index)
    assert "Files that are only in iCloud (1): images/.98.png.icloud" in problems_of(index)


@pytest.mark.parametrize("name", ["image_masks", "img_labels", "images_segmentation"])
def test_a_folder_with_words_for_images_and_masks_may_have_the_masks(tmp_path, name):
    root = draw_pairs(tmp_path / "mine", None, "images/{}.png", f"{name}/{{}}.png")
    index = index_of(root)
    assert not problems_of(index)
    assert len(index.items) == 10


def test_a_folder_with_words_for_images_and_masks_may_have_both(tmp_path):
    root = draw_pairs(tmp_path / "mine", None, "images_masks/{}.png", "images_masks/{}_mask.png")
    write_image(root / "logo.png")
    index = index_of(root)
    assert not problems_of(index)
    assert len(index.items) == 10


def test_a_mask_that_only_a_part_of_its_name_matches_is_said_among_others(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"scene_{number}" for number in range(10)])
    (root / "masks/scene_9.png").rename(root / "masks/scene_9_5.png")
    note = "Masks matched by a part of their names, unlike most (1): masks/scene_9_5.png (images/scene_9.png)"
    assert note in notes_of(index_of(root))


@pytest.mark.parametrize("count", [1, 10])
def test_masks_in_formats_that_are_not_read_are_a_problem(tmp_path, count):
    root = draw_pairs(tmp_path / "mine")
    for number in range(count):
        (root / f"masks/{number}.png").rename(root / f"masks/{number}.pgm")
    problem = f"Masks in formats that petseg doesn't read ({count}): masks/0.pgm"
    assert problem in problems_of(index_of(root))


def test_masks_of_single_objects_in_the_folder_of_an_image_are_to_be_merged(tmp_path):
    root = tmp_path / "mine"
    for number in range(6):
        write_image(root / f"{number}/images/{number}.png", number)
        for name in ("a", "b"):
            write_mask(root / f"{number}/masks/{name}{number}.png")
    assert "Masks of single objects (12): 0/masks/a0.png" in problems_of(index_of(root))


def test_categories_may_differ_in_upper_and_lower_case_only(tmp_path):
    index = index_of(draw_pairs(tmp_path / "mine", ["A/0", "a/0", "A/1", "a/1"]))
    assert not problems_of(index)
    for item in index.items:
        assert item.annotation.path.parent.name == item.image.parent.name


def test_folders_that_may_be_train_and_test_are_a_problem(tmp_path):
    names = [f"{folder}/{number}" for folder in ("tr", "te") for number in range(5)]
    root = draw_pairs(tmp_path / "mine", names, "{}.jpg", "{}_mask.png")
    assert "Folders that may name a split (2): te, tr" in problems_of(index_of(root))


@pytest.mark.parametrize(
    ("name", "text", "is_refused"),
    [
        ("classes.txt", "background\ndog\ncat\n", True),
        ("classes.txt", "cat\ndog\n", False),  # of another tool, without the background
        ("class_dict.csv", "name,r,g,b\nbackground,0,0,0\ndog,255,0,0\ncat,0,255,0\n", False),
        ("codes.txt", "\n", False),
    ],
)
def test_lists_of_other_kinds_must_give_classes_the_same_numbers(tmp_path, name, text, is_refused):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "class_names.txt", "background\ncat\ndog\n")
    write_text(root / name, text)
    problems = problems_of(index_of(root))
    if name == "class_dict.csv":  # which comes first
        assert "Lists of classes that differ" not in problems
    else:
        assert (
            f"Lists of classes that differ from class_names.txt (1): {name}" in problems
        ) == is_refused


def test_lists_of_classes_that_cannot_be_read_are_one_problem(tmp_path):
    root = tmp_path / "mine"
    for split in ("train", "valid", "test"):
        draw_pairs(root, None, f"{split}/{{}}.jpg", f"{split}/{{}}_mask.png")
        (root / split / "_classes.csv").write_bytes("Pixel Value, Class\n0, fä\n".encode("latin-1"))
    problem = (
        "Lists of classes that can't be read (3): test/_classes.csv is not UTF-8 text (byte 23),"
    )
    assert problem in problems_of(index_of(root))


def test_names_that_are_not_utf_8_can_be_printed(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    Path(os.fsdecode(bytes(root) + b"/b\xe4r.csv")).write_text("a")
    notes = notes_of(index_of(root))
    assert r"Files of other kinds, not read (1): b\udce4r.csv" in notes
    notes.encode()


def test_a_link_to_itself_is_like_a_broken_one(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    (root / "loop").symlink_to("loop")
    assert "Broken links, pipes and the like (1): loop" in problems_of(index_of(root))


def test_a_file_of_another_format_next_to_the_masks_is_left_out(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "masks/legend.svg", "<svg/>")
    write_text(root / "masks/3.svg", "<svg/>")
    index = index_of(root)
    assert not problems_of(index)
    assert "left out (2): masks/3.svg, masks/legend.svg" in notes_of(index)
    assert "No annotations of the kind coco" in problems_of(index_of(root, annotations="coco"))


@pytest.mark.parametrize("mask", ["photos/image_masks/{}.png", "photos/images/image_masks/{}.png"])
def test_a_folder_for_both_inside_one_for_images_may_have_the_masks(tmp_path, mask):
    root = draw_pairs(tmp_path / "mine", None, "photos/images/{}.jpg", mask)
    write_text(root / "list.txt", "")
    index = index_of(root)
    assert not problems_of(index)
    assert len(index.items) == 10


def test_masks_without_an_image_next_to_a_pair_are_no_objects(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"{category}/1" for category in "abcd"])
    for category in "abcd":
        for number in range(2, 5):
            write_mask(root / f"masks/{category}/{number}.png")
    index = index_of(root)
    assert not problems_of(index)
    assert "Masks without an image, left out (12)" in notes_of(index)


@pytest.mark.parametrize("text", ["1 background\n2 cat\n3 dog\n", "background\ncat\ncat\ndog\n"])
def test_a_list_that_counts_from_1_or_repeats_names_contradicts_no_other(tmp_path, text):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "classes.txt", "background\ncat\ndog\n")
    write_text(root / "labels.txt", text)
    assert not problems_of(index_of(root))
