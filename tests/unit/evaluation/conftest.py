"""A few predictions of drawn masks and their counts."""

import pytest

from support.blobs import blob_pairs, count_blobs


@pytest.fixture(scope="session")
def pairs():
    return blob_pairs()


@pytest.fixture(scope="session")
def counts(pairs):
    return count_blobs(pairs)
