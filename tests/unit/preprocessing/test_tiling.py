"""Tiles in the shards: what they show, where they lie, and whose mask comes with them."""

import io
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.batches import example_batches
from petseg.config.tiles import Tiles
from petseg.core.errors import PetsegError
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.tiling import read_grid
from petseg.preprocessing.transform import ImageMetadata, check_mask
from petseg.raw import DatasetInfo, open_split, read_dataset_info
from petseg.shards.manifest import open_shards, read_manifest
from support.image_files import png_of_size
from support.robustness import matches
from support.tiles import TILES, tile_params

SECTION = "Prepared data"
CASES = {
    "an image of 540 megapixels for tiles": "big.png has 540.0 megapixels, but must have at most 536; cut it up.",
    "an image of 90 megapixels without tiles": "big.png has 90.0 megapixels, but must have at most 89; set preprocess.tiles.",
}  # fmt: skip


def read_tiles(shards_dir, split, tiled=True):
    """The tiles of a split as numpy values, by image, in the order in which they were written."""
    manifest = read_manifest(shards_dir)
    batches = example_batches(open_shards(shards_dir, manifest, split), 7, tiled=tiled)
    images = defaultdict(list)
    for batch in batches.as_numpy_iterator():
        for i, name in enumerate(batch["file_name"]):
            images[name.decode()].append({key: values[i] for key, values in batch.items()})
    return images


def raw_pixels(raw, split):
    """The image (48, 48, 3) and mask (48, 48) of class indices by name."""
    dataset, _ = open_split(raw, read_dataset_info(raw), split)
    return {
        fields["file_name"].decode(): (
            np.asarray(Image.open(io.BytesIO(fields["image"]))),
            np.asarray(Image.open(io.BytesIO(fields["segmentation_mask"]))) - 1,
        )
        for fields in dataset.as_numpy_iterator()
    }


def test_tiles_show_the_pixels_of_their_windows(tiny_raw, tiled_shards):
    """48 x 48 pixels take two windows of 32 each way; the network's size is the same."""
    for split, raw_split in (("train", "train"), ("val", "train"), ("test", "test")):
        originals = raw_pixels(tiny_raw, raw_split)
        for name, tiles in read_tiles(tiled_shards, split).items():
            image, mask = originals[name]
            assert [(tile["top"], tile["left"]) for tile in tiles] == [
                (top, left) for top in (0, 16) for left in (0, 16)
            ]
            for tile in tiles:
                window = tuple(slice(tile[key], tile[key] + 32) for key in ("top", "left"))
                np.testing.assert_array_equal(tile["image"], image[window])
                np.testing.assert_array_equal(tile["mask"], mask[window])
                assert (tile["height"], tile["width"]) == (48, 48)
            masks = [len(tile["original_mask"]) for tile in tiles]
            assert masks[1:] == [0, 0, 0]
            assert (masks[0] == 0) == (split == "train")


def test_the_manifest_counts_tiles_and_images(tiny_shards, tiled_shards):
    plain, manifest = read_manifest(tiny_shards), read_manifest(tiled_shards)
    assert (plain.tiles, manifest.tiles) == (None, TILES)
    for name, split in manifest.splits.items():
        assert split.num_images == plain.splits[name].num_images == plain.splits[name].num_examples
        assert split.num_examples == 4 * split.num_images
        assert split.categories == plain.splits[name].categories
        assert sum(split.pixels.values()) == split.num_examples * 32 * 32
    (note,) = manifest.notes[1:]
    train, val, test = (split.num_images for split in manifest.splits.values())
    assert note == (
        "Images are cut into tiles of 32 x 32 pixels that overlap by 8 or more (preprocess.tiles): "
        f"{4 * train} from {train} images (train), {4 * val} from {val} images (val), {4 * test} "
        f"from {test} images (test)."
    )


def test_images_smaller_than_a_tile_are_padded_and_counted(tiny_params, tiny_raw, tmp_path):
    params = tile_params(tiny_params, Tiles(size=64, overlap=0))
    manifest = preprocess(params, 0, tiny_raw, tmp_path / "shards")
    assert manifest.notes[-1] == (
        "48 of 48 images are smaller than a tile in height or width and padded; the padding "
        "belongs to no class."
    )
    for (tile,) in read_tiles(tmp_path / "shards", "test").values():
        assert np.all(tile["mask"][24:] == 255)
        assert np.all(tile["mask"][:, 24:] == 255)
        assert np.all(tile["mask"][:24, :24] < 3)
        assert np.all(tile["image"][26:] == 128)


def test_tiles_are_resized_to_the_networks_input(tiny_params, tiny_raw, tmp_path):
    params = tile_params(tiny_params, Tiles(size=48, overlap=8))
    preprocess(params, 0, tiny_raw, tmp_path / "tiles")
    preprocess(tiny_params.preprocess, 0, tiny_raw, tmp_path / "whole")
    whole = read_tiles(tmp_path / "whole", "test", tiled=False)
    for name, (tile,) in read_tiles(tmp_path / "tiles", "test").items():
        np.testing.assert_array_equal(tile["image"], whole[name][0]["image"])
        np.testing.assert_array_equal(tile["mask"], whole[name][0]["mask"])


def test_with_many_shards_tiles_still_come_in_order(tiny_params, tiny_raw, tmp_path):
    params = tile_params(tiny_params).model_copy(update={"shards": 40})
    preprocess(params, 0, tiny_raw, tmp_path / "shards")
    for tiles in read_tiles(tmp_path / "shards", "train").values():
        assert [(tile["top"], tile["left"]) for tile in tiles] == [
            window[:2] for window in TILES.grid(48, 48)
        ]


def test_the_automatic_number_of_shards_follows_from_the_tiles(
    tiny_params, tiny_raw, tmp_path, monkeypatch
):
    counted = Counter()

    def num_shards(params, totals):
        counted.update(totals)
        return dict.fromkeys(("train", "val", "test"), 1)

    monkeypatch.setattr("petseg.preprocessing.local.num_shards_by_split", num_shards)
    params = tile_params(tiny_params).model_copy(update={"shards": 0})
    preprocess(params, 0, tiny_raw, tmp_path / "shards")
    assert counted == {"train": 4 * 40, "test": 4 * 8}


def test_images_beyond_the_limit_are_rejected():
    info = DatasetInfo("mine", "mine", ("a", "b"), 0)
    with pytest.raises(PetsegError) as tiled:
        read_grid(png_of_size(20_000, 27_000), TILES, "big.png")
    shape = (9_000, 10_000)
    decoded = {"image_shape": shape, "mask_shape": shape, "labels_known": True}
    with pytest.raises(PetsegError) as whole:
        check_mask(ImageMetadata("big.png", "", "", b""), decoded, info)
    for case, caught in zip(CASES, (tiled, whole), strict=True):
        assert matches(CASES[case], str(caught.value), Path()), str(caught.value)


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_the_windows_follow_from_the_header_alone(format):
    content = io.BytesIO()
    Image.new("RGB", (70, 33)).save(content, format)
    assert read_grid(content.getvalue()[:-20], TILES, "x") == TILES.grid(33, 70)
