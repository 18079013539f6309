"""Masks that neither their folder nor their name calls so."""

import numpy as np
import pytest

from support.folders import (
    HEIGHT,
    MASK,
    WIDTH,
    index_of,
    names_by_split,
    notes_of,
    problems_of,
    write_image,
    write_labelme,
    write_mask,
    write_photo,
    write_text,
)

REFUSALS = (
    "Neither masks nor other annotations were found",
    "Folders whose files have the same names (2)",
)


def write_dim_photo(path):
    """Write noise of eight shades of gray."""
    write_mask(path, np.random.default_rng(0).integers(0, 8, (HEIGHT, WIDTH), np.uint8))


def write_small_mask(path):
    write_mask(path, MASK[::2, ::2])


LAYOUTS = {
    "two folders": ("rgb/{}.png", "semantic/{}.png"),
    "folders of any name": ("x/{}.jpg", "y/{}.png"),
    "words that say so only in part": ("tiles/t{}.png", "tiles_masks/t{}.png"),
    "Penn-Fudan": ("PNGImages/p{}.png", "PedMasks/p{}_mask.png"),
    "ISIC": ("ISIC_Task1-2_Training_Input/{}.jpg", "ISIC_Task1_GroundTruth/{}_segmentation.png"),
    "Potsdam": ("2_Ortho_RGB/{}_RGB.tif", "5_Labels_all/{}_label.tif"),
    "another ending": ("scan/{}.png", "roi/{}_r.png"),
    "folders in each category": ("a/left/{}.png", "a/right/{}.png"),
    "categories in each folder": ("left/a/{}.png", "right/a/{}.png"),
    "one folder": ("{}.bmp", "{}_anno.bmp"),
    "one folder, another separator": ("IMG {}.jpg", "IMG {} copy.png"),
    "one folder, two endings": ("{}_HE.png", "{}_sem.png"),
    "one folder, two beginnings": ("rgb_{}.png", "sem_{}.png"),
    "one folder, two suffixes": ("{}.tif", "{}.png"),
    "two folders, two endings": ("rgb/{}_left_rgb.png", "sem/{}_left_sem.png"),
    "two folders, two beginnings": ("color/color_{}.png", "classes/class_{}.png"),
    "photos outside": ("{}.jpg", "sem/{}.png"),
    "a folder in a folder of the same name": ("photo/photo/{}.jpg", "matte-PNG/{}.png"),
    "one folder, a word in all names": ("mask_shop_{}.jpg", "mask_shop_{}_mask.png"),
}
NO_MASKS = {
    "infrared photos of few grays": ("visible/{}.png", "thermal/{}.png", write_dim_photo),
    "small copies": ("photo/{}.png", "icon/{}.png", write_small_mask),
    "photos before and after": ("before/{}.png", "after/{}.png", write_photo),
    "JPEG masks": ("rgb/{}.png", "semantic/{}.jpg", write_mask),
    "edges": ("rgb/{}.png", "edges/{}.png", write_mask),
    "depth among the images": ("{}.png", "{}_depth.png", write_mask),
    "copies with a number": ("{}.png", "{}_2.png", write_mask),
    "photos with an ending": ("{}.png", "{}_right.png", write_photo),
    "other names": ("rgb/{}.png", "semantic/p{}.png", write_mask),
}


def is_refused(problems):
    return any(text in problems for text in REFUSALS)


def draw_photos(root, image, mask, numbers=range(10), write=write_mask):
    """Write images of many colors, and another file for each."""
    for number in numbers:
        write_photo(root / image.format(number), number)
        write(root / mask.format(number))
    return root


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("annotations", ["auto", "masks"])
def test_masks_are_told_from_photos_by_their_names_and_colors(tmp_path, layout, annotations):
    image, mask = LAYOUTS[layout]
    index = index_of(draw_photos(tmp_path / "mine", image, mask), annotations=annotations)
    assert not problems_of(index)
    assert "by the" in notes_of(index) or "by their" in notes_of(index)
    assert "left out" not in notes_of(index)
    found = {item.image: item.annotation.path for item in index.items}
    root = tmp_path / "mine"
    assert found == {root / image.format(n): root / mask.format(n) for n in range(10)}


@pytest.mark.parametrize("case", NO_MASKS)
def test_what_could_be_something_else_is_not_taken_for_masks(tmp_path, case):
    image, other, write = NO_MASKS[case]
    root = draw_photos(tmp_path / "mine", image, other, write=write)
    problems = problems_of(index_of(root))
    assert is_refused(problems)


def test_drawings_are_not_told_from_masks(tmp_path):
    for number in range(10):
        write_image(tmp_path / f"rgb/{number}.png", number)
        write_mask(tmp_path / f"semantic/{number}.png")
    assert is_refused(problems_of(index_of(tmp_path)))


@pytest.mark.parametrize("place", ["{1}_{0}", "{0}/{1}", "{0}_set_{1}", "{0}{1}"])
def test_such_folders_name_splits(tmp_path, place):
    for split, numbers in (("train", range(6)), ("test", range(6, 10))):
        folders = [f"{place.format(split, name)}/{{}}.png" for name in "XY"]
        draw_photos(tmp_path, *folders, numbers)
    index = index_of(tmp_path)
    assert not problems_of(index)
    names = names_by_split(index)
    assert names["train"] == [f"train/{number}.png" for number in range(6)]
    assert names["test"] == [f"test/{number}.png" for number in range(6, 10)]


def test_the_splits_of_a_folder_named_like_the_images(tmp_path):
    for split, numbers in (("train", range(6)), ("test", range(6, 10))):
        draw_photos(tmp_path, f"{split}_img/{{}}.jpg", f"{split}_lab/{{}}.png", numbers)
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert [len(names) for names in names_by_split(index).values()] == [6, 4]
    assert "taking test_lab and train_lab, whose files are named like the" in notes_of(index)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{}_frames/{{}}.png", "{}_masks/{{}}.png"),
        ("{0}_frames/{0}/{{}}.png", "{0}_masks/{0}/{{}}.png"),
        ("frames/{}/{{}}.png", "masks/{}/{{}}.png"),
        ("{}-volume/{{}}.jpg", "{}-labels/{{}}_l.png"),
    ],
)
def test_the_folder_of_the_images_is_found_by_the_names_of_the_masks(tmp_path, image, mask):
    for split, numbers in (("train", range(6)), ("test", range(6, 10))):
        draw_photos(tmp_path, image.format(split), mask.format(split), numbers)
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert [len(names) for names in names_by_split(index).values()] == [6, 4]
    assert "No folder is named images; taking " in notes_of(index)
    assert "left out" not in notes_of(index)


def test_a_single_split_is_no_split(tmp_path):
    root = draw_photos(tmp_path / "mine", "val_rgb/{}.png", "val_sem/{}.png")
    index = index_of(root)
    assert not problems_of(index)
    assert "All images are in folders for val, so" in notes_of(index)


@pytest.mark.parametrize("mask", ["y_{}/{{}}.png", "sem/{}/{{}}.png"])
def test_splits_that_only_masks_have_are_a_problem(tmp_path, mask):
    for split, numbers in (("train", range(6)), ("test", range(6, 10))):
        draw_photos(tmp_path, "images/{}.png", mask.format(split), numbers)
    problems = problems_of(index_of(tmp_path))
    assert "y_test" in problems or "Folders of masks that name splits, unlike" in problems


@pytest.mark.parametrize("other", ["masks_fixed", "cleaned_masks"])
def test_it_is_asked_which_of_two_folders_has_the_masks(tmp_path, other):
    root = draw_photos(tmp_path / "mine", "images/{}.jpg", "masks_orig/{}.png")
    draw_photos(root, "images/{}.jpg", f"{other}/{{}}.png")
    problems = problems_of(index_of(root))
    assert f"Folders whose files are named like the images (2): {other}, masks_orig" in problems


@pytest.mark.parametrize("name", ["right", "nir"])
def test_photos_next_to_the_images_are_no_masks(tmp_path, name):
    root = draw_photos(tmp_path / "mine", "images/{}.png", f"{name}/{{}}.png", write=write_photo)
    assert is_refused(problems_of(index_of(root)))
    draw_photos(root, "images/{}.png", "parsing/{}_p.png")
    index = index_of(root)
    assert not problems_of(index)
    assert "No folder is named masks; taking parsing, whose" in notes_of(index)
    assert f"left out (10): {name}/0.png" in notes_of(index)


def test_copies_of_images_whose_masks_are_left_over_are_left_out(tmp_path):
    root = draw_photos(tmp_path / "mine", "images/{}.jpg", "masks/{}.png")
    for number in range(15):
        write_photo(root / f"full_size/{number}.jpg")
    for number in range(10, 15):
        write_mask(root / f"masks/{number}.png")
    index = index_of(root)
    assert not problems_of(index)
    assert "Masks without an image, left out (5): masks/10.png" in notes_of(index)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/siteA_{}.jpg", "masks/siteB_{}.png"),
        ("images/siteA_{}.jpg", "masks/siteB_mask_{}.png"),
        ("images/{}_left.jpg", "masks/{}_right.png"),
        ("images/P01_{}.jpg", "masks/P02_{}.png"),
    ],
)
def test_masks_of_another_place_are_not_paired(tmp_path, image, mask):
    problems = problems_of(index_of(draw_photos(tmp_path / "mine", image, mask)))
    assert "Images without a mask or other annotation (10)" in problems


def test_patterns_count_only_if_no_mask_fits_otherwise(tmp_path):
    root = draw_photos(tmp_path / "mine", "images/a_{}.jpg", "masks/a_{}_mask.png", range(3))
    for number in range(3, 6):
        write_photo(root / f"images/a_{number}.jpg")
        write_mask(root / f"masks/mask_{number}.png")
    index = index_of(root, unlabeled="skip")
    assert len(index.items) == 3
    assert "Masks without an image, left out (3): masks/mask_3.png" in notes_of(index)


def test_folders_of_two_places_are_not_paired(tmp_path):
    root = draw_photos(tmp_path / "mine", "siteA_photos_all/{}.png", "siteB_masks_all/{}.png")
    assert is_refused(problems_of(index_of(root)))


def test_a_split_in_a_folder_of_another_split_is_refused(tmp_path):
    root = draw_photos(tmp_path / "mine", "training/train_rgb/{}.png", "training/train_sem/{}.png")
    draw_photos(root, "training/val_rgb/{}.png", "training/val_sem/{}.png", range(4))
    assert problems_of(index_of(root))


@pytest.mark.parametrize("names", [("TestTube", "TrainToy"), ("ValIsere", "TestArea")])
def test_words_that_begin_like_splits_name_categories(tmp_path, names):
    for name in names:
        draw_photos(tmp_path, f"{name}/{{}}.jpg", f"{name}/{{}}_mask.png")
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert set(index.categories) == set(names)


def test_a_folder_that_does_not_look_like_masks_is_named(tmp_path):
    root = draw_photos(tmp_path / "mine", "images/{}.png", "cover/{}.png", write=write_photo)
    message = "named like the images, but don't look like masks (1): cover; if one has the masks"
    assert message in problems_of(index_of(root))


def test_a_second_category_is_not_left_out(tmp_path):
    root = draw_photos(tmp_path / "mine", "cat/{}.jpg", "masks/a/{}_mask.png")
    for number in range(10, 16):
        write_photo(root / f"dog/{number}.jpg")
    problems = problems_of(index_of(root))
    assert "Images without a mask or other annotation (16)" in problems


def test_categories_of_the_images_stay_categories(tmp_path):
    for place in ("cat", "dog"):
        draw_photos(tmp_path, f"{place}/{{}}.png", f"masks/{place}/{{}}.png")
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert index.categories == ["cat", "dog"]


def test_the_folder_of_a_category_is_not_that_of_the_images(tmp_path):
    root = draw_photos(tmp_path / "mine", "test/bent/{}.png", "gt/bent/{}_mask.png")
    for number in range(12):
        write_photo(root / f"train/good/{number}.png")
    index = index_of(root)
    assert "No folder is named images" not in notes_of(index)
    assert "Images without a mask or other annotation (22): test/bent/0.png" in problems_of(index)


def test_two_folders_of_images_for_the_same_masks_are_a_problem(tmp_path):
    root = draw_photos(tmp_path / "mine", "train_left/{}.png", "train_masks/{}.png")
    draw_photos(root, "train_right/{}.png", "train_masks/{}.png")
    assert "Images without a mask or other annotation (20)" in problems_of(index_of(root))


def test_a_third_folder_leaves_it_open_which_has_the_masks(tmp_path):
    root = draw_photos(tmp_path / "mine", "rgb/{}.png", "semantic/{}.png")
    draw_photos(root, "rgb/{}.png", "parts/{}.png")
    assert is_refused(problems_of(index_of(root)))


def test_a_few_other_files_are_left_out_which_is_said(tmp_path):
    root = draw_photos(tmp_path / "mine", "rgb/{}.png", "semantic/{}.png")
    write_photo(root / "figures/teaser.png")
    index = index_of(root)
    assert not problems_of(index)
    left_out = "Image files outside of the folders for images, left out (1): figures/teaser.png"
    assert left_out in notes_of(index)


def test_other_annotations_come_first(tmp_path):
    root = draw_photos(tmp_path / "mine", "{}.png", "{}_anno.png")
    write_labelme(root / "1.json", "1.png")
    index = index_of(root)
    assert index.format == "labelme"
    root = draw_photos(tmp_path / "other", "rgb/{}.png", "semantic/{}.png")
    write_text(root / "ann/1.jpg.json", '{"objects": [{"classTitle": "cat"}]}')
    assert "petseg doesn't read Supervisely's JSON" in problems_of(index_of(root))


def test_broken_files_say_nothing(tmp_path):
    root = draw_photos(tmp_path / "mine", "rgb/{}.png", "semantic/{}.png")
    for path in ("rgb/0.png", "semantic/2.png"):
        write_text(root / path, "broken")
    assert not problems_of(index_of(root))
    for number in range(10):
        write_text(root / f"rgb/{number}.png", "broken")
    assert is_refused(problems_of(index_of(root)))


def test_masks_of_images_outside_of_the_folders_for_images_are_a_problem(tmp_path):
    root = draw_photos(tmp_path / "mine", "a/blurred_image/{}.jpg", "a/mask/{}.png", range(6))
    draw_photos(root, "b/image/{}.jpg", "b/mask/{}.png", range(6, 10))
    problems = problems_of(index_of(root))
    assert "Masks of images that aren't in a folder for images (6): a/mask/0.png, " in problems


def test_masks_among_the_images_of_two_folders(tmp_path):
    for folder in ("a", "b"):
        draw_photos(tmp_path, f"{folder}/{{}}.png", f"{folder}/{{}}-labelled.png", range(5))
    index = index_of(tmp_path)
    assert not problems_of(index)
    assert index.categories == ["a", "b"]
    assert "taking *-labelled for the masks of *, by their names and pixels" in notes_of(index)


def test_nnunet_s_folders_of_two_data_sets_are_refused(tmp_path):
    for name in ("Dataset001_A", "Dataset002_B"):
        draw_photos(tmp_path, f"{name}/imagesTr/{{}}_0000.png", f"{name}/labelsTr/{{}}.png")
    assert is_refused(problems_of(index_of(tmp_path)))
