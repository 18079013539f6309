import hashlib

import numpy as np

from petseg.core.hashing import sha256_of, unit_hash


def test_unit_hash_is_fixed_and_uniform():
    assert unit_hash("val", 0, "pug", "pug_1.jpg") == unit_hash("val", 0, "pug", "pug_1.jpg")
    assert unit_hash("a", "bc") != unit_hash("ab", "c")
    values = np.array([unit_hash("x", i) for i in range(4000)])
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 0.02


def test_the_checksum_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"petseg")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"petseg").hexdigest()
