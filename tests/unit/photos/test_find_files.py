"""Which photos the names on the command line stand for, and how their results are named."""

import shutil

import pytest

from petseg.core.errors import PetsegError
from petseg.photos.find_files import find_files


@pytest.fixture
def photos(tmp_path):
    """Three photos, two with the same stem and one in a subfolder, and another file."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "deep/B.PNG", "notes.txt"):
        (folder / name).touch()
    return folder


def found_in(names, out):
    return [(file.path.name, file.output_name) for file in find_files(map(str, names), out)]


def test_a_folder_stands_for_all_its_photos(photos, tmp_path):
    expected = [("a.bmp", "a.bmp"), ("a.png", "a.png"), ("B.PNG", "deep/B")]
    assert found_in([photos], tmp_path / "out") == expected


def test_a_photo_named_twice_is_found_once(photos, tmp_path):
    same = photos / "deep" / ".." / "a.png"
    names = [photos / "a.png", same, photos / "*.png", photos]
    assert [path for path, _ in found_in(names, tmp_path)] == ["a.png", "a.bmp", "B.PNG"]


def test_a_pattern_can_match_in_subfolders(photos, tmp_path):
    assert found_in([photos / "**/*.PNG"], tmp_path) == [("B.PNG", "B")]


@pytest.mark.parametrize("out", [".", "out"])
@pytest.mark.parametrize("pattern", ["", "**/*.*g", "*.png"])
def test_results_of_an_earlier_run_are_not_photos(photos, out, pattern):
    names, out = [photos / "a.png", photos / pattern], photos / out
    before = found_in(names, out)
    for _, name in before:
        for ending in ("_mask.png", "_overlay.jpg", "_cutout.png"):
            result = out / f"{name}{ending}"
            result.parent.mkdir(parents=True, exist_ok=True)
            result.touch()
    assert found_in(names, out) == before


def test_photos_whose_results_would_overwrite_each_other_are_rejected(photos, tmp_path):
    other = shutil.copytree(photos, tmp_path / "other")
    with pytest.raises(
        PetsegError,
        match=r"The results of .*photos/a\.bmp and .*other/a\.bmp would have the same name, a\.bmp;",
    ):
        find_files([str(photos), str(other)], tmp_path / "out")
    assert len(find_files([str(tmp_path)], tmp_path / "out")) == 6  # one folder that contains both
    (photos / "a.png.jpg").touch()
    with pytest.raises(PetsegError, match=r"would have the same name, a\.png;"):
        find_files([str(photos)], tmp_path / "out")
