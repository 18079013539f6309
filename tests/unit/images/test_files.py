"""Which files count as images, system files and linked folders."""

from pathlib import PurePath

import pytest

from petseg.images.files import (
    IMAGE_SUFFIXES,
    OTHER_IMAGE_SUFFIXES,
    is_system_file,
    walk_files,
)


@pytest.mark.parametrize(
    "name",
    [
        "Thumbs.db",
        "a/THUMBS.DB",
        "a/.DS_Store",
        "._cat.jpg",
        "@eaDir/cat.jpg/SYNOPHOTO_THUMB_M.jpg",
        ".thumbnails/cat.jpg",
        "__MACOSX/cat.jpg",
        "desktop.ini",
        ".ipynb_checkpoints/cat.jpg",
    ],
)
def test_system_files_are_recognized(name):
    assert is_system_file(PurePath(name))


def test_what_icloud_has_left_of_a_file_is_no_system_file():
    assert not is_system_file(PurePath("a/.cat.jpg.icloud"))
    assert is_system_file(PurePath(".a/.cat.jpg.icloud"))


@pytest.mark.parametrize("name", ["cat.jpg", "a/b/cat.jpg", "thumbs/cat.jpg", "a.b/c.d.jpg"])
def test_other_files_are_not_system_files(name):
    assert not is_system_file(PurePath(name))


def test_suffixes_are_lower_case_and_either_read_or_not():
    assert all(suffix == suffix.lower() for suffix in IMAGE_SUFFIXES | OTHER_IMAGE_SUFFIXES)
    assert not IMAGE_SUFFIXES & OTHER_IMAGE_SUFFIXES


def test_linked_folders_are_followed_once_and_loops_end(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    for path in (root / "b" / "1.jpg", elsewhere / "2.jpg", root / "@eaDir" / "3.jpg"):
        path.parent.mkdir(parents=True)
        path.touch()
    (root / "linked").symlink_to(elsewhere)
    (root / "b" / "up").symlink_to("..")
    (root / "a").symlink_to("b")
    (root / "broken.jpg").symlink_to("nowhere")
    names = [path.relative_to(root).as_posix() for path in walk_files(root)]
    assert names == ["b/1.jpg", "broken.jpg", "linked/2.jpg"]
