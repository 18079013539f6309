"""Examples keep their contents, and damaged masks are rejected."""

import numpy as np
import pytest
import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.shards.example import (
    Example,
    decode_original_mask,
    parse_example,
    parse_pixels,
    serialize,
)
from petseg.shards.label_map import UNKNOWN_LABEL, label_lookup
from support.robustness import matches

SECTION = "Prepared data"
CASES = {
    "a damaged original mask": "The original mask of … is damaged; run dvc checkout --force, then dvc repro.",
}  # fmt: skip


def test_an_example_survives_the_round_trip():
    rng = np.random.default_rng(0)
    example = Example(
        index=2**40,
        file_name="weiß und schön.jpg",
        category="pug",
        supercategory="dog",
        height=333,
        width=500,
        image=rng.integers(0, 256, (32, 64, 3), np.uint8),
        mask=rng.integers(0, 3, (32, 64), np.uint8),
        original_mask=b"png",
    )
    data, size = serialize(example), ImageSize(32, 64)
    assert data == serialize(example)
    batch = parse_example(tf.constant([data]), size, 3)
    parsed = {key: value.numpy()[0] for key, value in batch.items()}
    assert np.array_equal(parsed["image"], example.image)
    assert np.array_equal(parsed["mask"], example.mask)
    assert parsed["file_name"].decode() == example.file_name
    assert (parsed["category"], parsed["supercategory"]) == (b"pug", b"dog")
    assert (parsed["index"], parsed["height"], parsed["width"]) == (2**40, 333, 500)
    assert parsed["original_mask"] == b"png"
    pixels = parse_pixels(tf.constant([data, data]), size, 3)
    assert np.array_equal(pixels["image"].numpy()[1], example.image)


def test_labels_map_to_class_indices():
    oxford = label_lookup(1, 3)
    assert list(oxford[[1, 2, 3, 255]]) == [0, 1, 2, 255]
    assert set(oxford[[0, 4, 200, 254]]) == {UNKNOWN_LABEL}
    assert list(label_lookup(0, 255)) == list(range(256))


@pytest.mark.parametrize(
    "damage",
    [
        {"original_mask": b"no PNG"},
        {"height": 41},
        {"original_mask": tf.io.encode_png(np.full((40, 50, 1), 4, np.uint8)).numpy()},
    ],
    ids=["not a PNG", "another size", "a label out of range"],
)
def test_a_damaged_original_mask_is_rejected(tmp_path, damage):
    mask = np.ones((40, 50, 1), np.uint8)
    mask[0], mask[1] = 3, 255
    encoded = tf.io.encode_png(mask).numpy()
    fields = {"file_name": b"pug_1.jpg", "height": 40, "width": 50, "original_mask": encoded}
    lookup = label_lookup(1, 3)
    assert np.array_equal(decode_original_mask(fields, lookup), lookup[mask[..., 0]])
    with pytest.raises(PetsegError, match=r"pug_1\.jpg") as caught:
        decode_original_mask(fields | damage, lookup)
    assert matches(CASES["a damaged original mask"], str(caught.value), tmp_path)
