"""How many shards are written, and how many files that needs."""

import os
from pathlib import Path

import pytest

from petseg.batches import example_batches, read_batches
from petseg.core.geometry import ImageSize
from petseg.preprocessing.preprocess import preprocess
from petseg.preprocessing.writer import auto_num_shards
from petseg.shards.manifest import open_shards


@pytest.mark.parametrize(
    ("num_examples", "height", "num_shards"),
    [(0, 96, 8), (3312, 128, 8), (20_000, 128, 16), (20_000, 64, 8), (10_000_000, 128, 6560)],
)
def test_a_large_data_set_gets_shards_of_about_100_mb(num_examples, height, num_shards):
    assert auto_num_shards(num_examples, ImageSize(height, 128)) == num_shards


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by /proc")
def test_many_shards_are_read_a_few_at_a_time(tiny_params, tiny_raw, tmp_path):
    settings = tiny_params.preprocess.model_copy(update={"shards": 400})  # 1,200 files
    manifest = preprocess(settings, tiny_params.seed, tiny_raw, tmp_path / "tfrecords")
    shards = open_shards(tmp_path / "tfrecords", manifest, "train")
    num_open_before = len(os.listdir("/proc/self/fd"))
    indices = []
    for batch in read_batches(example_batches(shards, 4)):
        indices += batch["index"].numpy().tolist()
        assert len(os.listdir("/proc/self/fd")) < num_open_before + 100
    assert sorted(indices) == list(range(shards.num_examples))
