"""Which photos the names on the command line stand for, and how their results are named."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from petseg.core.errors import PetsegError
from petseg.photos.find_files import describe_unsupported, find_files
from petseg.photos.result_files import write_results
from support.predictors import brightness_predictor, noise_photo


@pytest.fixture
def photos(tmp_path):
    """Three photos, two with the same stem and one in a subfolder, and another file."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "deep/B.PNG", "notes.txt"):
        (folder / name).touch()
    return folder


def found_in(*names):
    found = find_files(map(str, names))
    return [(file.path.name, file.output_name) for file in found.photos]


def test_a_folder_stands_for_all_its_photos(photos):
    assert found_in(photos) == [("a.bmp", "a.bmp"), ("a.png", "a.png"), ("B.PNG", "deep/B")]


def test_a_photo_named_twice_is_found_once(photos):
    same = photos / "deep" / ".." / "a.png"
    names = [photos / "a.png", same, photos / "*.png", photos]
    assert [path for path, _ in found_in(*names)] == ["a.png", "a.bmp", "B.PNG"]


def test_a_pattern_can_match_in_subfolders(photos):
    assert found_in(photos / "**/*.PNG") == [("B.PNG", "B")]


def test_images_of_other_types_are_named_and_system_files_are_not(photos):
    for name in (
        "IMG_1.HEIC",
        "deep/2.heic",
        "deep/3.avif",
        ".4.jpg.icloud",
        "._a.png",
        "Thumbs.db",
        "notes.md",
    ):
        (photos / name).touch()
    (photos / "@eaDir").mkdir()
    (photos / "@eaDir" / "thumb.jpg").touch()
    found = find_files([str(photos)])
    assert len(found.photos) == 3
    assert describe_unsupported(found.unsupported) == [
        f"1 .icloud file was not read: {photos}/.4.jpg.icloud; download from iCloud.",
        f"2 .heic files were not read: {photos}/IMG_1.HEIC, {photos}/deep/2.heic; convert to JPEG or PNG.",
        f"1 .avif file was not read: {photos}/deep/3.avif; convert to JPEG or PNG.",
    ]
    assert found_in(photos / "*.HEIC") == [("IMG_1.HEIC", "IMG_1")]  # named: reading it will fail


def test_only_ten_of_many_names_are_listed():
    sentences = describe_unsupported(Path(f"{i}.heic") for i in range(12))
    assert sentences[0].endswith("8.heic, 9.heic and 2 more; convert to JPEG or PNG.")


@pytest.mark.parametrize("out", [".", "out"])
@pytest.mark.parametrize("pattern", ["", "**/*.*g", "*.png"])
def test_results_of_an_earlier_run_are_not_photos(photos, out, pattern):
    names, out = [photos / "a.png", photos / pattern], photos / out
    before = found_in(*names)
    prediction = brightness_predictor().predict(noise_photo(20, 20))
    for _, name in before:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_results(out / name, Image.fromarray(noise_photo(20, 20)), prediction)
    assert found_in(*names) == before


def test_an_image_of_the_user_named_like_a_result_is_a_photo(photos):
    Image.fromarray(noise_photo(20, 20)).save(photos / "a_mask.png")
    assert ("a_mask.png", "a_mask") in found_in(photos)


def test_photos_whose_results_would_overwrite_each_other_are_rejected(photos, tmp_path):
    other = shutil.copytree(photos, tmp_path / "other")
    with pytest.raises(
        PetsegError,
        match=r"The results of .*photos/a\.bmp and .*other/a\.bmp would have the same name, a\.bmp;",
    ):
        find_files([str(photos), str(other)])
    assert len(find_files([str(tmp_path)]).photos) == 6  # one folder that contains both
    (photos / "a.png.jpg").touch()
    with pytest.raises(PetsegError, match=r"would have the same name, a\.png;"):
        find_files([str(photos)])
