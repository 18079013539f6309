"""Reading shards in sequence, and in the background."""

import resource
import threading
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from petseg.batches import example_batches, prefetch, read_batches
from petseg.core.errors import PetsegError
from petseg.shards.manifest import open_shards, read_manifest


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_is_read_in_the_order_it_was_written(tiny_shards, split):
    shards = open_shards(tiny_shards, read_manifest(tiny_shards), split)
    batches = [batch["index"].numpy() for batch in example_batches(shards, 3)]
    assert np.concatenate(batches).tolist() == list(range(shards.num_examples))


def test_all_shards_of_tiles_can_be_open_under_a_low_limit_of_open_files(tiled_shards, tmp_path):
    shards = open_shards(tiled_shards, read_manifest(tiled_shards), "test")
    tile = next(tf.data.TFRecordDataset(shards.paths[0]).as_numpy_iterator())
    path = tmp_path / "one_tile.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(tile)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = replace(shards, paths=(str(path),) * 600, num_examples=600)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, limits[1]))
        batches = read_batches(example_batches(many, 50, tiled=True))
        assert sum(len(batch["index"]) for batch in batches) == 600
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_one_item_is_computed_ahead_and_no_more():
    computed = [threading.Event() for _ in range(4)]

    def items():
        for number, event in enumerate(computed):
            event.set()
            yield None if number == 2 else number

    ahead = prefetch(items())
    for number, expected in enumerate([0, 1, None, 3]):
        assert next(ahead) == expected
        assert number == 3 or computed[number + 1].wait(10)
        assert not any(event.is_set() for event in computed[number + 2 :])
    assert list(ahead) == []


def test_an_exception_is_raised_where_its_item_is_requested():
    def items():
        yield 0
        raise PetsegError("broken")

    ahead = prefetch(items())
    assert next(ahead) == 0
    with pytest.raises(PetsegError, match="broken"):
        next(ahead)


def test_closing_early_leaves_no_thread():
    before = threading.active_count()
    ahead = prefetch(iter(range(100)))
    assert next(ahead) == 0
    assert threading.active_count() == before + 1
    ahead.close()
    assert threading.active_count() == before
