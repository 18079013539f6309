"""The stage download: each data set is prepared whole or not at all."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.datasets import folder_builder
from petseg.datasets.prepare import prepare_dataset
from petseg.datasets.synthetic.draw import draw_pet
from petseg.raw import count_examples, read_dataset_info
from support.datasets import (
    decoded,
    draw_masks_folder,
    draw_oxford_folder,
    examples,
    folder_params,
    save,
)
from support.folders import draw_pairs, write_text
from support.image_files import exif
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "image removed while the folder is read": "mine/images/pug/2.png can't be read as an image (No such file or directory); fix or remove it.",
}  # fmt: skip


def test_synthetic_pets_are_stored_exactly(tiny_params, tiny_raw):
    assert read_dataset_info(tiny_raw).class_names == ("pet", "background", "border")
    train, info = examples(tiny_raw, "train")
    test, _ = examples(tiny_raw, "test")
    assert (len(train), len(test)) == (40, 8)
    assert not set(train) & set(test)
    assert len(info.features["label"].names) == 37
    image, trimap, breed = draw_pet(0, 7, tiny_params.dataset.synthetic_pets.size)
    example = train["breed_07_7.png"]
    assert np.array_equal(decoded(example["image"], 3), image)
    assert np.array_equal(decoded(example["segmentation_mask"], 1)[..., 0], trimap)
    assert example["label"] == breed


def test_the_test_split_does_not_depend_on_the_number_of_training_images(
    tiny_params, tiny_raw, tmp_path
):
    fewer = tiny_params.dataset.synthetic_pets.model_copy(update={"trainval": 5})
    params = tiny_params.dataset.model_copy(update={"synthetic_pets": fewer})
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    few, many = examples(tmp_path / "raw", "test")[0], examples(tiny_raw, "test")[0]
    assert {name: example["image"] for name, example in few.items()} == {
        name: example["image"] for name, example in many.items()
    }
    assert len(examples(tmp_path / "raw", "train")[0]) == 5


def test_preparing_again_gives_the_same_bytes(tiny_params, tiny_raw, tmp_path):
    prepare_dataset(tiny_params.dataset, tmp_path / "raw", tmp_path)
    files = [path.relative_to(tiny_raw) for path in tiny_raw.rglob("*") if path.is_file()]
    assert len(files) >= 5
    for file in files:
        assert (tiny_raw / file).read_bytes() == (tmp_path / "raw" / file).read_bytes(), file


def test_the_fields_of_a_record_are_in_a_fixed_order(tiny_raw):
    """Protobuf's own order differs from process to process."""
    shard = next(tiny_raw.rglob("*-train.tfrecord-*"))
    record = next(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    names = [b"file_name", b"image", b"label", b"segmentation_mask", b"species"]
    positions = [record.index(b"\n%c%s\x12" % (len(name), name)) for name in names]
    assert positions == sorted(positions)


def test_a_folder_in_the_oxford_layout(default_params, tmp_path):
    root = draw_oxford_folder(tmp_path / "pets")
    dataset_info = prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    assert dataset_info.class_names == ("pet", "background", "border")
    assert dataset_info.first_label == 0
    train, info = examples(tmp_path / "raw", "train")
    test, _ = examples(tmp_path / "raw", "test")
    assert set(train) == {"Abyssinian_1.jpg", "beagle_2.jpg", "beagle_3.jpg"}
    assert set(test) == {"Abyssinian_7.jpg", "beagle_8.jpg"}
    assert info.features["label"].names == ["Abyssinian", "beagle"]
    assert info.features["species"].names == ["cat", "dog"]
    jpeg = (root / "images" / "beagle_2.jpg").read_bytes()
    assert train["beagle_2.jpg"]["image"] == jpeg  # not encoded again


def test_a_folder_of_images_and_masks(default_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    save(np.zeros((30, 40, 3), np.uint8), root / "images" / "rotated.jpg", exif=exif(6))
    save(np.zeros((40, 30), np.uint8), root / "masks" / "rotated.png")
    (root / "test.txt").write_text("pug/0.png\nrotated.jpg\n")
    classes = {"dataset.folder.classes": ["background", "animal"]}
    params = folder_params(default_params, root, **classes)
    dataset_info = prepare_dataset(params, tmp_path / "raw", tmp_path)
    expected = dataclasses.replace(read_dataset_info(tmp_path / "raw"), files={})
    assert dataset_info == expected
    assert (dataset_info.class_names, dataset_info.first_label) == (("background", "animal"), 0)
    train, info = examples(tmp_path / "raw", "train")
    test, _ = examples(tmp_path / "raw", "test")
    assert set(test) == {"pug/0.png", "rotated.jpg"}
    assert len(train) == 5
    assert info.features["label"].names == ["beagle", "pug", "unknown"]
    labels = np.unique(decoded(test["pug/0.png"]["segmentation_mask"], 1))
    assert set(labels) == {0, 1, 255}  # indices, not colors
    assert decoded(test["pug/0.png"]["image"], 0).shape == (40, 40, 3)  # without alpha
    assert decoded(test["rotated.jpg"]["image"], 3).shape == (40, 30, 3)


@pytest.mark.parametrize("case", ["a broken mask", *CASES])
def test_a_folder_with_a_broken_file_leaves_nothing_half_written(
    default_params, tmp_path, monkeypatch, case
):
    root = draw_masks_folder(tmp_path / "mine")
    image, mask = root / "images" / "pug" / "2.png", root / "masks" / "pug" / "2.png"
    if case == "a broken mask":
        mask.write_bytes(b"")
        expected = "mine: Annotations that can't be read (1): masks/pug/2.png can't be read …"
    else:
        expected = CASES[case]
        make_builder = folder_builder.Folder.__init__

        def remove_image(*args, **kwargs):
            image.unlink()
            make_builder(*args, **kwargs)

        monkeypatch.setattr(folder_builder.Folder, "__init__", remove_image)
    with pytest.raises(PetsegError) as caught:
        prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    assert matches(expected, str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "raw").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_folder_may_have_a_validation_split_which_data_raw_keeps(default_params, tmp_path):
    root = draw_pairs(tmp_path / "mine")
    write_text(root / "val.txt", "3\n4\n")
    write_text(root / "test.txt", "5\n")
    dataset_info = prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    names = {split: set(examples(tmp_path / "raw", split)[0]) for split in ("train", "val", "test")}
    assert names["val"] == {"3.png", "4.png"}
    assert names["test"] == {"5.png"}
    assert len(names["train"]) == 7
    assert count_examples(tmp_path / "raw", dataset_info) == {"train": 7, "val": 2, "test": 1}


def test_what_was_guessed_is_printed_and_kept(default_params, tmp_path, capsys):
    root = draw_pairs(tmp_path / "mine")
    dataset_info = prepare_dataset(folder_params(default_params, root), tmp_path / "raw", tmp_path)
    printed = capsys.readouterr().out
    assert dataset_info.notes[0].startswith(
        "Annotations: masks, matched by the same name; images: "
    )
    assert any("No test split in the folder" in note for note in dataset_info.notes)
    assert all(note in printed for note in dataset_info.notes)
    assert read_dataset_info(tmp_path / "raw").notes == dataset_info.notes
