"""The stage preprocess: what the shards contain, and which data sets it rejects."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.datasets.prepare import prepare_dataset
from petseg.preprocessing import local
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.split_checks import check_splits, describe_splits
from petseg.preprocessing.writer import FittingStats
from petseg.shards.example import decode_original_mask, parse_example
from petseg.shards.label_map import label_lookup
from petseg.shards.manifest import open_shards, read_manifest
from support.datasets import draw_masks_folder, folder_params
from support.robustness import matches

SECTION = "Prepared data"
CASES = {
    "an empty training split": "The train split is empty with preprocess.val_fraction … and preprocess.train_fraction …; change it or add images.",
    "preprocess.runner: beam without Apache Beam installed": "preprocess.runner: beam needs apache_beam, which isn't installed; run pip install 'petseg[beam]', or set preprocess.runner to local.",
}  # fmt: skip


def read_examples(shards_dir, split):
    """Every example of a split as numpy values."""
    manifest = read_manifest(shards_dir)
    files = [str(shards_dir / shard.file) for shard in manifest.splits[split].shards]
    serialized = list(tf.data.TFRecordDataset(files).as_numpy_iterator())
    fields = parse_example(tf.constant(serialized), manifest.image_size, 3)
    fields = {key: value.numpy() for key, value in fields.items()}
    return [{key: values[i] for key, values in fields.items()} for i in range(len(serialized))]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_manifest_describes_the_shards(tiny_shards):
    manifest = read_manifest(tiny_shards)
    assert manifest.class_names == ("pet", "background", "border")
    assert sum(split.num_examples for split in manifest.splits.values()) == 48
    for name, split in manifest.splits.items():
        examples = read_examples(tiny_shards, name)
        assert len(examples) == split.num_examples
        assert split.num_examples == sum(shard.num_examples for shard in split.shards)
        masks = np.stack([example["mask"] for example in examples])
        counts = np.bincount(masks.ravel(), minlength=256)
        assert list(split.pixels.values()) == [*counts[:3], counts[255]]
        assert sum(split.categories.values()) == split.num_examples
        assert len(open_shards(tiny_shards, manifest, name).paths) == 2
        assert sorted(example["index"] for example in examples) == list(range(split.num_examples))


def test_original_masks_are_kept_only_for_val_and_test(tiny_shards):
    assert all(example["original_mask"] == b"" for example in read_examples(tiny_shards, "train"))
    lookup = label_lookup(read_manifest(tiny_shards).first_label, 3)
    for example in read_examples(tiny_shards, "val") + read_examples(tiny_shards, "test"):
        mask = tf.io.decode_png(example["original_mask"]).numpy()
        assert mask.shape == (example["height"], example["width"], 1) == (48, 48, 1)
        assert set(np.unique(mask)) <= {1, 2, 3}
        assert np.array_equal(decode_original_mask(example, lookup), mask[..., 0] - 1)


@pytest.mark.parametrize("parallel", [1, 16])
def test_the_bytes_depend_on_neither_the_run_nor_the_number_of_threads(
    tiny_params, tiny_raw, tiny_shards, tmp_path, monkeypatch, parallel
):
    monkeypatch.setattr(local, "PARALLEL_CALLS", parallel)
    preprocess(tiny_params.preprocess, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    assert len(contents(tiny_shards)) == 7
    assert contents(tmp_path / "tfrecords") == contents(tiny_shards)


def test_a_reduced_training_set_leaves_the_other_splits_unchanged(tiny_params, tiny_raw, tmp_path):
    names = {}
    for fraction in (0.3, 0.6, 1.0):
        settings = tiny_params.preprocess.model_copy(update={"train_fraction": fraction})
        folder = tmp_path / str(fraction)
        preprocess(settings, 0, tiny_raw, folder)
        for split in ("train", "val", "test"):
            examples = read_examples(folder, split)
            names[fraction, split] = {example["file_name"] for example in examples}
    assert names[0.3, "train"] < names[0.6, "train"] < names[1.0, "train"]
    for split in ("val", "test"):
        assert names[0.3, split] == names[0.6, split] == names[1.0, split]


def test_one_image_is_drawn_for_validation_where_the_fraction_draws_none(
    tiny_params, tiny_raw, tmp_path
):
    names = {}
    for fraction in (1e-9, 0.2):
        settings = tiny_params.preprocess.model_copy(update={"val_fraction": fraction})
        manifest = preprocess(settings, 0, tiny_raw, tmp_path / f"{fraction}")
        examples = read_examples(tmp_path / f"{fraction}", "val")
        names[fraction] = {example["file_name"] for example in examples}
        assert ("which alone draws none" in " ".join(manifest.notes)) == (fraction == 1e-9)
    assert len(names[1e-9]) == 1
    assert names[1e-9] < names[0.2]
    assert manifest.splits["train"].num_images > 1


def test_ignored_pixels_stay_ignored_and_are_counted(default_params, tiny_params, tmp_path):
    params = folder_params(
        default_params,
        draw_masks_folder(tmp_path / "mine"),
        **{"dataset.folder.classes": ["background", "animal"]},
    )
    prepare_dataset(params, tmp_path / "raw", tmp_path)
    settings = tiny_params.preprocess.model_copy(update={"val_fraction": 0.5})
    manifest = preprocess(settings, 0, tmp_path / "raw", tmp_path / "tfrecords")
    assert manifest.splits["train"].pixels["ignored"] > 0


@pytest.mark.parametrize(
    ("resize", "note"),
    [
        (
            "letterbox",
            "48 of 48 images don't have the network's shape: they are padded with gray, 50.0% of "
            "all pixels, which counts as ignored (preprocess.resize letterbox).",
        ),
        (
            "crop",
            "48 of 48 images don't have the network's shape: what is beyond their centers, 50.0% "
            "of all pixels, is neither trained on nor scored (preprocess.resize crop).",
        ),
    ],
)
def test_what_is_cut_or_padded_is_said_with_its_share(
    tiny_params, tiny_raw, tmp_path, capsys, resize, note
):
    settings = tiny_params.preprocess.model_copy(
        update={"image_size": ImageSize(32, 64), "resize": resize}
    )
    manifest = preprocess(settings, 0, tiny_raw, tmp_path / "tfrecords")
    assert note in manifest.notes
    assert note in capsys.readouterr().out
    assert read_manifest(tmp_path / "tfrecords") == manifest
    assert manifest.resize == resize
    pixels = manifest.splits["test"].pixels
    assert sum(pixels.values()) == 8 * 32 * 64
    assert pixels["ignored"] == (8 * 32 * 32 if resize == "letterbox" else 0)


@pytest.mark.parametrize(
    ("case", "changes"),
    [
        ("an empty training split", {"train_fraction": 1e-9}),
        ("preprocess.runner: beam without Apache Beam installed", {"runner": "beam"}),
    ],
)
def test_a_split_must_not_be_empty_and_beam_must_be_installed(
    tiny_params, tiny_raw, tmp_path, monkeypatch, case, changes
):
    monkeypatch.delitem(sys.modules, "petseg.preprocessing.beam.pipeline", raising=False)
    monkeypatch.setitem(sys.modules, "apache_beam", None)  # importing it raises an error
    settings = tiny_params.preprocess.model_copy(update=changes)
    with pytest.raises(PetsegError) as caught:
        preprocess(settings, 0, tiny_raw, tmp_path / "tfrecords")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "tfrecords").exists()


def test_a_class_without_pixels_in_a_scored_split_is_said(tiny_params, tiny_shards):
    manifest = read_manifest(tiny_shards)
    val = manifest.splits["val"]
    val = replace(val, pixels=val.pixels | {"pet": 0, "ignored": 0})

    def notes(splits):
        totals = {name: split.num_examples for name, split in splits.items()}
        return describe_splits(splits, totals, FittingStats(), tiny_params.preprocess, 0.5)

    said = (
        "The val split has no pixels of 'pet'. The IoU there is undefined, or 0 if a model predicts "
        "the class, which lowers the mean IoU."
    )
    assert said not in notes(manifest.splits)
    assert said in notes(manifest.splits | {"val": val})


@pytest.mark.parametrize(
    ("split", "changes", "message"),
    [
        ("test", {"num_examples": 0}, "The test split is empty; add images to it."),
        ("val", {"num_examples": 0}, "The val split is empty; add images to it."),
        (
            "val",
            {"pixels": {"pet": 0, "background": 0, "border": 0, "ignored": 9}},
            "No pixel in the masks of the val split belongs to a class; label some images.",
        ),
        (
            "train",
            {"pixels": {"pet": 5, "background": 0, "border": 0, "ignored": 9}},
            "No mask of the train split contains 'background' or 'border' (9 of 14 pixels belong "
            "to no class); add images with it, or take it out of dataset.folder.classes.",
        ),
    ],
)
def test_splits_that_cannot_be_used_for_training_are_rejected(
    tiny_params, tiny_shards, split, changes, message
):
    manifest = read_manifest(tiny_shards)
    check_splits(manifest, tiny_params.preprocess)
    splits = manifest.splits | {split: replace(manifest.splits[split], **changes)}
    with pytest.raises(PetsegError) as caught:
        check_splits(replace(manifest, splits=splits), tiny_params.preprocess)
    assert str(caught.value) == message
