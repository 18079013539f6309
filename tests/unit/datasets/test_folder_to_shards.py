"""A user's folder, from its files to the shards: errors that preprocess finds, and unusual images."""

import io
import shutil

import numpy as np
import pytest
import tensorflow as tf

from petseg.config.params import parse_params
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.datasets import folder_builder
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.preprocess import preprocess
from petseg.shards.manifest import SPLITS, open_shards
from support.datasets import decoded, draw_masks_folder, examples, save
from support.folders import draw_pairs
from support.image_files import (
    COLOR,
    GRAY,
    color_png_with_16_bits,
    encode,
    exif,
    palette_png,
    phone_photo,
)
from support.project import with_values
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "class that only the test split has": "No mask of the train split contains 'animal' (0 of … pixels belong to no class); add images with it, or take it out of dataset.folder.classes.",
    "training masks with ignored pixels only": "No pixel in the masks of the train split belongs to a class; label some images.",
    "image that only Pillow can decode": "The image … or its mask can't be decoded; fix or remove it.",
    "one mask with ignored pixels only": "Kept; none of its pixels counts.",
    "category with a single image": "Kept; the image is in one of the splits.",
}  # fmt: skip


@pytest.fixture
def mine(tmp_path):
    """A folder with enough images for three splits."""
    root = draw_masks_folder(tmp_path / "mine")
    for kind in ("images", "masks"):
        for path in sorted((root / kind).rglob("*.png")):
            shutil.copy(path, path.with_name(f"again_{path.name}"))
    return root


def file_names(shards, manifest):
    """The file names of each split's examples."""
    found = {}
    for split in SPLITS:
        opened = open_shards(shards, manifest, split)
        records = tf.data.TFRecordDataset(list(opened.paths))
        examples = map(tf.train.Example.FromString, records.as_numpy_iterator())
        names = [e.features.feature["file_name"].bytes_list.value[0].decode() for e in examples]
        found[split] = sorted(names)
    return found


def run(root, default_params, tiny_params):
    values = {
        "dataset.name": "folder",
        "dataset.folder.path": str(root),
        "dataset.folder.classes": ["background", "animal"],
        "dataset.folder.test_fraction": 0.5,
    }
    params = parse_params(with_values(default_params, values)).dataset
    raw, shards = root.parent / "raw", root.parent / "tfrecords"
    prepare_dataset(params, raw, root.parent / "archives")
    settings = tiny_params.preprocess.model_copy(update={"val_fraction": 0.5})
    return preprocess(settings, 0, raw, shards)


def fill_masks(root, value):
    for mask in (root / "masks").rglob("*.png"):
        save(np.full((40, 40), value, np.uint8), mask)


def only_the_test_image_is(value):
    """Fill all masks but that of the only test image with one value."""

    def change(root, monkeypatch):
        (root / "test.txt").write_text("pug/0.png\n")
        mask = (root / "masks" / "pug" / "0.png").read_bytes()
        fill_masks(root, value)
        (root / "masks" / "pug" / "0.png").write_bytes(mask)

    return change


def break_for_tensorflow(root, monkeypatch):
    broken = io.BytesIO(b"\xff\xd8\xff not a JPEG")
    monkeypatch.setattr(folder_builder, "read_example_image", lambda item, facts: broken)


REJECTED = {
    "class that only the test split has": only_the_test_image_is(0),
    "training masks with ignored pixels only": only_the_test_image_is(255),
    "image that only Pillow can decode": break_for_tensorflow,
}


@pytest.mark.parametrize("case", REJECTED)
def test_errors_that_preprocess_finds_name_the_image_or_the_split(
    mine, default_params, tiny_params, monkeypatch, case
):
    REJECTED[case](mine, monkeypatch)
    with pytest.raises(PetsegError) as caught:
        run(mine, default_params, tiny_params)
    assert matches(CASES[case], str(caught.value), mine.parent), str(caught.value)
    assert not (mine.parent / "tfrecords").exists()
    assert not list(mine.parent.glob(".*"))


def test_unusual_images_and_masks_reach_the_shards(mine, default_params, tiny_params):
    files = {
        "cmyk.jpg": encode(COLOR, "JPEG"),
        "sixteen bits.png": color_png_with_16_bits(),
        "rotated.jpg": encode(COLOR, "JPEG", exif=exif(6)),
        "two \"images\".jpg": phone_photo(),
        "猫.png": encode(COLOR),
        "husky/alone.png": encode(np.dstack([COLOR, GRAY])),
        "dot.png": encode(COLOR[:1, :1]),
        "ignored.png": encode(COLOR),
    }  # fmt: skip
    for name, data in files.items():
        path = mine / "images" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        save((GRAY > 99).astype(np.uint8), (mine / "masks" / name).with_suffix(".png"))
    (mine / "masks" / "猫.png").write_bytes(palette_png((GRAY > 99).astype(np.uint8)))
    save(np.full((40, 40), 255, np.uint8), mine / "masks" / "ignored.png")
    save(np.ones((1, 1), np.uint8), mine / "masks" / "dot.png")
    manifest = run(mine, default_params, tiny_params)
    raw = mine.parent / "raw"
    found = examples(raw, "train")[0] | examples(raw, "test")[0]
    assert set(files) < set(found)
    assert sum(split.num_examples for split in manifest.splits.values()) == len(found)
    assert found["rotated.jpg"]["image"] != files["rotated.jpg"]
    for name in ("sixteen bits.png", "猫.png", "husky/alone.png"):
        assert np.array_equal(decoded(found[name]["image"], 3), COLOR), name
    mask = decoded(found["猫.png"]["segmentation_mask"], 1)[..., 0]
    assert np.array_equal(mask, GRAY > 99)


def test_a_validation_split_and_groups_reach_the_shards(default_params, tiny_params, tmp_path):
    names = [f"v{video}_frame{frame}" for video in range(9) for frame in range(4)]
    root = draw_pairs(tmp_path / "mine", names)
    values = {
        "dataset.name": "folder",
        "dataset.folder.path": str(root),
        "dataset.folder.group": "(.*)_frame",
    }
    params = parse_params(with_values(default_params, values)).dataset
    settings = tiny_params.preprocess.model_copy(
        update={"val_fraction": 0.4, "image_size": ImageSize(32, 32)}
    )

    def preprocessed(name):
        raw, shards = tmp_path / name / "raw", tmp_path / name / "tfrecords"
        raw.parent.mkdir()
        prepare_dataset(params, raw, tmp_path)
        manifest = preprocess(settings, 0, raw, shards)
        return manifest, file_names(shards, manifest)

    manifest, drawn = preprocessed("drawn")
    videos = [{name.split("_")[0] for name in names} for names in drawn.values()]
    assert sum(map(len, videos)) == len(set().union(*videos)) == 9
    assert any("No validation split in the data" in note for note in manifest.notes)
    (root / "val.txt").write_text("".join(f"{name}\n" for name in names[4:8]))
    manifest, given = preprocessed("given")
    assert given["val"] == [f"{name}.png" for name in names[4:8]]
    assert not any("No validation split" in note for note in manifest.notes)
