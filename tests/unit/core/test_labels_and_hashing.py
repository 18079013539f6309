import hashlib

import numpy as np

from petseg.core.hashing import sha256_of, unit_hash
from petseg.core.labels import TRIMAP_CLASSES, colors_of


def test_classes_have_different_colors_and_the_background_is_dark():
    names = ["background", *(f"class {i}" for i in range(20))]
    colors = colors_of(names)
    assert list(colors) == names
    assert len(set(colors.values())) == len(names)
    assert max(colors["background"]) < 60
    assert set(colors_of(TRIMAP_CLASSES)) == {"pet", "background", "border"}


def test_unit_hash_is_fixed_and_even():
    assert unit_hash("val", 0, "pug", "pug_1.jpg") == unit_hash("val", 0, "pug", "pug_1.jpg")
    assert unit_hash("a", "bc") != unit_hash("ab", "c")
    values = np.array([unit_hash("x", i) for i in range(4000)])
    assert values.min() >= 0
    assert values.max() < 1
    assert abs(values.mean() - 0.5) < 0.02


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"petseg")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"petseg").hexdigest()
