"""Reading shards in sequence."""

import numpy as np
import pytest

from petseg.batches import example_batches
from petseg.shards.manifest import open_shards, read_manifest


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_is_read_in_the_order_it_was_written(tiny_shards, split):
    shards = open_shards(tiny_shards, read_manifest(tiny_shards), split)
    batches = [batch["index"].numpy() for batch in example_batches(shards, 3)]
    assert np.concatenate(batches).tolist() == list(range(shards.num_examples))
