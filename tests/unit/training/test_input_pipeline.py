"""Batches for training and validation: their order, their contents, and how workers divide them."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

import petseg.training.input_pipeline as module
from petseg.batches import example_batches
from petseg.config.train_params import AugmentParams
from petseg.core.geometry import ImageSize
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.writer import SplitWriter
from petseg.shards.example import Example
from petseg.shards.manifest import ShardSet, open_shards, read_manifest
from petseg.training.input_pipeline import training_batches, validation_batches
from support.project import NO_AUGMENTATION

NONE = AugmentParams(**NO_AUGMENTATION)
AUGMENT = NONE.model_copy(
    update={
        "flip": True,
        "crop_scale": (0.7, 1.0),
        "rotation": 10.0,
        "brightness": 0.1,
        "contrast": 0.1,
        "saturation": 0.1,
    }
)


@pytest.fixture(scope="module")
def shards(tiny_shards):
    manifest = read_manifest(tiny_shards)
    return {split: open_shards(tiny_shards, manifest, split) for split in manifest.splits}


def read_epoch(shards, epoch, params=AUGMENT, seed=0, skip=0, **kwargs):
    batches = training_batches(shards["train"], 4, 16, params, seed, epoch, skip, **kwargs)
    return [(image.numpy(), mask.numpy()) for image, mask in batches]


def bytes_of(batches):
    return [image.tobytes() + mask.tobytes() for image, mask in batches]


@pytest.fixture(scope="module")
def first_epoch(shards):
    return read_epoch(shards, 1)


def test_seed_and_epoch_number_determine_the_batches(shards, first_epoch):
    assert bytes_of(read_epoch(shards, 1)) == bytes_of(first_epoch)
    assert bytes_of(read_epoch(shards, 2)) != bytes_of(first_epoch)
    assert bytes_of(read_epoch(shards, 1, seed=1)) != bytes_of(first_epoch)


def test_training_batches_have_their_documented_shapes(first_epoch):
    for image, mask in first_epoch:
        assert (image.shape, image.dtype) == ((4, 32, 32, 3), np.float32)
        assert (mask.shape, mask.dtype) == ((4, 32, 32), np.uint8)
        assert 0 <= image.min() <= image.max() <= 255


def test_an_epoch_has_every_image_at_most_once_and_epochs_differ_in_order(shards):
    split = {
        image.tobytes()
        for batch in example_batches(shards["train"], 5)
        for image in batch["image"].numpy()
    }
    first, second = (
        [image.astype(np.uint8).tobytes() for images, _ in batches for image in images]
        for batches in (read_epoch(shards, 1, NONE), read_epoch(shards, 2, NONE))
    )
    assert len(first) == len(split) // 4 * 4
    assert len(set(first)) == len(first)
    assert set(first) <= split
    assert first != second


def test_validation_batches_are_full_and_their_padding_is_ignored(shards):
    batches = list(validation_batches(shards["test"], 3))
    assert {tensor.shape[0] for batch in batches for tensor in batch} == {3}
    is_real = np.concatenate([batch[2].numpy() for batch in batches])
    masks = np.concatenate([batch[1].numpy() for batch in batches])
    assert is_real.sum() == shards["test"].num_examples == 8
    assert (masks[~is_real] == 255).all()
    assert (masks[is_real] != 255).all()


def test_an_epoch_can_be_resumed_at_any_batch(shards, first_epoch):
    for skip in (3, len(first_epoch)):
        assert bytes_of(read_epoch(shards, 1, skip=skip)) == bytes_of(first_epoch[skip:])


def test_the_number_of_threads_changes_nothing(shards, first_epoch, monkeypatch):
    monkeypatch.setattr(module, "PARALLEL_CALLS", 16)
    assert bytes_of(read_epoch(shards, 1)) == bytes_of(first_epoch)


@pytest.fixture(scope="module")
def shards_with_a_rare_class(tmp_path_factory):
    """Shards of 240 images; class 2 is in a few pixels of every fifth."""
    folder = tmp_path_factory.mktemp("rare")
    with SplitWriter(folder, "train", 2) as writer:
        for index in range(240):
            mask = np.full((32, 32), index % 2, np.uint8)
            if index % 5 == 0:
                mask[:2, :3] = 2
            image = np.full((32, 32, 3), index, np.uint8)
            writer.write(Example(index, f"{index}.png", "", "", 32, 32, image, mask))
    shards = writer.manifest_entry(["a", "b", "c"]).shards
    return {
        "train": ShardSet(tuple(str(folder / s.file) for s in shards), 240, ImageSize(32, 32), 3)
    }


def test_images_with_a_rare_class_are_drawn_more_often(shards_with_a_rare_class):
    tf.random.set_seed(1)  # as a training does; its shuffling depends on it
    epochs = range(1, 5)
    drawn = [
        int(image[0, 0, 0])
        for epoch in epochs
        for images, _ in read_epoch(
            shards_with_a_rare_class, epoch, NONE, class_repeats=(1.0, 1.0, 2.5)
        )
        for image in images
    ]
    assert len(drawn) == len(epochs) * 240  # an epoch is no longer
    times = np.bincount(drawn, minlength=240) / len(epochs)
    rare = times[::5].mean()
    others = np.delete(times, range(0, 240, 5)).mean()
    assert rare / others == pytest.approx(2.5, rel=0.1)
    assert rare == pytest.approx(2.5 * 240 / (192 + 48 * 2.5), rel=0.1)


def test_oversampling_is_resumed_at_any_batch(shards_with_a_rare_class):
    repeats = {"class_repeats": (1.0, 1.0, 2.5)}
    whole = bytes_of(read_epoch(shards_with_a_rare_class, 1, **repeats))
    assert bytes_of(read_epoch(shards_with_a_rare_class, 1, skip=5, **repeats)) == whole[5:]
    assert bytes_of(read_epoch(shards_with_a_rare_class, 2, **repeats)) != whole


def test_copies_of_an_image_are_augmented_differently(shards_with_a_rare_class):
    batches = read_epoch(shards_with_a_rare_class, 1, AUGMENT, class_repeats=(1.0, 1.0, 10.0))
    images = [image.tobytes() for images, _ in batches for image in images if image.max() > 0]
    assert len(set(images)) == len(images) >= 220  # the first image is black


@pytest.fixture(scope="module")
def four_shards(tiny_params, tiny_raw, tmp_path_factory):
    """A function that opens one worker's part of four shards, which differ in their examples."""
    folder = tmp_path_factory.mktemp("four") / "tfrecords"
    settings = tiny_params.preprocess.model_copy(update={"shards": 4})
    manifest = preprocess(settings, tiny_params.seed, tiny_raw, folder)
    return lambda split, *worker: open_shards(folder, manifest, split, *worker)


def examples_of(batch):
    """Each image of a batch with its mask, sorted."""
    image, mask, *rest = (tensor.numpy() for tensor in batch)
    is_real = rest[0] if rest else np.ones(len(image), bool)
    pairs = zip(image[is_real], mask[is_real], strict=True)
    return sorted(image.tobytes() + mask.tobytes() for image, mask in pairs)


@pytest.mark.parametrize("class_repeats", [(), (1.5, 1.0, 1.0)])
@pytest.mark.parametrize(("num_workers", "batch_size"), [(2, 12), (4, 4)])
def test_the_parts_of_all_workers_make_up_a_single_worker_batch(
    four_shards, num_workers, batch_size, class_repeats
):
    # A flip is exact; other augmentation may differ in the last bits with the size of a batch.
    flip = NONE.model_copy(update={"flip": True})

    def train(shards):
        return training_batches(
            shards, batch_size, 16, flip, seed=3, epoch=2, skip=1, class_repeats=class_repeats
        )

    def validate(shards):
        return validation_batches(shards, batch_size)

    for split, batches_of in (("train", train), ("val", validate), ("test", validate)):
        single = [examples_of(batch) for batch in batches_of(four_shards(split))]
        parts = [
            [examples_of(batch) for batch in batches_of(four_shards(split, rank, num_workers))]
            for rank in range(num_workers)
        ]
        merged = [sorted(itertools.chain(*batch)) for batch in zip(*parts, strict=True)]
        assert merged == single
        assert len(single) >= 1


@pytest.mark.parametrize(("num_shards", "batch_size"), [(20, 4), (7, 3)])
def test_over_many_epochs_most_images_of_different_groups_share_a_batch(
    tiny_params, tiny_raw, tmp_path, monkeypatch, num_shards, batch_size
):
    monkeypatch.setattr(module, "draw_uniform", lambda seed, epoch, index: index)
    monkeypatch.setattr(module, "augment", lambda image, mask, index, params: (index, mask))
    settings = tiny_params.preprocess.model_copy(update={"shards": num_shards})
    manifest = preprocess(settings, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    shards = open_shards(tmp_path / "tfrecords", manifest, "train")
    num_examples = shards.num_examples
    met, dropped = set(), set()
    for epoch in range(12):
        seen = []
        for index, _ in training_batches(shards, batch_size, 64, NONE, 0, epoch):
            batch = index.numpy().tolist()
            met |= set(itertools.permutations(batch, 2))
            seen += batch
        assert len(set(seen)) == len(seen) == num_examples // batch_size * batch_size
        dropped.add(frozenset(range(num_examples)) - set(seen))
    num_groups = math.gcd(num_shards, batch_size)
    # With one example of each group in a batch, two of the same group never meet.
    never_met = num_examples // num_groups - 1 if batch_size == num_groups else 0
    assert len(met) > 0.4 * num_examples * (num_examples - 1 - never_met)
    assert len(dropped) > 5 or dropped == {frozenset()}
