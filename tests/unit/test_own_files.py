"""The signature by which petseg recognizes the images it wrote."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from petseg.core.errors import PetsegError
from petseg.own_files import has_signature, is_unchanged, require_own_file, sign_image

NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)


def encode(image, kind, **options):
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def palette_image():
    image = Image.fromarray(NOISE[..., 0] // 100)
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    return image


IMAGES = {
    "mask": (palette_image(), "PNG", {}),
    "overlay": (Image.fromarray(NOISE), "JPEG", {"quality": 92}),
    "cutout": (Image.fromarray(np.dstack([NOISE, NOISE[..., 0]])), "PNG", {"compress_level": 3}),
}


@pytest.fixture(params=IMAGES)
def signed(request, tmp_path):
    """The path of a signed image and the image itself."""
    image, kind, options = IMAGES[request.param]
    data = encode(image, kind, **options)
    path = tmp_path / "image"
    path.write_bytes(sign_image(data))
    with Image.open(io.BytesIO(data)) as plain:
        plain.load()
    return path, plain


def test_a_signed_image_shows_the_same_and_its_copy_is_recognized(signed, tmp_path):
    path, plain = signed
    with Image.open(path) as image:
        image.load()
        assert (image.mode, image.format) == (plain.mode, plain.format)
        assert image.getpalette() == plain.getpalette()
        assert np.array_equal(np.asarray(image), np.asarray(plain))
    copy = tmp_path / "renamed"
    copy.write_bytes(path.read_bytes())
    assert has_signature(copy)
    assert is_unchanged(copy)


@pytest.mark.parametrize("position", [3, 25, 60, 90, 130, -20, -1])
def test_an_edited_image_is_not_unchanged(signed, position):
    path, _ = signed
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    assert not is_unchanged(path)


def test_an_image_saved_by_another_program_is_not_unchanged(signed):
    path, _ = signed
    with Image.open(path) as image:
        ImageDraw.Draw(image).point((3, 3), 1 if image.mode == "P" else "white")
        kept = {"pnginfo": None} if image.format == "PNG" else {"comment": image.info["comment"]}
        path.write_bytes(encode(image, image.format, **kept))
    assert not is_unchanged(path)


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_of_somebody_else_has_no_signature(case, tmp_path):
    image, kind, options = IMAGES[case]
    (tmp_path / "image").write_bytes(encode(image, kind, **options))
    assert not has_signature(tmp_path / "image")
    assert not is_unchanged(tmp_path / "image")


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"text" * 100])
def test_any_other_file_has_no_signature(data, tmp_path):
    (tmp_path / "image").write_bytes(data)
    assert not has_signature(tmp_path / "image")
    assert not is_unchanged(tmp_path / "image")


def test_only_files_that_petseg_wrote_may_be_replaced(tmp_path):
    image, table = tmp_path / "images.png", tmp_path / "table.csv"
    require_own_file(image)
    require_own_file(table, "metric,")
    image.write_bytes(sign_image(encode(Image.fromarray(NOISE), "PNG")))
    table.write_text("metric,mean\n")
    require_own_file(image)
    require_own_file(table, "metric,")
    image.write_bytes(encode(Image.fromarray(NOISE), "PNG"))
    for path, columns in ((image, ""), (table, "experiment,")):
        with pytest.raises(
            PetsegError, match=rf"^{path} was not written by petseg, or was edited since; use"
        ):
            require_own_file(path, columns)
