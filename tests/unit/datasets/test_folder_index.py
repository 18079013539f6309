"""Which images, masks and splits a user's folder has, and what is wrong with it. No image is read."""

import os

import pytest

from petseg.config.params import FolderParams
from petseg.core.errors import PetsegError
from petseg.datasets.folder_index import index_folder
from support.robustness import matches

SECTION = "Folders of images and lists"
CASES = {
    "GIF or another unsupported format": "mine/images/pug/9.gif has an unsupported format; convert it to one of .bmp, .jpeg, .jpg, .png, .webp.",
    "name with a newline": "'mine/images/two\\nlines.png' has unprintable characters in its name; rename it.",
    "name that is not UTF-8": "'mine/images/caf\\udce9.png' has unprintable characters in its name; rename it.",
    "broken symlink": "mine/images/pug/2.png is a broken symlink; fix or remove it.",
    "symlink to itself": "mine/images/pug/2.png is a broken symlink; fix or remove it.",
    "image without a mask": "mine/images/pug/2.png has no mask; add mine/masks/pug/2.png.",
    "two images with one mask": "mine/images/pug/2.jpg and mine/images/pug/2.png share the mask mine/masks/pug/2.png; rename one of them.",
    "list with a duplicate": "mine/test.txt, line 2 repeats 'pug/0.png'; remove the line.",
    "list with an unknown name": "mine/test.txt, line 1 lists 'pug/77.png', which is not in mine/images.",
    "list with a path outside the folder": "mine/test.txt, line 1 lists '../../etc/passwd', which is not in mine/images.",
    "empty list": "mine has no images for the test split; add images, or change its test.txt or dataset.folder.test_fraction.",
    "list that is not UTF-8": "mine/test.txt is not UTF-8 text (byte 3).",
    "list that names every image": "mine has no images for the train split; add images, or change its test.txt or dataset.folder.test_fraction.",
    "one image": "mine has no images for the train split; add images, or change its test.txt or dataset.folder.test_fraction.",
    "no images": "mine has no images for the train split; add images, or change its test.txt or dataset.folder.test_fraction.",
    "no masks folder": "mine has neither annotations/ (the Oxford layout) nor masks/ next to images/; see data/folder/README.md for both layouts.",
    "no images folder": "mine/images does not exist; the layout 'masks' needs images/ and masks/.",
    "name with spaces": "Read.",
    "name with quotes": "Read; quoted in the CSV tables.",
    "name in a non-Latin script": "Read.",
    "symlink to a folder": "Not followed.",
    "hidden folder": "Ignored.",
    "hidden file": "Ignored.",
    "file of another type": "Ignored, unless it has the suffix of an image format.",
    "list with CRLF and a byte order mark": "Read; comments and empty lines are ignored.",
    "Oxford list with a duplicate": "pets lists the image 'beagle_2.jpg' twice; remove one of the two lines.",
    "Oxford lists that share an image": "pets lists the image 'beagle_8.jpg' twice; remove one of the two lines.",
    "Oxford list with an unknown name": "pets/annotations/trainval.txt, line 3 lists 'pug_1', but pets/images/pug_1.jpg does not exist.",
    "Oxford list with a short line": "pets/annotations/trainval.txt, line 3 is 'beagle_2 5', but must be 'NAME CLASS-ID SPECIES BREED-ID' with species 1 or 2.",
    "Oxford list with a path outside the folder": "pets/annotations/test.txt, line 3 lists '../../../etc/passwd', but a name must be a plain file name.",
    "missing Oxford list": "pets/annotations/test.txt can't be read (No such file or directory).",
    "empty Oxford list": "pets has no images for the train split; add images, or change its test.txt or dataset.folder.test_fraction.",
}  # fmt: skip

NAMES = ["beagle/1.png", "beagle/3.png", "beagle/5.png", "pug/0.png", "pug/2.png", "pug/4.png"]
IMAGE, MASK = "images/pug/2.png", "masks/pug/2.png"


def params(test_fraction=0.5):
    classes = ["background", "animal"]
    return FolderParams(path="mine", layout="auto", classes=classes, test_fraction=test_fraction)


def write(path, data=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def mine(tmp_path):
    for name in NAMES:
        write(tmp_path / "mine" / "images" / name)
        write(tmp_path / "mine" / "masks" / name)
    return tmp_path / "mine"


@pytest.fixture
def pets(tmp_path):
    root = tmp_path / "pets"
    lists = {
        "trainval.txt": ["Abyssinian_1 1 1 1", "beagle_2 5 2 1"],
        "test.txt": ["Abyssinian_7 1 1 1", "beagle_8 5 2 1"],
    }
    for file, lines in lists.items():
        write(root / "annotations" / file, "".join(f"{line}\n" for line in lines).encode())
        for line in lines:
            write(root / "images" / f"{line.split()[0]}.jpg")
            write(root / "annotations" / "trimaps" / f"{line.split()[0]}.png")
    return root


def add(name, data=b""):
    return lambda root: write(root / name, data)


def add_image(name):
    """Add an image and its mask."""
    return lambda root: (write(root / "images" / name), write(root / "masks" / name))


def link(name, target):
    def change(root):
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)

    return change


def keep(count):
    """Keep this many images."""
    return lambda root: [(root / "images" / name).unlink() for name in NAMES[count:]]


def add_image_with_bytes_name(root):
    for kind in ("images", "masks"):
        try:
            with open(os.fsencode(root / kind) + b"/caf\xe9.png", "wb"):
                pass
        except OSError:
            pytest.skip("this file system takes UTF-8 names only")


REJECTED = {
    "GIF or another unsupported format": add("images/pug/9.gif"),
    "name with a newline": add_image("two\nlines.png"),
    "name that is not UTF-8": add_image_with_bytes_name,
    "broken symlink": link(IMAGE, "nowhere.png"),
    "symlink to itself": link(IMAGE, "2.png"),
    "image without a mask": lambda root: (root / MASK).unlink(),
    "two images with one mask": add("images/pug/2.jpg"),
    "list with a duplicate": add("test.txt", b"pug/0.png\npug/0.png\n"),
    "list with an unknown name": add("test.txt", b"pug/77.png\n"),
    "list with a path outside the folder": add("test.txt", b"../../etc/passwd\n"),
    "empty list": add("test.txt"),
    "list that is not UTF-8": add("test.txt", b"caf\xe9.png\n"),
    "list that names every image": add("test.txt", "\n".join(NAMES).encode()),
    "one image": lambda root: (keep(1)(root), write(root / "test.txt", NAMES[0].encode())),
    "no images": keep(0),
    "no masks folder": lambda root: (root / "masks").rename(root / "labels"),
    "no images folder": lambda root: (root / "images").rename(root / "photos"),
}


@pytest.mark.parametrize("case", REJECTED)
def test_an_unusable_folder_is_rejected(mine, case):
    REJECTED[case](mine)
    with pytest.raises(PetsegError) as caught:
        index_folder(params(), mine)
    assert matches(CASES[case], str(caught.value), mine.parent), str(caught.value)


@pytest.mark.parametrize(
    ("case", "change", "names"),
    [
        ("name with spaces", add_image("my pet.png"), ["my pet.png", *NAMES]),
        ("name with quotes", add_image('the "cat\'s".png'), ['the "cat\'s".png', *NAMES]),
        ("name in a non-Latin script", add_image("猫と犬.png"), ["猫と犬.png", *NAMES]),
        ("symlink to a folder", link("images/pug/again", ".."), NAMES),
        ("hidden folder", add("images/.ipynb_checkpoints/2.png"), NAMES),
        ("hidden file", add("images/pug/._2.png"), NAMES),
        ("file of another type", add("images/Thumbs.db"), NAMES),
    ],
)
def test_unusual_files_are_read_or_ignored(mine, case, change, names):
    change(mine)
    index = index_folder(params(), mine)
    found = [item.name for items in index.splits.values() for item in items]
    assert sorted(found) == sorted(names)
    assert CASES[case]


def test_a_list_may_have_comments_crlf_and_a_byte_order_mark(mine):
    text = b"\xef\xbb\xbf# a comment\r\npug/0.png\r\n\r\nbeagle/5.png\r\n"
    write(mine / "test.txt", text)
    index = index_folder(params(), mine)
    assert [item.name for item in index.splits["test"]] == ["beagle/5.png", "pug/0.png"]
    assert len(index.splits["train"]) == 4


def test_without_a_list_a_fraction_of_the_images_is_the_test_split(mine):
    for number in range(94):
        add_image(f"{number}.png")(mine)
    names = {}
    for fraction in (0.2, 0.5, 0.8):
        splits = index_folder(params(test_fraction=fraction), mine).splits
        names[fraction] = {item.name for item in splits["test"]}
        assert len(names[fraction]) == pytest.approx(100 * fraction, abs=12)
        assert len(splits["train"]) == 100 - len(names[fraction])
    assert names[0.2] < names[0.5] < names[0.8]


def test_subfolders_are_the_categories(mine):
    add_image("loose.png")(mine)
    index = index_folder(params(), mine)
    assert index.categories == ["beagle", "pug", "unknown"]
    assert index.supercategories == ["unknown"]
    assert (index.class_names, index.first_label) == (("background", "animal"), 0)


OXFORD = {
    "Oxford list with a duplicate": ("trainval.txt", b"beagle_2 5 2 1\n"),
    "Oxford lists that share an image": ("trainval.txt", b"beagle_8 5 2 1\n"),
    "Oxford list with an unknown name": ("trainval.txt", b"pug_1 5 2 1\n"),
    "Oxford list with a short line": ("trainval.txt", b"beagle_2 5\n"),
    "Oxford list with a path outside the folder": ("test.txt", b"../../../etc/passwd 5 2 1\n"),
}


@pytest.mark.parametrize("case", OXFORD)
def test_an_invalid_line_of_an_oxford_list_is_rejected(pets, case):
    name, line = OXFORD[case]
    path = pets / "annotations" / name
    path.write_bytes(path.read_bytes() + line)
    with pytest.raises(PetsegError) as caught:
        index_folder(params(), pets)
    assert matches(CASES[case], str(caught.value), pets.parent), str(caught.value)


def test_an_oxford_list_that_is_missing_or_empty_is_rejected(pets):
    (pets / "annotations" / "test.txt").unlink()
    with pytest.raises(PetsegError) as caught:
        index_folder(params(), pets)
    assert matches(CASES["missing Oxford list"], str(caught.value), pets.parent)
    write(pets / "annotations" / "test.txt", b"beagle_8 5 2 1\n")
    write(pets / "annotations" / "trainval.txt")
    with pytest.raises(PetsegError) as caught:
        index_folder(params(), pets)
    assert matches(CASES["empty Oxford list"], str(caught.value), pets.parent)


def test_the_oxford_layout_has_categories_and_supercategories(pets):
    index = index_folder(params(), pets)
    assert (index.categories, index.supercategories) == (["Abyssinian", "beagle"], ["cat", "dog"])
    assert (index.class_names, index.first_label) == (("pet", "background", "border"), 1)
    assert [item.name for item in index.splits["test"]] == ["Abyssinian_7.jpg", "beagle_8.jpg"]
