"""Pictures, masks, lists and folders as they come from people: each is told in one sentence, or handled.

What is promised for each stands in docs/robustness.md.
"""

import io
import os
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from PIL import Image

from petseg.config.params import parse_params
from petseg.core.errors import PetsegError
from petseg.datasets import folder
from petseg.datasets.prepare import prepare_dataset
from petseg.evaluation.tables import per_image_table, write_table
from petseg.preprocessing.preprocess import preprocess
from support.datasets import draw_masks_folder, draw_oxford_folder, examples, save
from support.metrics import without_edges
from support.project import with_values
from support.robustness import matches

SECTION = "Images, masks and folders"
CASES = {
    "truncated JPEG": "mine/images/odd.jpg can't be read as a picture (image file is truncated…); mend it or take it out.",
    "truncated PNG": "mine/images/pug/2.png can't be read as a picture (image file is truncated…); mend it or take it out.",
    "zero bytes": "mine/images/pug/2.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "text named .jpg": "mine/images/odd.jpg can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "bomb of 30,000 x 30,000": "mine/images/pug/2.png can't be read as a picture (Image size (900000000 pixels) exceeds limit…); mend it or take it out.",
    "just too large": "mine/images/pug/2.png can't be read as a picture (Image size (90000000 pixels) exceeds limit…); mend it or take it out.",
    "no pixels": "mine/images/pug/2.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "animated PNG": "mine/images/pug/2.png can't be read as a picture (it has 3 frames, but must be a single picture); mend it or take it out.",
    "animated GIF": "mine/images/pug/9.gif is of a kind that isn't read; save it as one of .bmp, .jpeg, .jpg, .png, .webp.",
    "animated GIF named .png": "mine/images/pug/2.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "a file of 600 MB": "mine/images/pug/2.png can't be read as a picture (it has 600 MB, more than any picture that is read); mend it or take it out.",
    "GIF": "mine/images/pug/9.gif is of a kind that isn't read; save it as one of .bmp, .jpeg, .jpg, .png, .webp.",
    "GIF named .png": "mine/images/pug/2.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "PostScript named .png": "mine/images/pug/2.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "TIFF named .png": "mine/images/pug/2.png can't be read as a picture (it is no JPEG, PNG, BMP or WebP).",
    "a name with a newline": "The name of 'mine/images/two\\nlines.png' holds what can't be printed; give it another name.",
    "a name that is not UTF-8": "The name of 'mine/images/caf\\udce9.png' holds what can't be printed; give it another name.",
    "a link to nothing": "mine/images/pug/2.png is a link that leads nowhere; mend it or take it out.",
    "a link to itself": "mine/images/pug/2.png is a link that leads nowhere; mend it or take it out.",
    "no mask": "mine/images/pug/2.png has no mask; put one at mine/masks/pug/2.png.",
    "a mask for two": "mine/images/pug/2.jpg and mine/images/pug/2.png share the mask mine/masks/pug/2.png; give one of them another name.",
    "mask of another size": "mine/masks/pug/2.png is 40x30, but its picture mine/images/pug/2.png is 40x40; a mask must have its picture's size.",
    "mask with an unknown label": "The mask of pug/2.png contains the label 8, but labels are 0 to 1 (background, animal) and 255 (ignore).",
    "mask in colors": "mine/masks/pug/2.png can't be read as a mask (it has 3 channels, but a mask holds one label per pixel; save it as a grey or palette PNG); mend it or take it out.",
    "mask with transparency": "mine/masks/pug/2.png can't be read as a mask (it has 2 channels, but a mask holds one label per pixel; save it as a grey or palette PNG); mend it or take it out.",
    "mask as JPEG": "mine/masks/pug/2.png can't be read as a mask (it is a JPEG, which blurs labels; save it as PNG); mend it or take it out.",
    "mask with 16-bit labels": "mine/masks/pug/2.png can't be read as a mask (it holds the label 300, but labels go from 0 to 255); mend it or take it out.",
    "truncated mask": "mine/masks/pug/2.png can't be read as a mask (image file is truncated…); mend it or take it out.",
    "empty mask file": "mine/masks/pug/2.png can't be read as a mask (it is no JPEG, PNG, BMP or WebP).",
    "all masks ignored": "Every pixel in the masks of the train split is 255 (ignore); label some images.",
    "one class only": "No mask of the train split contains class 1, 'animal' (0 of 3072 pixels are 255, ignore); check that the masks contain class numbers and that the list of classes fits them.",
    "test masks ignored": "Every pixel in the masks of the test split is 255 (ignore); label some images.",
    "mask of 2-bit grey": "mine/masks/pug/2.png can't be read as a mask (its grey has 2 bits, which Pillow stretches to 0..255; save it with 8 bits); mend it or take it out.",
    "list with a duplicate": "mine/test.txt, line 2 names 'pug/0.png' a second time; take one of them out.",
    "list with an unknown name": "mine/test.txt, line 1 names 'pug/77.png', which is not in mine/images.",
    "list with a path to elsewhere": "mine/test.txt, line 1 names '../../etc/passwd', which is not in mine/images.",
    "empty list": "mine has no pictures for the test split; add pictures, or change its test.txt or dataset.folder.test_fraction.",
    "list that is not UTF-8": "mine/test.txt is not UTF-8 text (byte 3).",
    "list of all pictures": "mine has no pictures for the train split; add pictures, or change its test.txt or dataset.folder.test_fraction.",
    "one picture": "mine has no pictures for the train split; add pictures, or change its test.txt or dataset.folder.test_fraction.",
    "no pictures": "mine has no pictures for the train split; add pictures, or change its test.txt or dataset.folder.test_fraction.",
    "no masks folder": "mine holds neither annotations/ (the Oxford layout) nor masks/ beside images/; data/folder/README.md shows both.",
    "no images folder": "mine/images is not there; the layout 'masks' needs images/ and masks/ in mine.",
    "PNG named .jpg": "Read as what it is: the first bytes tell, not the name.",
    "RGBA": "The transparency is left out.",
    "CMYK JPEG": "Turned into RGB.",
    "grey JPEG": "Turned into RGB.",
    "16-bit grey PNG": "The upper 8 bits are taken.",
    "16-bit color PNG": "The upper 8 bits are taken.",
    "black and white PNG": "Turned into RGB.",
    "palette PNG": "Turned into RGB.",
    "EXIF-rotated": "Turned as a viewer shows it; the mask must fit what is shown.",
    "broken EXIF": "Read as if there were none.",
    "two pictures in one JPEG": "The first is read (some phones write a preview behind it).",
    "1x1": "Enlarged like any other picture.",
    "a name with spaces": "Read.",
    "a name with quotes": "Read; quoted in the CSV tables.",
    "a name in another script": "Read.",
    "a link in a circle": "Links to folders are not followed.",
    "hidden folders": "Left out.",
    "hidden files": "Left out.",
    "other files": "Left out, if their names don't end like those of pictures.",
    "mask with a palette": "Its indices are the labels, whatever its colours.",
    "black and white mask": "Labels 0 and 1.",
    "one mask ignored": "Kept; its pixels are in no count.",
    "list with CRLF and a byte order mark": "Read; so are comments and empty lines.",
    "breed with one picture": "Kept; it falls into one split.",
    "Oxford list with a duplicate": "pets lists the picture 'beagle_2.jpg' twice; keep one of the two lines.",
    "Oxford list, picture in both splits": "pets lists the picture 'beagle_8.jpg' twice; keep one of the two lines.",
    "Oxford list with an unknown name": "pets/annotations/trainval.txt, line 4 names a picture whose file pets/images/pug_1.jpg is not there.",
    "Oxford list with a short line": "pets/annotations/trainval.txt, line 4 is 'beagle_2 5', but must be 'NAME CLASS-ID SPECIES BREED-ID' with species 1 or 2.",
    "Oxford list with a path to elsewhere": "pets/annotations/test.txt, line 3 names '../../../etc/passwd', but a name must not lead elsewhere.",
    "Oxford list missing": "pets/annotations/test.txt can't be read (No such file or directory).",
    "Oxford list empty": "pets has no pictures for the train split; add pictures, or change its test.txt or dataset.folder.test_fraction.",
    "a picture removed while it is read": "mine/images/pug/2.png can't be read as a picture (No such file or directory); mend it or take it out.",
    "a picture that TensorFlow can't decode": "The image … or its mask can't be decoded; fix or remove it.",
}  # fmt: skip

PICTURE, MASK = "images/pug/2.png", "masks/pug/2.png"
GREY = np.tile(np.linspace(0, 255, 40, dtype=np.uint8), (40, 1))
COLOUR = np.dstack([GREY, GREY.T, 255 - GREY])


def encoded(array, kind, **options):
    content = io.BytesIO()
    (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(
        content, kind, **options
    )
    return content.getvalue()


def png_of_size(width, height):
    """A PNG that says it is so large, and holds nothing."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


def encoded_2_bit():
    """A grey PNG of 2 bits per pixel, which Pillow can't write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 40, 40, 2, 0, 0, 0, 0)
    rows = b"".join(b"\0" + b"\x1b" * 10 for _ in range(40))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def color_of_16_bits():
    """A PNG of 16 bits per channel, which Pillow can't write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    rows = b"".join(
        b"\0" + (row * np.uint16(256) + np.uint16(255)).astype(">u2").tobytes() for row in COLOUR
    )
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def with_palette(mask):
    picture = Image.fromarray(mask, "P")
    picture.putpalette([value for grey in range(256) for value in (255 - grey, grey, 7)])
    return encoded(picture, "PNG")


def huge(name):
    """A file of 600 MB that takes no room."""

    def change(root):
        with (root / name).open("wb") as file:
            file.truncate(600 * 10**6)

    return change


def animated(kind):
    frames = [Image.fromarray(np.full((40, 40, 3), shade, np.uint8)) for shade in (0, 100, 200)]
    content = io.BytesIO()
    frames[0].save(content, kind, save_all=True, append_images=frames[1:])
    return content.getvalue()


def phone_photo():
    """Two pictures in one JPEG, as some phones write them."""
    content = io.BytesIO()
    Image.fromarray(COLOUR).save(
        content, "MPO", save_all=True, append_images=[Image.fromarray(COLOUR[::-1].copy())]
    )
    return content.getvalue()


def write(name, data):
    def change(root):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)

    return change


def add(name, data, side=(40, 40)):
    """A new picture with a mask of its size."""

    def change(root):
        write(f"images/{name}", data)(root)
        save(
            np.arange(side[0] * side[1]).reshape(side).astype(np.uint8) % 2,
            root / f"masks/{name.rsplit('.', 1)[0]}.png",
        )

    return change


def link(name, target):
    def change(root):
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)

    return change


def all_masks(values):
    def change(root):
        for mask in (root / "masks").rglob("*.png"):
            save(np.broadcast_to(np.asarray(values, np.uint8), (40, 40)).copy(), mask)

    return change


def both(*changes):
    def change(root):
        for one in changes:
            one(root)

    return change


def bytes_name(root):
    raw = os.fsencode(root / "images") + b"/caf\xe9.png"
    try:
        with open(raw, "wb") as file:
            file.write(encoded(COLOUR, "PNG"))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with open(os.fsencode(root / "masks") + b"/caf\xe9.png", "wb") as file:
        file.write(encoded(GREY % 2, "PNG"))


def remove(*names):
    def change(root):
        for name in names:
            (root / name).unlink()

    return change


def only(count):
    """Keep so many pictures."""

    def change(root):
        for path in sorted((root / "images").rglob("*.png"))[count:]:
            path.unlink()

    return change


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


WIDE = COLOUR[:30]  # 40 wide, 30 high
CHECKS = (np.add.outer(np.arange(40), np.arange(40)) // 8 % 2).astype(np.uint8)

REFUSED = {
    "truncated JPEG": add("odd.jpg", encoded(COLOUR, "JPEG")[:-200]),
    "truncated PNG": write(PICTURE, encoded(COLOUR, "PNG")[:60]),
    "zero bytes": write(PICTURE, b""),
    "text named .jpg": add("odd.jpg", b"not a picture"),
    "bomb of 30,000 x 30,000": write(PICTURE, png_of_size(30_000, 30_000)),
    "just too large": write(PICTURE, png_of_size(10_000, 9_000)),
    "no pixels": write(PICTURE, png_of_size(0, 40)),
    "animated PNG": write(PICTURE, animated("PNG")),
    "animated GIF": write("images/pug/9.gif", animated("GIF")),
    "animated GIF named .png": write(PICTURE, animated("GIF")),
    "a file of 600 MB": huge(PICTURE),
    "GIF": write("images/pug/9.gif", encoded(GREY, "GIF")),
    "GIF named .png": write(PICTURE, encoded(GREY, "GIF")),
    "PostScript named .png": write(PICTURE, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
    "TIFF named .png": write(PICTURE, encoded(Image.fromarray(GREY.astype(np.int32)), "TIFF")),
    "a name with a newline": add("two\nlines.png", encoded(COLOUR, "PNG")),
    "a name that is not UTF-8": bytes_name,
    "a link to nothing": link(PICTURE, "nowhere.png"),
    "a link to itself": link(PICTURE, "2.png"),
    "no mask": remove(MASK),
    "a mask for two": write("images/pug/2.jpg", encoded(COLOUR, "JPEG")),
    "mask of another size": write(MASK, encoded(GREY[:30] % 2, "PNG")),
    "mask with an unknown label": write(MASK, encoded(GREY % 9, "PNG")),
    "mask in colors": write(MASK, encoded(COLOUR, "PNG")),
    "mask with transparency": write(MASK, encoded(Image.fromarray(GREY).convert("LA"), "PNG")),
    "mask as JPEG": write(MASK, encoded(GREY, "JPEG")),
    "mask with 16-bit labels": write(MASK, encoded(Image.fromarray(np.full((40, 40), 300, np.uint16)), "PNG")),
    "truncated mask": write(MASK, encoded(GREY % 2, "PNG")[:-30]),
    "empty mask file": write(MASK, b""),
    "all masks ignored": all_masks(255),
    "one class only": all_masks(0),
    "test masks ignored": lambda root: [save(np.full((40, 40), 255, np.uint8), root / f"masks/pug/{name}.png") for name in ("0", "2")] and (root / "test.txt").write_text("pug/0.png\npug/2.png\n"),
    "mask of 2-bit grey": write(MASK, encoded_2_bit()),
    "list with a duplicate": write("test.txt", b"pug/0.png\npug/0.png\n"),
    "list with an unknown name": write("test.txt", b"pug/77.png\n"),
    "list with a path to elsewhere": write("test.txt", b"../../etc/passwd\n"),
    "empty list": write("test.txt", b""),
    "list that is not UTF-8": write("test.txt", b"caf\xe9.png\n"),
    "list of all pictures": lambda root: (root / "test.txt").write_text("".join(f"{p.relative_to(root / 'images').as_posix()}\n" for p in (root / "images").rglob("*.png"))),
    "one picture": only(1),
    "no pictures": only(0),
    "no masks folder": lambda root: (root / "masks").rename(root / "labels"),
    "no images folder": lambda root: (root / "images").rename(root / "pictures"),
}  # fmt: skip

# What is handled: a change, the picture to look at, and what it must be like.
HANDLED = {
    "PNG named .jpg": (add("odd.jpg", encoded(COLOUR, "PNG")), "odd.jpg", lambda image: np.array_equal(image, COLOUR)),
    "RGBA": (add("odd.png", encoded(np.dstack([COLOUR, GREY]), "PNG")), "odd.png", lambda image: np.array_equal(image, COLOUR)),
    "CMYK JPEG": (add("odd.jpg", encoded(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=100)), "odd.jpg", lambda image: np.abs(image.astype(int) - COLOUR).mean() < 6),
    "grey JPEG": (add("odd.jpg", encoded(GREY, "JPEG", quality=100)), "odd.jpg", lambda image: np.abs(image.astype(int) - GREY[..., None]).mean() < 3),
    "16-bit grey PNG": (add("odd.png", encoded(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG")), "odd.png", lambda image: np.array_equal(image, np.dstack([GREY] * 3))),
    "16-bit color PNG": (add("odd.png", color_of_16_bits()), "odd.png", lambda image: np.array_equal(image, COLOUR)),
    "black and white PNG": (add("odd.png", encoded(Image.fromarray(GREY).convert("1"), "PNG")), "odd.png", lambda image: set(np.unique(image)) == {0, 255}),
    "palette PNG": (add("odd.png", encoded(Image.fromarray(GREY).convert("P"), "PNG")), "odd.png", lambda image: np.abs(image[..., 0].astype(int) - GREY).max() <= 2),
    "EXIF-rotated": (add("odd.jpg", encoded(WIDE, "JPEG", exif=exif(6), quality=100), (40, 30)), "odd.jpg", lambda image: np.abs(image.astype(int) - np.rot90(WIDE, -1)).mean() < 6),
    "broken EXIF": (add("odd.jpg", encoded(COLOUR, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\xff\xff\xff")), "odd.jpg", lambda image: image.shape == (40, 40, 3)),
    "two pictures in one JPEG": (add("odd.jpg", phone_photo()), "odd.jpg", lambda image: np.abs(image.astype(int) - COLOUR).mean() < 12),
    "1x1": (add("odd.png", encoded(COLOUR[:1, :1], "PNG"), (1, 1)), "odd.png", lambda image: image.shape == (1, 1, 3)),
    "a name with spaces": (add("my pet.png", encoded(COLOUR, "PNG")), "my pet.png", lambda image: image.shape == (40, 40, 3)),
    "a name with quotes": (add("the \"cat's\".png", encoded(COLOUR, "PNG")), "the \"cat's\".png", lambda image: image.shape == (40, 40, 3)),
    "a name in another script": (add("猫と犬.png", encoded(COLOUR, "PNG")), "猫と犬.png", lambda image: image.shape == (40, 40, 3)),
    "a link in a circle": (link("images/pug/again", ".."), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "hidden folders": (write("images/.ipynb_checkpoints/2.png", b"what notebooks leave behind"), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "hidden files": (write("images/pug/._2.png", b"what macOS leaves behind"), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "other files": (write("images/Thumbs.db", b"what Windows leaves behind"), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "mask with a palette": (write(MASK, with_palette(CHECKS)), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "black and white mask": (write(MASK, encoded(Image.fromarray(GREY > 99), "PNG")), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "one mask ignored": (write(MASK, encoded(np.full((40, 40), 255, np.uint8), "PNG")), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "list with CRLF and a byte order mark": (write("test.txt", b"\xef\xbb\xbf# a comment\r\npug/0.png\r\n\r\npug/2.png\r\n"), "pug/2.png", lambda image: image.shape == (40, 40, 3)),
    "breed with one picture": (add("husky/1.png", encoded(COLOUR, "PNG")), "husky/1.png", lambda image: image.shape == (40, 40, 3)),
}  # fmt: skip

# ... and what its mask must be then.
MASKS = {
    "mask with a palette": CHECKS,
    "black and white mask": (GREY > 99).astype(np.uint8),
    "one mask ignored": np.full((40, 40), 255, np.uint8),
}


def draw_folder(root):
    """Pictures enough that no split is empty."""
    draw_masks_folder(root)
    for kind in ("images", "masks"):
        for path in sorted((root / kind).rglob("*.png")):
            shutil.copy(path, path.with_name(f"again_{path.name}"))
    return root


def run(root, default_params, tiny_params, out):
    values = {
        "dataset.name": "folder",
        "dataset.folder.path": str(root),
        "dataset.folder.classes": ["background", "animal"],
        "dataset.folder.test_fraction": 0.5,
    }
    prepare_dataset(
        parse_params(with_values(default_params, values)).dataset, out / "raw", out / "archives"
    )
    settings = tiny_params.preprocess.model_copy(update={"val_fraction": 0.5})
    return preprocess(settings, 0, out / "raw", out / "tfrecords")


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_told_in_one_sentence(default_params, tiny_params, tmp_path, case):
    root = draw_folder(tmp_path / "mine")
    REFUSED[case](root)
    out = tmp_path / "out"
    with pytest.raises(PetsegError) as caught:
        run(root, default_params, tiny_params, out)
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert not (out / "tfrecords").exists()
    assert not list(out.rglob("*.partial"))


@pytest.mark.parametrize("case", HANDLED)
def test_what_is_odd_but_clear_is_handled(default_params, tiny_params, tmp_path, case):
    change, name, right = HANDLED[case]
    assert CASES[case]
    root = draw_folder(tmp_path / "mine")
    change(root)
    manifest = run(root, default_params, tiny_params, tmp_path / "out")
    found = (
        examples(tmp_path / "out" / "raw", "train")[0]
        | examples(tmp_path / "out" / "raw", "test")[0]
    )
    assert right(
        tf.io.decode_image(found[name]["image"], channels=3, expand_animations=False).numpy()
    )
    assert sum(split.num_examples for split in manifest.splits.values()) == len(found)
    if case in MASKS:
        mask = tf.io.decode_image(found[name]["segmentation_mask"], channels=1).numpy()[..., 0]
        assert np.array_equal(mask, MASKS[case])


def test_a_name_with_quotes_is_the_same_in_the_tables(tmp_path):
    names = ['the "cat\'s".png', "one, two.png", "猫.png"]
    pictures = pd.DataFrame({"file_name": names, "breed": "pug", "species": "dog"})
    counts = without_edges(np.tile(np.diag([3, 2, 1]), (3, 1, 1)), ("a", "b", "c"))
    write_table(tmp_path / "table.csv", per_image_table(pictures, counts))
    assert sorted(pd.read_csv(tmp_path / "table.csv")["file_name"]) == sorted(names)


def test_a_picture_removed_while_the_data_set_is_read_is_told(
    default_params, tiny_params, tmp_path, monkeypatch
):
    root = draw_folder(tmp_path / "mine")
    listed = folder.Folder._split_generators

    def remove_first(builder, manager):
        (root / PICTURE).unlink()
        return listed(builder, manager)

    monkeypatch.setattr(folder.Folder, "_split_generators", remove_first)
    with pytest.raises(PetsegError) as caught:
        run(root, default_params, tiny_params, tmp_path / "out")
    assert not (tmp_path / "out" / "raw").exists()
    assert matches(CASES["a picture removed while it is read"], str(caught.value), tmp_path)


def test_a_picture_that_only_tensorflow_cannot_decode_is_named(
    default_params, tiny_params, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        folder, "read_image", lambda path: (io.BytesIO(b"\xff\xd8\xff no JPEG"), (40, 40))
    )
    with pytest.raises(PetsegError) as caught:
        run(draw_folder(tmp_path / "mine"), default_params, tiny_params, tmp_path / "out")
    assert matches(CASES["a picture that TensorFlow can't decode"], str(caught.value), tmp_path), (
        str(caught.value)
    )


OXFORD = {
    "Oxford list with a duplicate": ("trainval.txt", "beagle_2 5 2 1\n"),
    "Oxford list, picture in both splits": ("trainval.txt", "beagle_8 5 2 1\n"),
    "Oxford list with an unknown name": ("trainval.txt", "pug_1 5 2 1\n"),
    "Oxford list with a short line": ("trainval.txt", "beagle_2 5\n"),
    "Oxford list with a path to elsewhere": ("test.txt", "../../../etc/passwd 5 2 1\n"),
    "Oxford list missing": ("test.txt", None),
    "Oxford list empty": ("trainval.txt", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", OXFORD)
def test_a_broken_list_of_the_oxford_layout_is_told(default_params, tiny_params, tmp_path, case):
    file, line = OXFORD[case]
    root = draw_oxford_folder(tmp_path / "pets")
    path: Path = root / "annotations" / file
    if line:
        path.write_text(path.read_text() + line)
    elif line is None:
        path.unlink()
    else:
        path.write_text("")
    with pytest.raises(PetsegError) as caught:
        run(root, default_params, tiny_params, tmp_path / "out")
    assert matches(CASES[case], str(caught.value), tmp_path), str(caught.value)
    assert not (tmp_path / "out" / "raw").exists()
