import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import petseg.preprocessing.preprocess as module
from petseg.core.errors import PetsegError
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.splits import is_validation
from petseg.preprocessing.transform import all_known, resize_image, resize_mask
from petseg.shards.example import (
    Example,
    decode_original_mask,
    parse_example,
    parse_pixels,
    serialize,
)
from petseg.shards.label_map import UNKNOWN_LABEL, label_lookup
from petseg.shards.manifest import open_shards, read_manifest
from support.datasets import draw_masks_folder, folder_params

SECTION = "Prepared data"
CASES = {
    "an empty validation part": "The val split is empty with preprocess.val_fraction …; change it or add pictures.",
    "an empty training part": "The train split is empty with preprocess.val_fraction … and preprocess.train_fraction …; change it or add pictures.",
    "a mask at the photo's own size that is damaged": "The mask of … at the photo's own size is damaged; run dvc checkout --force, then dvc repro.",
}  # fmt: skip


def read_all(records, split):
    manifest = read_manifest(records)
    found = []
    for shard in manifest.splits[split].shards:
        for serialized in tf.data.TFRecordDataset(str(records / shard.file)):
            parsed = parse_example(serialized[None], manifest.image_size, 3)
            found.append({key: value.numpy()[0] for key, value in parsed.items()})
    return found


def test_an_example_survives_the_round_trip():
    rng = np.random.default_rng(0)
    example = Example(
        index=2**40,
        file_name="weiß und schön.jpg",
        breed="pug",
        species="dog",
        height=333,
        width=500,
        image=rng.integers(0, 256, (32, 32, 3), np.uint8),
        mask=rng.integers(0, 3, (32, 32), np.uint8),
        original_mask=b"png",
    )
    data = serialize(example)
    assert data == serialize(example)
    parsed = {
        key: value.numpy()[0] for key, value in parse_example(tf.constant([data]), 32, 3).items()
    }
    assert np.array_equal(parsed["image"], example.image)
    assert np.array_equal(parsed["mask"], example.mask)
    assert parsed["file_name"].decode() == example.file_name
    assert (parsed["index"], parsed["height"], parsed["width"]) == (2**40, 333, 500)
    assert parsed["original_mask"] == b"png"
    pixels = parse_pixels(tf.constant([data, data]), 32, 3)
    assert np.array_equal(pixels["image"].numpy()[1], example.image)


def test_the_manifest_tells_what_the_shards_hold(tiny_shards):
    manifest = read_manifest(tiny_shards)
    assert manifest.class_names == ("pet", "background", "border")
    assert sum(split.num_examples for split in manifest.splits.values()) == 48
    for name, split in manifest.splits.items():
        found = read_all(tiny_shards, name)
        assert len(found) == split.num_examples == sum(shard.num_examples for shard in split.shards)
        masks = np.stack([example["mask"] for example in found])
        counts = np.bincount(masks.ravel(), minlength=256)
        assert list(split.pixels.values()) == [*counts[:3], counts[255]]
        assert sum(split.breeds.values()) == split.num_examples
        assert len(open_shards(tiny_shards, manifest, name).paths) == 2
        assert sorted(example["index"] for example in found) == list(range(split.num_examples))


def test_masks_at_original_size_are_kept_for_val_and_test_only(tiny_shards):
    assert all(example["original_mask"] == b"" for example in read_all(tiny_shards, "train"))
    for example in read_all(tiny_shards, "val") + read_all(tiny_shards, "test"):
        mask = tf.io.decode_png(example["original_mask"]).numpy()
        assert mask.shape == (example["height"], example["width"], 1) == (48, 48, 1)
        assert set(np.unique(mask)) <= {1, 2, 3}
        classes = decode_original_mask(
            example, label_lookup(read_manifest(tiny_shards).first_label, 3)
        )
        assert np.array_equal(classes, mask[..., 0] - 1)


def test_preprocessing_twice_gives_the_same_bytes(tiny_params, tiny_raw, tiny_shards, tmp_path):
    preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, tmp_path / "again")
    for path in tiny_shards.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_the_validation_draw_looks_at_one_picture_alone():
    names = [
        (f"{breed}_{i}.jpg", breed) for breed in ("pug", "Bengal", "beagle") for i in range(2000)
    ]
    drawn = {name: is_validation(name, breed, 0.1, 0) for name, breed in names}
    for breed in ("pug", "Bengal", "beagle"):
        share = np.mean([value for name, value in drawn.items() if name.startswith(breed)])
        assert 0.08 < share < 0.12  # every breed gives its share
    assert any(
        drawn[name] != is_validation(name, breed, 0.1, 1) for name, breed in names
    )  # the seed matters
    wider = [is_validation(name, breed, 0.2, 0) for name, breed in names]
    assert all(wide for wide, narrow in zip(wider, drawn.values(), strict=True) if narrow)


def test_an_unknown_label_is_an_error_that_names_the_picture(default_params, tiny_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    params = folder_params(
        default_params, root, **{"dataset.folder.classes": ["background", "animal"]}
    )
    mask = np.zeros((40, 40), np.uint8)
    mask[3, 4] = 7
    Image.fromarray(mask).save(root / "masks" / "pug" / "2.png")
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    with pytest.raises(
        PetsegError, match=r"mask of pug/2\.png holds the label 7, but labels are 0 to 1"
    ):
        preprocess(tiny_params.preprocess, 0, tmp_path / "raw", tmp_path / "records")
    assert not (tmp_path / "records" / "manifest.json").exists()


def test_an_empty_split_is_an_error(default_params, tiny_params, tmp_path):
    prepare_dataset(
        folder_params(default_params, draw_masks_folder(tmp_path / "mine")),
        tmp_path / "raw",
        tmp_path,
    )
    few = tiny_params.preprocess.model_copy(update={"val_fraction": 1e-9})
    with pytest.raises(PetsegError, match=r"val split is empty with preprocess\.val_fraction"):
        preprocess(few, 0, tmp_path / "raw", tmp_path / "records")


def test_a_part_of_the_training_pictures_lies_within_every_larger_one(
    tiny_params, tiny_raw, tmp_path
):
    splits = {}
    for fraction in (0.3, 0.6, 1.0):
        settings = tiny_params.preprocess.model_copy(update={"train_fraction": fraction})
        manifest = preprocess(settings, 0, tiny_raw, tmp_path / str(fraction))
        for split in manifest.splits:
            splits[fraction, split] = {
                example["file_name"] for example in read_all(tmp_path / str(fraction), split)
            }
    assert splits[0.3, "train"] < splits[0.6, "train"] < splits[1.0, "train"]
    for split in ("val", "test"):
        assert splits[0.3, split] == splits[0.6, split] == splits[1.0, split]
    none = tiny_params.preprocess.model_copy(update={"train_fraction": 1e-9})
    with pytest.raises(PetsegError, match=r"train split is empty .*train_fraction 1e-09"):
        preprocess(none, 0, tiny_raw, tmp_path / "none")


def test_a_class_that_no_training_mask_holds_is_an_error(default_params, tiny_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    for mask in (root / "masks").rglob("*.png"):  # a common coding of two classes, but not ours
        Image.fromarray(np.where(np.asarray(Image.open(mask)) == 0, 0, 255).astype(np.uint8)).save(
            mask
        )
    params = folder_params(
        default_params, root, **{"dataset.folder.classes": ["background", "animal"]}
    )
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    halves = tiny_params.preprocess.model_copy(update={"val_fraction": 0.5})
    with pytest.raises(
        PetsegError,
        match=r"train split holds a pixel of class 1, 'animal' \(\d+ of \d+ pixels are 255",
    ):
        preprocess(halves, 0, tmp_path / "raw", tmp_path / "records")


def test_ignored_pixels_stay_ignored_and_counted(default_params, tiny_params, tmp_path):
    root = draw_masks_folder(tmp_path / "mine")
    params = folder_params(
        default_params, root, **{"dataset.folder.classes": ["background", "animal"]}
    )
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    halves = tiny_params.preprocess.model_copy(update={"val_fraction": 0.5})
    manifest = preprocess(halves, 0, tmp_path / "raw", tmp_path / "records")
    assert manifest.splits["train"].pixels["ignored"] > 0


def test_labels_map_to_class_indices():
    oxford = label_lookup(1, 3)
    assert UNKNOWN_LABEL == 254
    assert list(oxford[[1, 2, 3, 255]]) == [0, 1, 2, 255]
    assert set(oxford[[0, 4, 200, 254]]) == {254}


@pytest.mark.parametrize(
    ("values", "first", "classes", "unknown"),
    [
        ([1, 2, 3, 255], 1, 3, []),
        ([0, 1, 255], 0, 2, []),
        ([1, 0], 1, 3, [0]),
        ([1, 4, 254], 1, 3, [4, 254]),
        ([0, 2, 7], 0, 2, [2, 7]),
        (list(range(254)), 0, 254, []),
        (list(range(1, 255)), 1, 254, []),
        (list(range(256)), 0, 254, [254]),
        (list(range(256)), 1, 254, [0]),
    ],
)
def test_an_unknown_label_is_found(values, first, classes, unknown):
    mask = np.array(values, np.uint8).reshape(-1, 1, 1)
    assert bool(all_known(tf.constant(mask), first, classes)) == (not unknown)
    assert mask[label_lookup(first, classes)[mask] == UNKNOWN_LABEL].tolist() == unknown


def test_resizing_keeps_a_picture_of_the_right_size_and_makes_up_no_label():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    assert np.array_equal(resize_image(tf.constant(image), 32), image)
    mask = rng.choice(np.array([0, 2, 255], np.uint8), (100, 70, 1))
    small = resize_mask(tf.constant(mask), 32).numpy()
    assert small.shape == (32, 32)
    assert set(np.unique(small)) <= {0, 2, 255}


def test_image_and_mask_are_resized_about_the_same_points():
    image = np.zeros((96, 96, 3), np.uint8)
    image[30:60, 12:48] = 255
    mask = (image[..., :1] // 255).astype(np.uint8)
    bright = resize_image(tf.constant(image), 32).numpy()[..., 0] > 127
    assert np.array_equal(bright, resize_mask(tf.constant(mask), 32).numpy() == 1)


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
def test_a_damaged_shard_is_named(tiny_shards, tmp_path, damage):
    records = shutil.copytree(tiny_shards, tmp_path / "records")
    manifest = read_manifest(records)
    path = records / manifest.splits["val"].shards[1].file
    data = path.read_bytes()
    if damage == "flip":
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "cut":  # at a record's boundary: TensorFlow reads such a file without an error
        length = int.from_bytes(data[:8], "little") + 16
        path.write_bytes(data[:length])
        assert sum(1 for _ in tf.data.TFRecordDataset(str(path))) == 1
    else:
        path.unlink()
    with pytest.raises(PetsegError, match=path.name):
        open_shards(records, manifest, "val")


def test_a_damaged_manifest_is_told(tiny_shards, tmp_path):
    with pytest.raises(PetsegError, match=r"manifest\.json is missing or damaged"):
        read_manifest(tmp_path)
    raw = json.loads((tiny_shards / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps({**raw, "format": 99}))
    with pytest.raises(PetsegError, match="has format 99"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    "broken",
    [
        {"original_mask": b"no PNG"},
        {"height": 41},
        {"original_mask": tf.io.encode_png(np.full((40, 50, 1), 4, np.uint8)).numpy()},
    ],
    ids=["not a PNG", "another size", "a label out of range"],
)
def test_a_damaged_mask_at_the_photo_s_own_size_is_told(broken):
    mask = np.ones((40, 50, 1), np.uint8)
    mask[0], mask[1] = 3, 255
    fields = {
        "file_name": b"pug_1.jpg", "height": 40, "width": 50,
        "original_mask": tf.io.encode_png(mask).numpy(),
    }  # fmt: skip
    lookup = label_lookup(1, 3)
    assert np.array_equal(decode_original_mask(fields, lookup), lookup[mask[..., 0]])
    with pytest.raises(
        PetsegError, match=r"The mask of pug_1.jpg at the photo's own size is damaged; run dvc"
    ):
        decode_original_mask(fields | broken, lookup)


@pytest.mark.parametrize("parallel", [1, 3, 16])
def test_the_number_of_decoding_threads_changes_no_byte(
    tiny_params, tiny_raw, tiny_shards, tmp_path, monkeypatch, parallel
):
    monkeypatch.setattr(module, "PARALLEL_CALLS", parallel)
    preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    files = sorted(path.name for path in tiny_shards.iterdir())
    assert len(files) == 7
    assert [(tmp_path / "tfrecords" / name).read_bytes() for name in files] == [
        (tiny_shards / name).read_bytes() for name in files
    ]
