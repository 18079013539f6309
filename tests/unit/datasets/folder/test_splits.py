"""Which split each image of a folder is in: by folders, by lists, or by hash."""

import os
import unicodedata

import pytest

from support.folders import (
    draw_pairs,
    index_of,
    names_by_split,
    notes_of,
    problems_of,
    write_coco,
    write_image,
    write_mask,
    write_text,
)
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "list with an unknown name": "Lines of lists that name no image, or more than one (1): 'pug/77.png' (test.txt, line 2); fix or remove them.",
    "list with a path outside the folder": "Lines of lists that name no image, or more than one (1): '../../etc/passwd' (test.txt, line 2); fix or remove them.",
    "list with a name that two images have": "Lines of lists that name no image, or more than one (1): '1' (test.txt, line 2); fix or remove them.",
    "list with a duplicate": "Lines that list an image again (1): 'pug/0' (test.txt, line 2); remove them.",
    "lists that share an image": "Lines that list an image again (1): 'pug/0' (val.txt, line 1); remove them.",
    "empty list": "No images for the test split; add images, or change the lists or dataset.folder.test_fraction.",
    "list that names every image": "No images for the train split; add images, or change the lists or dataset.folder.test_fraction.",
    "one image": "No images for the train split; add images, or change the lists or dataset.folder.test_fraction.",
    "images outside of the folders of the splits": "Images outside of the folders of the splits (1): images/loose.png; move them into one.",
    "list that is not UTF-8": "Lists that can't be read (1): test.txt is not UTF-8 text (byte 3); fix or remove them.",
    "list with CRLF, comments and a byte order mark": "Read.",
    "list with other forms of names": "Read: without suffix, with ./ or \\, with folders in front, absolute, if only one image fits.",
    "list in UTF-16, or called test_list.txt": "Read.",
    "splits in a table or JSON": "Files that may name the splits, in a form or a place that petseg doesn't read (1): splits.json; write the names to train.txt, val.txt and test.txt, one a line, or remove the files.",
    "splits in a column of a table": "Files that may name the splits, in a form or a place that petseg doesn't read (1): metadata.csv; write …",
    "splits in a file of another form": "Files that may name the splits, in a form or a place that petseg doesn't read (7): eval_partition.txt, meta.csv, metadata.jsonl, ...; write …",
    "lists in a folder that petseg doesn't know": "Files that may name the splits, in a form or a place that petseg doesn't read (1): ImageSets/2017/val.txt; write …",
    "splits of patients, scenes or videos, in a table, JSON or list": "Files that may name the splits, in a form or a place that petseg doesn't read (4): ImageSets/2017/val.txt, patients.csv, splits.json, ...; write …",
    "list that gives images other masks": "Lines of lists that pair an image with a mask other than the one found by its name (1): 'images/pug/1.png aug/1.png' (test.txt, line 2); name the masks in the lists like their images and remove the others, or remove them from the lists.",
    "list that names folders": "Lines of lists that name a folder or a prefix instead of an image (2): 'bear' (test.txt, line 1), 'p07' (test.txt, line 2); list their images, one a line.",
    "folders that may name splits": "Folders that may name a split (2): images/my test, images/my train; name them train, val and test, at the top or directly in the folders of images and masks.",
    "image in no list": "In the training split if there is no train.txt; else left out, and petseg says so.",
    "no test split": "Drawn by a hash of the names, and petseg says so.",
}  # fmt: skip

SPLIT_FILES = {
    "train_test_split.txt": "1 0\n2 1\n3 0\n4 0\n5 0\n",
    "eval_partition.txt": "0.png 2\n",
    "prueba.csv": "file\npug/0.png\n",
    "split.yaml": "test: [pug/0, '#1']\n",
    "set.json": '{"training": ["0.png"], "test": ["1.png"]}',
    "metadata.jsonl": '{"file_name": "0.png", "split": "test"}\n{"file_name": "1.png"}\n',
    "meta.csv": "file,is_test\n0.png,0\n1.png,1\n",
}
NAMES = ["pug/0", "pug/1", "beagle/1", "beagle/2", "#1"]
LAYOUTS = {
    "images/train": ("images/{split}/{name}.png", "masks/{split}/{name}.png"),
    "train/images": ("{split}/images/{name}.png", "{split}/masks/{name}.png"),
    "train_images": ("{split}_images/{name}.png", "{split}_masks/{name}.png"),
    "one folder": ("{split}/{name}.jpg", "{split}/{name}_mask.png"),
}


def draw_splits(root, layout, names, test="test", val="val"):
    """Draw one image per split."""
    image, mask = LAYOUTS[layout]
    for number, (split, name) in enumerate(zip(("train", val, test), names, strict=True)):
        write_image(root / image.format(split=split, name=name), number)
        write_mask(root / mask.format(split=split, name=name))
    return root


@pytest.mark.parametrize("place", ["train/val/{}", "{}/trainval/val"])
def test_a_split_inside_of_another_is_a_problem(tmp_path, place):
    root = draw_pairs(tmp_path / "mine", ["1", "2"], "train/images/{}.png", "train/masks/{}.png")
    draw_pairs(root, ["3"], place.format("images") + "/{}.png", place.format("masks") + "/{}.png")
    problems = problems_of(index_of(root))
    expected = f"Folders that may name a split (1): {place.format('images')}; name them train,"
    assert expected in problems


def test_a_list_that_is_not_used_does_not_stand_for_a_split(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"train/{n}" for n in range(20)])
    draw_pairs(root, ["val/1"])
    write_text(root / "test.txt", "train/0\n")
    index = index_of(root)
    assert not problems_of(index)
    assert "Lists that aren't used, since the splits are known already (1)" in notes_of(index)
    assert len(index.splits["test"]) > 0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("val", ["val", "valid", "Validation", "val2017", "val set"])
def test_folders_name_the_splits(tmp_path, layout, val):
    index = index_of(draw_splits(tmp_path / "mine", layout, ["a/1", "a/1", "b/2"], val=val))
    assert not problems_of(index)
    suffix = "jpg" if layout == "one folder" else "png"
    assert names_by_split(index) == {
        "train": [f"train/a/1.{suffix}"],
        "val": [f"val/a/1.{suffix}"],
        "test": [f"test/b/2.{suffix}"],
    }
    assert index.categories == ["a", "b"]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("{0}/1.png", "{0}annot/1.png"),  # CamVid, as SegNet has it
        ("{0}/{0}_img/1.png", "{0}/{0}_msk/1.png"),
        ("{0}Images/1.png", "{0}Masks/1.png"),
    ],
)
def test_words_of_a_split_and_of_masks_may_be_glued_or_repeated(tmp_path, image, mask):
    draw_pairs(tmp_path / "mine", ["train", "test"], image, mask)
    index = index_of(tmp_path / "mine")
    assert not problems_of(index)
    assert names_by_split(index) == {"train": ["train/1.png"], "test": ["test/1.png"]}


@pytest.mark.parametrize(
    "folders",
    [
        ("entrenamiento", "validación", "prueba"),
        ("Training", "Validierung", "Prüfung"),
        ("treino", "validação", "teste"),
        ("entraînement", "eval", "holdout"),
        ("TrainingData", "ValidationData", "TestingData"),
        ("Trainingsdaten", "Validierungsdaten", "Testdaten"),
    ],
)
def test_splits_may_be_named_in_other_languages(tmp_path, folders):
    draw_pairs(tmp_path / "mine", [f"{folder}/1" for folder in folders])
    index = index_of(tmp_path / "mine")
    assert not problems_of(index)
    assert {split: len(names) for split, names in names_by_split(index).items()} == {
        "train": 1, "val": 1, "test": 1
    }  # fmt: skip


@pytest.mark.parametrize("name", ["cat (2).jpg", "cat copy.jpg"])
def test_a_line_with_a_name_of_several_words_is_not_the_image_of_the_first(tmp_path, name):
    root = draw_pairs(tmp_path / "mine", ["cat", "dog", "pug"], "images/{}.jpg")
    write_text(root / "test.txt", f"{name}\ndog\n")
    expected = f"Lines of lists that name no image, or more than one (1): {name!r} (test.txt, line"
    assert expected in problems_of(index_of(root))


GROUPED = [*(f"p{i:02}_{j}" for i in range(8) for j in range(3)), "bear/1", "bear/2", "wolf/1"]


def test_splits_of_patients_or_videos_are_not_lost(tmp_path):
    root = draw_pairs(tmp_path / "mine", GROUPED, "images/{}.jpg", "masks/{}.png")
    write_text(root / "splits.json", '{"train": ["p01", "p02"], "test": ["p03", "p04"]}')
    write_text(root / "patients.csv", "patient,split\np01,train\np02,train\np03,test\n")
    write_text(root / "test_patients.csv", "patient\np05\np06\n")
    write_text(root / "ImageSets/2017/val.txt", "bear\np07\n")
    expected = CASES["splits of patients, scenes or videos, in a table, JSON or list"]
    assert matches(expected, problems_of(index_of(root)), root)


def test_a_list_may_not_give_an_image_another_mask(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_mask(root / "aug/1.png")
    lines = [
        "images/pug/0.png masks/pug/0.png",
        "images/pug/1.png aug/1.png",
        "beagle/1.png masks/nowhere.png",
    ]
    write_text(root / "test.txt", "\n".join(lines))
    assert matches(CASES["list that gives images other masks"], problems_of(index_of(root)), root)


@pytest.mark.parametrize(
    "line", ["my pug 1.png", "'my pug 1.png'", "my pug 1.png masks/my pug 1.png"]
)
def test_a_name_with_blanks_is_no_other_mask(tmp_path, line):
    root = draw_pairs(tmp_path / "mine", ["my pug 1", "1", "2", "3"])
    write_text(root / "test.txt", f"{line}\n2.png masks/2.png\n")
    assert not problems_of(index_of(root))


def test_a_list_may_not_name_folders(tmp_path):
    root = draw_pairs(tmp_path / "mine", GROUPED, "images/{}.jpg", "masks/{}.png")
    write_text(root / "test.txt", "bear\np07\np06_1\n")
    assert matches(CASES["list that names folders"], problems_of(index_of(root)), root)


HARMLESS = {
    "config.yaml": "train: {batch_size: 8, epochs: 10, rate: 0.1}\nval: {batch_size: 1}\n",
    "dataset_info.json": '{"created": "2022", "train": {"prefix": "scene2"}, "test": {"class": "cat"}}',
    "val_loss.csv": "epoch,loss\n" + "".join(f"{epoch},0.5\n" for epoch in range(9)),
    "test_ids.csv": "id,class\n77,cat\n78,dog\n",
    "curves.csv": "file,train,test\nscene2_0,0.91,0.84\nscene2_1,0.93,0.85\n",
    "exif.csv": "file,set\nscene2_0,0\nscene2_1,1\n",
    "metadata.csv": "file,state\nscene2_0,VA\nscene2_1,TE\n",
}


@pytest.mark.parametrize("file", HARMLESS)
def test_a_file_that_says_nothing_about_splits_is_no_problem(tmp_path, file):
    names = [
        f"{kind}/{year}/scene2_{i}" for i in range(4) for kind, year in (("cat", 2022), ("dog", 8))
    ]
    root = draw_pairs(tmp_path / "mine", names, "images/{}.jpg", "masks/{}.png")
    write_text(root / file, HARMLESS[file])
    assert not problems_of(index_of(root))


@pytest.mark.parametrize(
    "line",
    [
        "images/pug/1.png masks/pug/1.png",
        "/home/me/images/pug/1.png,/home/me/MASKS/pug/1.png",
        "'images/pug/1.png' 'masks/pug/1.png' depth/1.png",
        "images/pug/1.png depth/1.png 0.5",
        "images/pug/1.png 1.png 1",
    ],
)
def test_a_list_may_give_an_image_its_own_mask_and_more(tmp_path, line):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_image(root / "depth/1.png")
    write_text(root / "test.txt", f"{line}\n")
    assert not problems_of(index_of(root))


@pytest.mark.parametrize(
    "line",
    [
        "mine/images/pug/1.png mine/aug/1.png",
        '"images/pug/1.png","aug/1.png"',
        "images/pug/1.png;../AUG/1.png",
        "images\\pug\\1.png aug\\1.png",
    ],
)
def test_another_mask_is_noticed_however_its_path_is_written(tmp_path, line):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_mask(root / "aug/1.png")
    write_text(root / "test.txt", f"{line}\n")
    assert "Lines of lists that pair an image with a mask other than" in problems_of(index_of(root))


def test_polygons_may_have_rendered_masks_in_lists(tmp_path):
    root = tmp_path / "mine"
    for number in range(4):
        write_image(root / f"images/{number}.png", number)
        write_mask(root / f"rendered/{number}.png")
    write_coco(root / "coco.json", [f"{number}.png" for number in range(4)])
    write_text(root / "test.txt", "images/1.png rendered/1.png\n")
    assert not problems_of(index_of(root, annotations="coco"))


def test_decomposed_letters_move_no_image_between_splits(tmp_path):
    splits = []
    for form in ("NFC", "NFD"):
        names = [unicodedata.normalize(form, f"Müsli_{number}") for number in range(20)]
        splits.append(names_by_split(index_of(draw_pairs(tmp_path / form, names))))
    assert splits[0] == splits[1]


@pytest.mark.parametrize(
    "table",
    [
        "file,split\n0.png,0\n1.png,1\n2.png,2\n",
        "file,subset\n0.png,trn\n1.png,tst\n",
        "file,train,val,test\n0.png,1,0,0\n1.png,0,0,1\n",
    ],
)
def test_columns_of_splits_may_hold_numbers_or_short_words(tmp_path, table):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / "info.csv", table)
    assert "Files that may name the splits" in problems_of(index_of(root))


def test_a_list_with_a_short_name_beside_others_is_not_lost(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / "val.txt", "pug/0\n")
    write_text(root / "tst.txt", "pug/1\n")
    problems = problems_of(index_of(root))
    assert (
        "Files that may name the splits, in a form or a place that petseg doesn't read (1): tst"
        in problems
    )


UNRELATED_FILES = {
    "requirements-dev.txt": "pytest\n",
    "test_report.txt": "mean IoU 0.9\n",
    "config.yaml": "train: 0.8\nval: 0.2\n",
    "history.json": '{"train": [0.5, 0.4], "val": [0.6, 0.5]}',
    "metadata.csv": "file,is_valid\npug/0.png,1\npug/1.png,0\n",
    "ann/test_0.png.json": '{"image": "test_0.png"}',
}


def test_other_files_do_not_look_like_splits(tmp_path):
    root = draw_pairs(tmp_path / "mine", [*NAMES, "test_0"])
    for name, text in UNRELATED_FILES.items():
        write_text(root / name, text)
    index = index_of(root)
    assert not problems_of(index)
    assert "Files of other kinds, not read (6)" in notes_of(index)


def test_lists_may_be_named_after_every_word_for_a_split(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for name, lines in (("entrenamiento", "0123456"), ("validacion", "78"), ("prueba", "9")):
        write_text(root / f"{name}.txt", "\n".join(lines))
    assert {split: len(names) for split, names in names_by_split(index_of(root)).items()} == {
        "train": 7, "val": 2, "test": 1
    }  # fmt: skip


@pytest.mark.parametrize("lines", ["7\n8\n", "mean IoU 0.9\n"])
def test_a_list_of_unsure_name_next_to_another_is_a_problem_if_it_names_images(tmp_path, lines):
    root = draw_pairs(tmp_path / "mine", [f"p{n}" for n in range(10)])
    write_text(root / "test.txt", "p9\n")
    write_text(root / "eval.txt", lines.replace("7", "p7").replace("8", "p8"))
    problems = problems_of(index_of(root))
    assert ("in a form or a place that petseg doesn't read (1): eval.txt" in problems) == (
        "IoU" not in lines
    )


def test_folders_of_one_split_that_hold_all_images_are_categories(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"prueba{n % 3}/{n}" for n in range(12)])
    index = index_of(root)
    assert not problems_of(index)
    assert "All images are in folders for test, so these count as categories" in notes_of(index)
    assert index.categories == ["prueba0", "prueba1", "prueba2"]


def test_names_that_begin_with_a_split_are_said(tmp_path):
    names = [f"{split}_{n}" for split in ("train", "testA", "testB") for n in range(4)]
    index = index_of(draw_pairs(tmp_path / "mine", names))
    assert "Names that begin with a split, drawn by hash all the same (12)" in notes_of(index)


@pytest.mark.parametrize("place", ["", "train/"])
def test_copies_by_roboflow_are_said_unless_they_stay_together(tmp_path, place):
    names = [f"{place}{photo}_jpg.rf.{copy * 9}" for photo in "uvwxyz" for copy in "abc"]
    root = draw_pairs(tmp_path / "mine", names)
    if place:
        draw_pairs(root, ["valid/a_jpg.rf.aaa", "valid/b_jpg.rf.aaa"])
    what = f"Roboflow has made several, drawn one by one into the splits (6): {place}u_jpg"
    assert what in notes_of(index_of(root))
    index = index_of(root, group=r"(.*)\.rf\.")
    assert what not in notes_of(index)
    splits = {k: {name.split(".rf.")[0] for name in v} for k, v in names_by_split(index).items()}
    assert splits["train"].isdisjoint(splits["test"])


def test_a_category_that_is_called_train_is_no_split(tmp_path):
    categories = ["bus", "car", "train"]
    names = [f"{category}/{number}" for category in categories for number in range(9)]
    index = index_of(draw_pairs(tmp_path / "mine", names))
    assert not problems_of(index)
    assert index.categories == categories
    assert "counts as a category, not as a split" in notes_of(index)
    assert sorted(item.name for item in index.items) == sorted(f"{name}.png" for name in names)


def test_lists_give_way_to_folders_which_is_said(tmp_path):
    root = draw_splits(tmp_path / "mine", "images/train", "123")
    write_text(root / "test.txt", "1\n")
    index = index_of(root)
    assert names_by_split(index)["test"] == ["test/3.png"]
    assert "Lists that aren't used, since the splits are known already (1): test.txt" in notes_of(
        index
    )


@pytest.mark.parametrize(
    "form",
    ["pug/0.png", "pug/0", "0", "0.png", "pug\\0.png", "./pug/0.png", "images/pug/0.png",
     "../images/pug/0.png", '"pug/0.png"', "pug/0.png,masks/pug/0_mask.png", "PUG/0.PNG", "pug/0.jpg", "/home/me/data/images/pug/0.png", "images/pug/0.png masks/pug/0.png", "pug/0 0.png"],
)  # fmt: skip
@pytest.mark.parametrize("place", ["", "splits/", "ImageSets/Segmentation/"])
def test_a_list_may_name_images_in_any_unambiguous_form(tmp_path, form, place):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / f"{place}test.txt", f"{form}\n")
    index = index_of(root)
    assert not problems_of(index)
    assert names_by_split(index)["test"] == ["pug/0.png"]
    assert len(names_by_split(index)["train"]) == 4
    assert CASES["list with other forms of names"]
    assert CASES["image in no list"]


def test_a_validation_list_is_the_validation_split(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / "val.txt", "pug/1\n")
    write_text(root / "test.txt", "pug/0\n")
    splits = names_by_split(index_of(root))
    assert (splits["val"], splits["test"]) == (["pug/1.png"], ["pug/0.png"])
    assert len(splits["train"]) == 3


def test_with_a_training_list_other_images_are_left_out(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / "train.txt", "pug/1\nbeagle/1\n")
    write_text(root / "test.txt", "pug/0\n")
    index = index_of(root)
    assert [len(names) for names in names_by_split(index).values()] == [2, 1]
    assert "Images in no list, left out (2): images/#1.png, images/beagle/2.png" in notes_of(index)


def test_trainval_counts_only_without_train_and_val(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / "trainval.txt", "pug/1\nbeagle/1\nbeagle/2\n")
    write_text(root / "test.txt", "pug/0\n")
    assert len(names_by_split(index_of(root))["train"]) == 3
    write_text(root / "train.txt", "pug/1\n")
    write_text(root / "val.txt", "beagle/1\n")
    assert names_by_split(index_of(root))["train"] == ["pug/1.png"]


def test_lists_in_a_second_place_are_not_used_which_is_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "test.txt", "3\n")
    write_text(root / "splits/test.txt", "5\n")
    index = index_of(root)
    assert names_by_split(index)["test"] == ["3.png"]
    assert "Lists that aren't used, since others come first (1): splits/test.txt" in notes_of(index)


def test_a_list_may_have_comments_crlf_and_a_byte_order_mark(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    text = b"\xef\xbb\xbf# a comment\r\npug/0.png\r\n\r\n#1.png\r\n"
    (root / "test.txt").write_bytes(text)
    index = index_of(root)
    assert not problems_of(index)
    assert names_by_split(index)["test"] == ["#1.png", "pug/0.png"]
    assert CASES["list with CRLF, comments and a byte order mark"]


@pytest.mark.parametrize("name", ["test_list.txt", "lists/test.lst", "TestFiles.txt", "test.txt"])
def test_lists_may_be_in_utf_16_and_have_longer_names(tmp_path, name):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / name, "").write_bytes("pug/0.png\r\n".encode("utf-16"))
    index = index_of(root)
    assert not problems_of(index)
    assert names_by_split(index)["test"] == ["pug/0.png"]
    assert CASES["list in UTF-16, or called test_list.txt"]


def test_files_that_are_not_read_are_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    for name in ("test.txt", "classes.json", "train.csv", "README.txt", "notes.md"):
        write_text(root / name, "3")
    index = index_of(root)
    assert not problems_of(index)
    assert "Files of other kinds, not read (2): classes.json, train.csv." in notes_of(index)


def write_lists(**lists):
    return lambda root: [write_text(root / f"{name}.txt", text) for name, text in lists.items()]


REJECTED = {
    "list with an unknown name": write_lists(test="pug/0\npug/77.png\n"),
    "list with a path outside the folder": write_lists(test="pug/0\n../../etc/passwd\n"),
    "list with a name that two images have": write_lists(test="pug/0\n1\n"),
    "list with a duplicate": write_lists(test="pug/0\npug/0\n"),
    "lists that share an image": write_lists(val="pug/0\n", test="pug/0.png\nbeagle/1\n"),
    "list that names every image": write_lists(test="\n".join(NAMES)),
    "splits in a table or JSON": lambda root: write_text(
        root / "splits.json", '{"test": ["pug/0"]}'
    ),
    "splits in a column of a table": lambda root: write_text(
        root / "metadata.csv", 'file;"Split"\n0.png;train\n'
    ),
    "splits in a file of another form": lambda root: [
        write_text(root / name, text) for name, text in SPLIT_FILES.items()
    ],
    "lists in a folder that petseg doesn't know": lambda root: write_text(
        root / "ImageSets/2017/val.txt", "pug/0\n"
    ),
    "folders that may name splits": lambda root: [
        (root / kind / name).rename(root / kind / f"my {split}")
        for kind in ("images", "masks")
        for name, split in (("pug", "train"), ("beagle", "test"))
    ],
    "images outside of the folders of the splits": lambda root: (
        draw_splits(root, "images/train", "123"),
        [(root / "images" / f"{name}.png").unlink() for name in NAMES],
        write_image(root / "images/loose.png"),
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_lists_and_folders_that_contradict_are_a_problem(tmp_path, case):
    root = draw_pairs(tmp_path / "mine", NAMES)
    REJECTED[case](root)
    problems = problems_of(index_of(root)).splitlines()
    assert any(matches(CASES[case], problem, tmp_path) for problem in problems), problems


def test_a_list_that_is_not_text_is_a_problem_among_others(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    (root / "test.txt").write_bytes(b"caf\xe9.png\n")
    (root / "masks/pug/0.png").unlink()
    problems = problems_of(index_of(root)).splitlines()
    assert matches(CASES["list that is not UTF-8"], problems[0], tmp_path)
    assert problems[1].startswith("Images without a mask")


@pytest.mark.parametrize(("names", "case"), [(["1"], "one image"), (NAMES, "empty list")])
def test_a_split_without_images_is_a_problem(tmp_path, names, case):
    root = draw_pairs(tmp_path / "mine", names)
    if case == "empty list":
        write_text(root / "test.txt", "")
    problems = problems_of(index_of(root))
    assert matches(CASES[case], problems, tmp_path), problems


def test_without_a_list_a_fraction_of_the_images_is_the_test_split(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"{number}" for number in range(100)])
    names = {}
    for fraction in (0.2, 0.5, 0.8):
        index = index_of(root, test_fraction=fraction)
        splits = names_by_split(index)
        names[fraction] = set(splits["test"])
        assert len(names[fraction]) == pytest.approx(100 * fraction, abs=12)
        assert len(splits["train"]) == 100 - len(names[fraction])
        assert f"{len(names[fraction])} of 100 images are drawn by a hash" in notes_of(index)
    assert names[0.2] < names[0.5] < names[0.8]
    assert CASES["no test split"]


def test_a_split_that_the_folder_lacks_is_drawn_from_its_training_images(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"train/{n}" for n in range(20)])
    draw_pairs(root, [f"val/{n}" for n in range(5)])
    splits = names_by_split(index_of(root))
    assert len(splits["val"]) == 5
    assert 0 < len(splits["test"]) < 20
    assert all(name.startswith("train/") for name in splits["test"])


def test_images_of_one_group_stay_in_one_split(tmp_path):
    names = [f"video{video}_frame{frame}" for video in range(12) for frame in range(5)]
    index = index_of(draw_pairs(tmp_path / "mine", names), group="(.*)_frame")
    videos = [{name.split("_")[0] for name in names} for names in names_by_split(index).values()]
    assert not videos[0] & videos[1]
    assert len(videos[0]) + len(videos[1]) == 12
    assert "of 60 images, in 12 groups, are drawn by a hash" in notes_of(index)


def test_a_group_that_the_folders_own_splits_divide_is_said(tmp_path):
    names = ["train/a_f1", "train/b_f1", "train/1", "val/c_f1", "test/a_f2", "test/1", "test/b_f2"]
    root = draw_pairs(tmp_path / "mine", names)
    found = "Groups of dataset.folder.group that the folder's own splits divide"
    notes = notes_of(index_of(root, group="(.*)_f"))
    assert f"{found} (2): a, b; if their images are alike, the scores will be too good" in notes
    assert found not in notes_of(index_of(root))


def test_groups_are_not_divided_by_a_split_that_is_drawn(tmp_path):
    names = [f"train/{group}_{n}" for group in "abcdef" for n in range(3)]
    root = draw_pairs(tmp_path / "mine", [*names, "val/x_1"])
    assert "own splits divide" not in notes_of(index_of(root, group="^([a-z]+)_"))


def test_few_groups_still_give_a_test_split(tmp_path):
    names = [f"video{video}_frame{frame}" for video in range(2) for frame in range(5)]
    for seed in range(5):
        root = draw_pairs(tmp_path / str(seed), [f"{seed}{name}" for name in names])
        splits = names_by_split(index_of(root, group="(.*)_frame", test_fraction=0.001))
        assert [len(names) for names in splits.values()] == [5, 5]


def test_names_outside_of_all_groups_are_said(tmp_path):
    names = [*(f"video{n}_frame1" for n in range(9)), "loose"]
    index = index_of(draw_pairs(tmp_path / "mine", names), group="(.*)_frame")
    assert "Names that dataset.folder.group doesn't match, each its own (1): loose.png" in notes_of(
        index
    )


def test_a_link_to_a_folder_is_said(tmp_path):
    root = draw_pairs(tmp_path / "mine")
    (root / "masks").rename(tmp_path / "elsewhere")
    (root / "masks").symlink_to(tmp_path / "elsewhere")
    index = index_of(root)
    assert not problems_of(index)
    assert "Linked folders (1): masks; DVC sees no change in them" in notes_of(index)


def test_a_link_to_a_folder_is_followed(tmp_path):
    root = draw_pairs(tmp_path / "elsewhere")
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("images", "masks"):
        os.symlink(root / name, mine / name)
    assert len(index_of(mine).items) == 10


@pytest.mark.parametrize(
    "name", ["{}.txt", "list_{}.txt", "autosplit_{}.txt", "ImageSets/Main/{}.txt"]
)
def test_lists_have_several_names(tmp_path, name):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / name.format("train"), "pug/0\npug/1\n#1\n")
    write_text(root / name.format("val"), "beagle/1\n")
    write_text(root / name.format("test"), "beagle/2\n")
    splits = names_by_split(index_of(root))
    assert splits["val"] == ["beagle/1.png"]
    assert splits["test"] == ["beagle/2.png"]


def test_skipped_test_images_are_replaced(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"train/{n}" for n in range(20)])
    for number in range(5):
        write_image(root / f"images/test/{number}.png", 50 + number)
    index = index_of(root, unlabeled="skip")
    assert not problems_of(index)
    splits = names_by_split(index)
    assert 0 < len(splits["test"]) < 20
    assert all(name.startswith("train/") for name in splits["test"])
    assert "Images without a mask or other annotation, left out (5): images/test" in notes_of(index)
    assert f"{len(splits['test'])} of 20 images are drawn by a hash" in notes_of(index)


def test_skipped_images_of_a_test_list_are_replaced(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"{n}" for n in range(20)])
    for number in range(20, 25):
        write_image(root / f"images/{number}.png", number)
    write_text(root / "test.txt", "".join(f"{n}\n" for n in range(20, 25)))
    index = index_of(root, unlabeled="skip")
    assert not problems_of(index)
    assert all(names_by_split(index).values())


def test_a_category_may_be_called_like_a_split(tmp_path):
    names = [f"{split}/{kind}/1" for split in ("train", "val", "test") for kind in ("bus", "train")]
    index = index_of(draw_pairs(tmp_path / "mine", names))
    assert not problems_of(index)
    assert names_by_split(index)["val"] == ["val/bus/1.png", "val/train/1.png"]


def test_a_table_of_folds_names_no_split(tmp_path):
    root = draw_pairs(tmp_path / "mine", NAMES)
    write_text(root / "patients.csv", "image,fold,split\npug/0,1,a\npug/1,2,b\n")
    assert not problems_of(index_of(root))


def test_a_json_of_no_split_beside_one_of_test_is_for_training(tmp_path):
    root = tmp_path / "mine"
    for number in range(10):
        write_image(root / f"{number}.png", number)
    write_coco(root / "annotations.json", [f"{n}.png" for n in range(7)])
    write_coco(root / "test.json", [f"{n}.png" for n in range(7, 10)])
    index = index_of(root)
    assert not problems_of(index)
    assert [len(names) for names in names_by_split(index).values()] == [7, 3]


def test_a_line_of_an_image_and_a_mask_stands_for_the_image(tmp_path):
    names = [f"{number}" for number in range(10)]
    root = draw_pairs(tmp_path / "mine", names, "images/{}.jpg", "images/{}_mask.png")
    lines = [f"images/{number}.jpg images/{number + 1}.jpg\n" for number in range(3)]
    write_text(root / "train.txt", "".join(lines))
    write_text(root / "test.txt", "images/7.jpg\n")
    index = index_of(root)
    assert names_by_split(index)["train"] == ["0.jpg", "1.jpg", "2.jpg"]


def test_quoted_names_may_contain_blanks(tmp_path):
    root = draw_pairs(tmp_path / "mine", [f"cat {number}" for number in range(10)])
    lines = [f'"images/cat {n}.png" "masks/cat {n}.png"\n' for n in range(3)]
    write_text(root / "train.txt", "".join(lines) + "'cat 3.png', 'cat 3_mask.png'\n")
    write_text(root / "test.txt", '"cat 7"\n')
    splits = names_by_split(index_of(root))
    assert splits["train"] == [f"cat {n}.png" for n in range(4)]
    assert splits["test"] == ["cat 7.png"]
