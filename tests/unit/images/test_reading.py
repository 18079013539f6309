"""Images from any file: decoded as a viewer shows them, or rejected with the reason."""

import io

import numpy as np
import pytest
from PIL import Image

from petseg.core.errors import PetsegError
from petseg.core.geometry import MAX_TILED_PIXELS
from petseg.images.reading import (
    read_facts,
    read_image_size,
    read_rgb,
    upright_rgb,
)
from support.image_files import (
    COLOR,
    GRAY,
    animation,
    color_png_with_16_bits,
    encode,
    exif,
    phone_photo,
    png_of_size,
    tiff_with_overview,
)
from support.robustness import matches

SECTION = "Images and masks"
CASES = {
    "truncated JPEG": "odd.jpg can't be read as an image (image file is truncated…); fix or remove it.",
    "truncated PNG": "odd.png can't be read as an image (image file is truncated…); fix or remove it.",
    "empty file": "odd.png can't be read as an image (not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read); fix or remove it.",
    "text named .jpg": "odd.jpg can't be read as an image (not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read); fix or remove it.",
    "decompression bomb of 30,000 x 30,000 pixels": "odd.png can't be read as an image (it has 900.0 megapixels, but must have at most …); fix or remove it.",
    "photo just too large": "odd.png can't be read as an image (it has 90.0 megapixels, but must have at most 89); fix or remove it.",
    "file of a data set that is just too large": "odd.png can't be read as an image (it has 540.0 megapixels, but must have at most 536); fix or remove it.",
    "image without pixels": "odd.png can't be read as an image (not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read); fix or remove it.",
    "animated PNG": "odd.png can't be read as an image (it has 3 frames, but must be a single image); fix or remove it.",
    "animated GIF named .png": "odd.png can't be read as an image (it has 3 frames, but must be a single image); fix or remove it.",
    "TIFF of several pages": "odd.png can't be read as an image (it has 3 frames, but must be a single image); fix or remove it.",
    "PostScript named .png": "odd.png can't be read as an image (not a JPEG, PNG, BMP, WebP, TIFF or GIF file that Pillow can read); fix or remove it.",
    "TIFF of floating-point numbers": "odd.png can't be read as an image (its pixels are floating-point numbers; save it with 8-bit channels); fix or remove it.",
    "TIFF of negative numbers": "odd.png can't be read as an image (its values are not within 0 to 65535; save it with 8-bit channels); fix or remove it.",
    "16-bit color PNG with 12-bit data": "odd.png can't be read as an image (its brightest 16-bit value is below 16384, so its upper 8 bits are nearly black; rescale it and save it with 8-bit channels); fix or remove it.",
    "file of 600 MB": "odd.png can't be read as an image (it is 600 MB, but must be at most 536); fix or remove it.",
    "missing image": "odd.png can't be read as an image (No such file or directory); fix or remove it.",
    "PNG named .jpg": "Read as a PNG: the first bytes count, not the name.",
    "RGBA image": "Read; transparency is dropped.",
    "CMYK JPEG": "Converted to RGB.",
    "gray JPEG": "Converted to RGB.",
    "16-bit gray PNG": "Reduced to the upper 8 bits.",
    "16-bit gray PNG with 12-bit data": "Reduced to the upper 8 of 10, 12 or 14 bits if no pixel is brighter.",
    "16-bit TIFF, big-endian": "Read like a 16-bit PNG.",
    "TIFF": "Read.",
    "rotated TIFF": "Rotated as a viewer shows it.",
    "TIFF with a smaller copy of itself": "The first page is read.",
    "GIF": "Read if it is a single frame.",
    "16-bit color PNG": "Reduced to the upper 8 bits.",
    "black and white PNG": "Converted to RGB.",
    "palette PNG": "Converted to RGB.",
    "JPEG with EXIF orientation": "Rotated as a viewer shows it; its mask must fit what is shown.",
    "JPEG with broken EXIF data": "Read without the EXIF data.",
    "two images in one JPEG": "The first is read (some phones add a preview).",
    "image of 1 x 1 pixel": "Read.",
}  # fmt: skip

NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
LABELS = (np.add.outer(np.arange(40), np.arange(40)) // 8 % 2).astype(np.uint8)
WIDE = COLOR[:30]  # 40 wide, 30 high

REJECTED_IMAGES = {
    "truncated JPEG": ("odd.jpg", encode(COLOR, "JPEG")[:-200]),
    "truncated PNG": ("odd.png", encode(NOISE)[:300]),
    "empty file": ("odd.png", b""),
    "text named .jpg": ("odd.jpg", b"not an image"),
    "decompression bomb of 30,000 x 30,000 pixels": ("odd.png", png_of_size(30_000, 30_000)),
    "image without pixels": ("odd.png", png_of_size(0, 40)),
    "animated PNG": ("odd.png", animation("PNG")),
    "animated GIF named .png": ("odd.png", animation("GIF")),
    "PostScript named .png": ("odd.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "TIFF of several pages": ("odd.png", animation("TIFF")),
    "TIFF of floating-point numbers": ("odd.png", encode(GRAY.astype(np.float32), "TIFF")),
    "TIFF of negative numbers": ("odd.png", encode(GRAY.astype(np.int32) - 9, "TIFF")),
    "16-bit color PNG with 12-bit data": ("odd.png", color_png_with_16_bits(bits=12)),
}

# How much an image of each file may differ from what it shows, in the mean over its values.
READ_IMAGES = {
    "PNG named .jpg": (encode(COLOR), COLOR, 0),
    "RGBA image": (encode(np.dstack([COLOR, GRAY])), COLOR, 0),
    "CMYK JPEG": (encode(Image.fromarray(COLOR).convert("CMYK"), "JPEG", quality=100), COLOR, 6),
    "gray JPEG": (encode(GRAY, "JPEG", quality=100), np.dstack([GRAY] * 3), 3),
    "16-bit gray PNG": (encode(GRAY.astype(np.uint16) * 257), np.dstack([GRAY] * 3), 0),
    "16-bit gray PNG with 12-bit data": (encode(GRAY.astype(np.uint16) * 16), np.dstack([GRAY] * 3), 0),
    "16-bit TIFF, big-endian": (encode(Image.frombytes("I;16B", (40, 40), GRAY.astype(">u2").tobytes()), "TIFF"), np.dstack([GRAY] * 3), 0),
    "TIFF": (encode(COLOR, "TIFF", compression="tiff_lzw"), COLOR, 0),
    "rotated TIFF": (encode(WIDE, "TIFF", exif=exif(6)), np.rot90(WIDE, -1), 0),
    "TIFF with a smaller copy of itself": (tiff_with_overview(), COLOR, 0),
    "GIF": (encode(GRAY, "GIF"), np.dstack([GRAY] * 3), 0),
    "16-bit color PNG": (color_png_with_16_bits(), COLOR, 0),
    "black and white PNG": (encode(LABELS > 0), np.dstack([LABELS * 255] * 3), 0),
    "palette PNG": (encode(Image.fromarray(GRAY).convert("P")), np.dstack([GRAY] * 3), 2),
    "JPEG with EXIF orientation": (encode(WIDE, "JPEG", exif=exif(6), quality=100), np.rot90(WIDE, -1), 6),
    "JPEG with broken EXIF data": (encode(COLOR, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\xff\xff\xff"), COLOR, 12),
    "two images in one JPEG": (phone_photo(), COLOR, 12),
    "image of 1 x 1 pixel": (encode(COLOR[:1, :1]), COLOR[:1, :1], 0),
}  # fmt: skip


@pytest.mark.parametrize("read", [read_facts, read_rgb])
@pytest.mark.parametrize("case", REJECTED_IMAGES)
def test_an_unreadable_image_is_rejected_with_the_reason(tmp_path, case, read):
    name, data = REJECTED_IMAGES[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(PetsegError) as caught:
        read(tmp_path / name)
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


@pytest.mark.parametrize(
    ("case", "read", "size"),
    [
        ("photo just too large", read_rgb, (10_000, 9_000)),
        ("file of a data set that is just too large", read_facts, (20_000, 27_000)),
    ],
)
def test_a_data_set_may_have_larger_images_than_other_photos(tmp_path, case, read, size):
    """Only tiles make use of them, which preprocessing knows, not the reader of the folder."""
    (tmp_path / "odd.png").write_bytes(png_of_size(*size))
    with pytest.raises(PetsegError) as caught:
        read(tmp_path / "odd.png")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)


@pytest.mark.parametrize("case", READ_IMAGES)
def test_an_unusual_image_is_read_as_a_viewer_shows_it(tmp_path, case):
    data, shown, tolerance = READ_IMAGES[case]
    path = tmp_path / "odd.jpg"
    path.write_bytes(data)
    image = np.asarray(read_rgb(path))
    assert (image.shape, image.dtype) == (shown.shape, np.uint8)
    assert read_facts(path).size == (shown.shape[1], shown.shape[0])
    assert np.abs(image.astype(int) - shown).mean() <= tolerance
    assert CASES[case]


def test_a_huge_file_is_not_read(tmp_path):
    with (tmp_path / "odd.png").open("wb") as file:
        file.truncate(600 * 10**6)  # takes no space
    with pytest.raises(PetsegError) as caught:
        read_rgb(tmp_path / "odd.png")
    assert matches(CASES["file of 600 MB"], str(caught.value), tmp_path), str(caught.value)


def test_a_huge_image_is_read_on_request_and_pillows_own_limit_stays(tmp_path):
    limit = Image.MAX_IMAGE_PIXELS
    (tmp_path / "odd.png").write_bytes(png_of_size(20_000, 20_000))
    assert read_image_size(tmp_path / "odd.png", MAX_TILED_PIXELS) == (20_000, 20_000, 1)
    Image.new("1", (20_000, 10_000)).save(tmp_path / "odd.tif", compression="group4")
    assert read_image_size(tmp_path / "odd.tif", MAX_TILED_PIXELS) == (20_000, 10_000, 1)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(PetsegError) as caught:
        read_rgb(tmp_path / "odd.png")
    expected = CASES["missing image"]
    assert matches(expected, str(caught.value), tmp_path), str(caught.value)


def test_the_size_is_the_one_in_the_file(tmp_path):
    (tmp_path / "odd.jpg").write_bytes(encode(WIDE, "JPEG", exif=exif(6)))
    assert read_image_size(tmp_path / "odd.jpg") == (40, 30, 1)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF"])
def test_the_first_of_several_frames_is_read_on_request(tmp_path, kind):
    (tmp_path / "odd.png").write_bytes(animation(kind))
    width, height, frames = read_image_size(tmp_path / "odd.png")
    assert frames == 3
    first = read_rgb(tmp_path / "odd.png", first_frame=True)
    with Image.open(tmp_path / "odd.png") as image:
        assert np.array_equal(np.asarray(first), np.asarray(image.convert("RGB")))
    assert first.size == (width, height)


def test_an_image_in_memory_is_rotated_or_rejected():
    image = Image.open(io.BytesIO(encode(WIDE, "JPEG", exif=exif(6))))
    assert (upright_rgb(image).mode, upright_rgb(image).size) == ("RGB", (30, 40))
    with pytest.raises(
        PetsegError, match=r"The image can't be used \(its pixels are floating-point"
    ):
        upright_rgb(Image.fromarray(GRAY.astype(np.float32)))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (Image.open(io.BytesIO(encode(WIDE, "JPEG")[:-100])), "image file is truncated"),
        (Image.new("RGB", (0, 3)), "it has no pixels"),
    ],
)
def test_an_image_in_memory_that_cannot_be_decoded_is_rejected(image, reason):
    with pytest.raises(PetsegError, match=rf"The image can't be used \({reason}"):
        upright_rgb(image)


def test_the_same_colors_in_another_format_have_the_same_fingerprint(tmp_path):
    gray = Image.fromarray(np.arange(600 * 20, dtype=np.uint32).astype(np.uint8).reshape(600, 20))
    gray.save(tmp_path / "gray.png")
    gray.convert("RGB").save(tmp_path / "rgb.bmp")
    gray.rotate(180).save(tmp_path / "turned.png")
    Image.new("L", (600, 20)).save(tmp_path / "wide.png")
    Image.new("L", (20, 600)).save(tmp_path / "high.png")
    found = {path.stem: read_facts(path).fingerprint for path in tmp_path.iterdir()}
    assert found["gray"] == found["rgb"]
    assert len(set(found.values())) == 4


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_an_extra_channel_unless_all_is_opaque(tmp_path, mode):
    image = Image.new("RGBA", (8, 8), (9, 9, 9, 255))
    image.convert(mode).save(tmp_path / "opaque.png")
    image.putpixel((3, 3), (9, 9, 9, 0))
    image.convert(mode).save(tmp_path / "hole.png", **({"transparency": 0} if mode == "P" else {}))
    assert not read_facts(tmp_path / "opaque.png").has_extra_channel
    assert read_facts(tmp_path / "hole.png").has_extra_channel
