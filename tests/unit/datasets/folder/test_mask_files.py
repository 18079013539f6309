"""Masks from any file: numbers, palettes and colors as they are stored, or why they can't be read."""

import io

import numpy as np
import pytest
from PIL import Image

from petseg.core.errors import PetsegError
from petseg.datasets.folder.masks.mask_files import MaskFile, decode_mask
from support.image_files import (
    GRAY,
    color_png_with_16_bits,
    encode,
    exif,
    gray_png_with_2_bits,
    palette_png,
    png,
    png_of_size,
)
from support.robustness import matches

SECTION = "Images and masks"
CASES = {
    "mask that is a photo": "odd.png can't be read as a mask (it has 12000 different values or colors, so it is a photo or blurred); fix or remove it.",
    "mask of fractions": "odd.png can't be read as a mask (its values are fractions; save whole numbers, as an 8-bit PNG); fix or remove it.",
    "mask of black on transparent": "odd.png can't be read as a mask (it is black on transparent; fill one of the two with a color); fix or remove it.",
    "mask with negative labels": "odd.png can't be read as a mask (it contains label -9, but the most is 65535); fix or remove it.",
    "truncated mask": "odd.png can't be read as a mask (image file is truncated…); fix or remove it.",
    "empty mask file": "odd.png can't be read as a mask (not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read); fix or remove it.",
    "mask with 16-bit colors": "odd.png can't be read as a mask (it has 16-bit colors, of which 8 bits would be lost; save it as gray); fix or remove it.",
    "mask just too large": "odd.png can't be read as a mask (it has 540.0 megapixels, but must have at most 536); fix or remove it.",
    "gray mask": "Read; its values are the labels.",
    "gray mask with 2 or 4 bits": "Read; its values are the labels.",
    "black and white mask": "Read as labels 0 and 1.",
    "mask with 16-bit labels": "Read, up to 4096 different labels.",
    "mask of floating-point numbers": "Read if they are whole.",
    "mask with a palette": "The indices are the labels, or the colors if the table of classes has colors.",
    "mask in color": "Read; the colors are the labels.",
    "mask in color with equal channels": "Read like a gray mask.",
    "mask with transparency": "Pixels that are half transparent or more have label 0, and petseg says so.",
    "mask with an even transparency": "Read; the transparency is dropped.",
    "mask of one color that is wholly transparent": "Background, and petseg says so.",
    "mask with an EXIF rotation": "Turned as a viewer shows it, and petseg says so.",
}  # fmt: skip

LABELS = (np.add.outer(np.arange(40), np.arange(40)) // 8 % 2).astype(np.uint8)
COLORS = np.array([[0, 0, 0], [48, 112, 32]], np.uint8)[LABELS]
GREEN = "#307020"
GREENS = np.full((40, 40, 3), (48, 112, 32), np.uint8)
OPAQUE = np.full((40, 40), 255, np.uint8)
NOISE = np.random.default_rng(0).permutation(2**16)[:12000].reshape(100, 120)

REJECTED = {
    "mask that is a photo": encode(NOISE.astype(np.uint16)),
    "mask of fractions": encode(GRAY.astype(np.float32) / 2, "TIFF"),
    "mask with 16-bit colors": color_png_with_16_bits(),
    "mask of black on transparent": encode(np.dstack([COLORS * 0, LABELS * 255])),
    "mask with negative labels": encode(GRAY.astype(np.int32) - 9, "TIFF"),
    "truncated mask": encode(NOISE.astype(np.uint8))[:300],
    "empty mask file": b"",
    "mask just too large": png_of_size(20_000, 27_000),
}


def gray_png_with_4_bits():
    return png(40, 40, 4, 0, b"".join(b"\0" + b"\x03\x9f" * 10 for _ in range(40)))


READ = {
    "gray mask": (encode(LABELS * 7), (0, 7), LABELS),
    "black and white mask": (encode(LABELS > 0), (0, 1), LABELS),
    "mask with 16-bit labels": (encode(LABELS.astype(np.uint16) * 300), (0, 300), LABELS),
    "mask of floating-point numbers": (encode(LABELS * np.float32(7), "TIFF"), (0, 7), LABELS),
    "mask with a palette": (palette_png(LABELS), (0, 1), LABELS),
    "mask in color": (encode(COLORS), (0, GREEN), LABELS),
    "mask in color with equal channels": (encode(np.dstack([LABELS] * 3)), (0, 1), LABELS),
    "mask with transparency": (encode(np.dstack([GREENS, LABELS * 255])), (0, GREEN), LABELS),
    "mask with an even transparency": (encode(np.dstack([COLORS, OPAQUE // 3])), (0, GREEN), LABELS),
}  # fmt: skip


@pytest.mark.parametrize("case", REJECTED)
def test_an_unreadable_mask_is_rejected_with_the_reason(tmp_path, case):
    (tmp_path / "odd.png").write_bytes(REJECTED[case])
    with pytest.raises(PetsegError) as caught:
        MaskFile(tmp_path / "odd.png").read((40, 40))
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


@pytest.mark.parametrize("case", READ)
def test_a_mask_has_the_labels_that_are_stored(tmp_path, case):
    data, keys, indices = READ[case]
    (tmp_path / "odd.png").write_bytes(data)
    labels = MaskFile(tmp_path / "odd.png").read((40, 40))
    assert labels.values == keys
    assert labels.size == (40, 40)
    assert np.array_equal(labels.indices, indices)
    assert labels.count() == dict(zip(keys, np.bincount(indices.ravel()).tolist(), strict=True))
    assert not labels.lossy
    assert CASES[case]


@pytest.mark.parametrize("format", ["PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_every_lossless_format_keeps_labels(tmp_path, format):
    options = {"lossless": True} if format == "WEBP" else {}
    (tmp_path / "odd").write_bytes(encode(LABELS, format, **options))
    labels = MaskFile(tmp_path / "odd").read((40, 40))
    assert np.array_equal(np.array(labels.values)[labels.indices], LABELS)
    assert not labels.lossy


@pytest.mark.parametrize(("data", "row"), [
    (gray_png_with_2_bits(), [0, 1, 2, 3]),
    (gray_png_with_4_bits(), [0, 3, 9, 15]),
])  # fmt: skip
def test_few_bits_are_not_stretched(tmp_path, data, row):
    (tmp_path / "odd.png").write_bytes(data)
    labels = MaskFile(tmp_path / "odd.png").read((40, 40))
    assert np.array(labels.values)[labels.indices][0, :4].tolist() == row
    assert CASES["gray mask with 2 or 4 bits"]


def test_a_palette_has_its_colors_as_well(tmp_path):
    (tmp_path / "odd.png").write_bytes(palette_png(LABELS))
    assert MaskFile(tmp_path / "odd.png").read((40, 40)).colors == (0, "#01fe00")


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_lossy_formats_are_recognized(tmp_path, format):
    content = io.BytesIO()
    Image.fromarray(LABELS * 255).save(content, format)
    (tmp_path / "odd").write_bytes(content.getvalue())
    assert MaskFile(tmp_path / "odd").read((40, 40)).lossy


def test_a_guess_about_transparent_pixels_is_noted(tmp_path):
    for case, is_noted in [
        ("mask with transparency", True),
        ("mask with an even transparency", False),
    ]:
        (tmp_path / "mask.png").write_bytes(READ[case][0])
        assert bool(MaskFile(tmp_path / "mask.png").read((40, 40)).notes) == is_noted


def test_a_wholly_transparent_mask_of_one_color_is_background(tmp_path):
    path = tmp_path / "empty.png"
    Image.new("RGBA", (40, 40), (255, 255, 255, 0)).save(path)
    labels = MaskFile(path).read((40, 40))
    assert labels.count() == {0: 1600}
    assert labels.notes == ("Masks with transparent pixels, which get label 0",)
    assert CASES["mask of one color that is wholly transparent"]


@pytest.mark.parametrize("mode", ["L", "P", "RGB"])
def test_a_mask_is_turned_as_its_exif_rotation_says(tmp_path, mode):
    stored = np.zeros((6, 9), np.uint8)
    stored[0, :4] = 1
    image = Image.fromarray(stored)
    image = (
        image.convert(mode) if mode == "RGB" else Image.frombytes(mode, (9, 6), stored.tobytes())
    )
    if mode == "P":
        image.putpalette([0, 0, 0, 48, 112, 32])
    path = tmp_path / "turned.png"
    image.save(path, exif=exif(6))
    labels = MaskFile(path).read((6, 9))
    assert np.array_equal(labels.indices, np.rot90(stored, -1))
    assert labels.notes == ("Masks with an EXIF rotation, turned as a viewer shows them",)
    assert CASES["mask with an EXIF rotation"]


def test_a_mask_whose_exif_rotation_is_a_copy_of_its_photos_is_not_turned(tmp_path):
    path = tmp_path / "upright.png"
    Image.fromarray(LABELS[:6, :9]).save(path, exif=exif(6))
    labels = MaskFile(path).read((9, 6))
    assert np.array_equal(labels.indices, LABELS[:6, :9])
    assert labels.notes == ()


def test_black_and_transparent_pixels_have_the_same_label_which_is_said():
    alpha = OPAQUE.copy()
    alpha[0] = 0
    labels = decode_mask(encode(np.dstack([COLORS, alpha])), (40, 40))
    assert labels.values == (0, GREEN)
    assert labels.notes == (
        "Masks with black pixels and transparent ones, whose label is 0 for both",
    )
