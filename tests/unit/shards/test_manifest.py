"""How workers divide the shards of a split."""

import pytest

from petseg.core.errors import PetsegError
from petseg.shards.manifest import open_shards, read_manifest


def test_each_worker_reads_its_own_shards(tiny_shards):
    manifest = read_manifest(tiny_shards)
    whole = open_shards(tiny_shards, manifest, "train")
    parts = [open_shards(tiny_shards, manifest, "train", rank, num_workers=2) for rank in (0, 1)]
    assert [path for part in parts for path in part.paths] == list(whole.paths)
    assert sum(part.num_worker_examples for part in parts) == whole.num_worker_examples
    assert whole.num_worker_examples == whole.num_examples


def test_workers_need_equal_numbers_of_shards(tiny_shards):
    with pytest.raises(
        PetsegError,
        match=r"2 shards can't be divided equally among 3 workers; make preprocess\.shards a mul",
    ):
        open_shards(tiny_shards, read_manifest(tiny_shards), "train", rank=0, num_workers=3)
