"""Predicting many photos: their files, the table, batches and memory."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from petseg.core.errors import PetsegError
from petseg.photos import batch_writer
from petseg.photos import predict_files as module
from petseg.photos.find_files import find_files
from petseg.photos.predict_files import predict_files
from petseg.photos.predictor import Predictor
from support.image_files import animation
from support.predictors import (
    SIZE,
    TRIMAP,
    brightness_predictor,
    noise_photo,
    predict_from_brightness,
)

SECTION = "The command line"
CASES = {
    "predict: --write cutout with a model that has no class background": "The model has no class named background, so there is nothing to cut out; write masks or overlays.",
}  # fmt: skip
PREDICTOR = brightness_predictor()


@pytest.fixture
def photos(tmp_path):
    """Three photos, two with the same stem and one in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "deep/B.PNG"):
        Image.fromarray(noise_photo(40, 50)).save(folder / name)
    return folder


def read_table(out):
    with (out / "predictions.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_photo_gets_its_files_and_its_row(photos, tmp_path):
    out = tmp_path / "out"
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 not a JPEG")
    done = predict_files(PREDICTOR, find_files([str(photos)]).photos, out, batch_size=2)
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    names, endings = ("a.bmp", "a.png", "deep/B"), ("_cutout.png", "_mask.png", "_overlay.jpg")
    assert written == {
        "predictions.csv",
        *(f"{name}{ending}" for name in names for ending in endings),
    }
    assert len(done.skipped) == 1
    assert "broken.jpg can't be read as an image" in done.skipped[0]
    table = read_table(out)
    assert [Path(row["photo"]).name for row in table] == ["a.bmp", "a.png", "B.PNG"]
    with Image.open(out / "a.png_mask.png") as mask:
        share = np.mean(np.asarray(mask) == 0)
    assert float(table[1]["share.pet"]) == pytest.approx(share, abs=1e-4)
    assert (int(table[1]["width"]), int(table[1]["height"])) == (50, 40)
    assert done.rows[1].shares["pet"] == pytest.approx(share)


def predict(photos, out, **options):
    return predict_files(PREDICTOR, find_files([str(photos)]).photos, out, 2, **options)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_into_the_same_folder_replaces_its_own_results(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos / "a.png", out)
    predict(photos / "deep", out)
    predict(photos / "a.png", out)
    assert [row["results"] for row in read_table(out)] == ["B", "a"]


@pytest.mark.parametrize("name", ["a.png_mask.png", "a.bmp_overlay.jpg", "deep/B_cutout.png"])
def test_a_file_that_petseg_did_not_write_is_not_overwritten(photos, tmp_path, name):
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    Image.fromarray(noise_photo(9, 9)).save(mine)
    before = contents(tmp_path)
    with pytest.raises(PetsegError) as caught:
        predict(photos, tmp_path / "out")
    assert str(caught.value) == (
        f"petseg predict would overwrite {mine} (not as petseg wrote it); use another --out, or "
        "--overwrite to replace them."
    )
    assert contents(tmp_path) == before
    assert len(predict(photos, tmp_path / "out", overwrite=True).rows) == 3
    assert mine.read_bytes() != before[mine]


def test_a_mask_that_was_corrected_by_hand_is_not_overwritten(photos, tmp_path):
    predict(photos, tmp_path / "out")
    mask = tmp_path / "out" / "deep" / "B_mask.png"
    with Image.open(mask) as image:
        image.putpixel((0, 0), 2)
        image.save(mask)
    before = contents(tmp_path)
    with pytest.raises(PetsegError, match=r"B_mask\.png \(not as petseg wrote it\)"):
        predict(photos, tmp_path / "out")
    assert len(predict(photos, tmp_path / "out", skip_existing=True).existing) == 3
    assert contents(tmp_path) == before


def test_masks_of_the_user_next_to_the_photos_stay_or_are_replaced_on_request(photos):
    mine = photos / "deep" / "B_mask.png"
    Image.fromarray(noise_photo(40, 50)).save(mine)
    before = contents(photos)
    with pytest.raises(PetsegError, match=r"would overwrite .*B_mask\.png"):
        predict(photos, photos)
    assert contents(photos) == before
    done = predict(photos, photos, overwrite=True)
    assert done.notes == [f"{mine} was replaced, not predicted."]
    assert len(done.rows) == 3


def test_results_of_another_photo_are_not_overwritten(photos, tmp_path):
    """Two albums with the same file names, one after the other into one folder."""
    out, other = tmp_path / "out", tmp_path / "album 2"
    shutil.copytree(photos, other)
    predict(photos / "a.png", out)
    with pytest.raises(
        PetsegError, match=rf"overwrite {out}/a_\* \(the results of {photos}/a\.png\);"
    ):
        predict(other / "deep" / ".." / "a.png", out)
    predict(other / "a.png", out, overwrite=True)
    assert [row["photo"] for row in read_table(out)] == [str(other / "a.png")]


def test_a_run_goes_on_where_it_was_stopped(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos, out)
    (out / "deep" / "B_cutout.png").unlink()
    done = predict(photos, out, skip_existing=True)
    assert done.existing == [f"{photos}/a.bmp", f"{photos}/a.png"]
    assert [Path(row.photo).name for row in done.rows] == ["B.PNG"]
    assert len(read_table(out)) == 3


@pytest.mark.parametrize("seconds", [-1, 1], ids=["older", "newer"])
def test_a_changed_photo_and_another_model_are_predicted_again(photos, tmp_path, seconds):
    out, time = tmp_path / "out", (photos / "a.png").stat().st_mtime + seconds
    predict(photos, out)
    os.utime(photos / "a.png", (time, time))
    done = predict(photos, out, skip_existing=True)
    assert [Path(row.photo).name for row in done.rows] == ["a.png"]
    other = Predictor(predict_from_brightness, TRIMAP, SIZE, checksum="other")
    files = find_files([str(photos)]).photos
    assert predict_files(other, files, out, 2, skip_existing=True).existing == []
    assert {row["model"] for row in read_table(out)} == {"other"}


def test_a_row_does_not_claim_results_that_a_stopped_run_of_another_model_has_replaced(
    photos, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    def write_first(stem, *rest):
        if written:
            raise Killed
        written.append(write_results(stem, *rest))

    out, written, write_results = tmp_path / "out", [], batch_writer.write_results
    predict(photos, out)
    files = find_files([str(photos)]).photos
    other = Predictor(predict_from_brightness, TRIMAP, SIZE, checksum="other")
    monkeypatch.setattr(batch_writer, "write_results", write_first)
    with pytest.raises(Killed):
        predict_files(other, files, out, batch_size=2)
    monkeypatch.undo()
    done = predict(photos, out, skip_existing=True)
    assert done.existing == [f"{photos}/deep/B.PNG"]
    assert {row["model"] for row in read_table(out)} == {PREDICTOR.checksum}


def test_the_first_page_of_several_is_predicted_and_said(tmp_path):
    (tmp_path / "scan.tif").write_bytes(animation("TIFF"))
    done = predict(tmp_path / "scan.tif", tmp_path / "out")
    assert done.notes == [f"{tmp_path}/scan.tif has 3 pages or frames: only the first was read."]
    assert done.rows[0].shares["pet"] == 1.0  # the first page is black


@pytest.mark.parametrize("space", ["RGB ", "GRAY"])
def test_results_have_the_color_profile_of_an_rgb_photo_only(tmp_path, space):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = space.encode()
    photo = Image.fromarray(noise_photo(40, 50)).convert("RGB" if space == "RGB " else "L")
    photo.save(tmp_path / "photo.png", icc_profile=bytes(profile))
    predict(tmp_path / "photo.png", tmp_path / "out")
    for ending in ("_overlay.jpg", "_cutout.png"):
        with Image.open(tmp_path / "out" / f"photo{ending}") as result:
            kept = result.info.get("icc_profile")
        assert kept == (bytes(profile) if space == "RGB " else None)


@pytest.mark.parametrize(("width", "compressed"), [(400, False), (1000, True)])
@pytest.mark.parametrize("resize", ["crop", "stretch"])
def test_a_photo_too_long_for_windows_is_said(tmp_path, width, compressed, resize):
    Image.fromarray(noise_photo(40, width)).save(tmp_path / "long.png")
    files = find_files([str(tmp_path / "long.png")]).photos
    predictor = Predictor(predict_from_brightness, TRIMAP, SIZE, resize=resize)
    done = predict_files(predictor, files, tmp_path / "out", 2)
    assert len(done.notes) == (compressed and resize == "crop")
    assert all("more than 16 times as long" in note for note in done.notes)


def test_large_photos_go_into_smaller_batches(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_MAX_BATCH_PIXELS", 5000)  # two photos of 2000 pixels
    batch_sizes = []

    def predict_fn(images):
        batch_sizes.append(len(images))
        return predict_from_brightness(images)

    for i in range(4):
        Image.fromarray(noise_photo(40, 50)).save(tmp_path / f"{i}.png")
    files = find_files([str(tmp_path)]).photos
    predict_files(Predictor(predict_fn, TRIMAP, SIZE), files, tmp_path / "out", batch_size=16)
    assert batch_sizes == [2, 2]


def test_earlier_batches_keep_their_results_if_a_later_one_fails(photos, tmp_path, monkeypatch):
    out, calls = tmp_path / "out", []

    def fail_at_the_third(*_):
        calls.append(_)
        if len(calls) == 3:
            raise OSError("no space")

    monkeypatch.setattr(batch_writer, "write_results", fail_at_the_third)
    with pytest.raises(OSError, match="no space"):
        predict_files(PREDICTOR, find_files([str(photos)]).photos, out, batch_size=1)
    assert [Path(row["photo"]).name for row in read_table(out)] == ["a.bmp", "a.png"]


def test_a_photo_whose_results_cannot_be_written_costs_no_other_its_row(
    photos, tmp_path, monkeypatch
):
    write_results = batch_writer.write_results

    def fail_for_a_png(stem, *rest):
        if stem.name == "a.png":
            raise OSError("no space")
        return write_results(stem, *rest)

    out = tmp_path / "out"
    monkeypatch.setattr(batch_writer, "write_results", fail_for_a_png)
    with pytest.raises(OSError, match="no space"):
        predict_files(PREDICTOR, find_files([str(photos)]).photos, out, batch_size=3)
    assert [Path(row["photo"]).name for row in read_table(out)] == ["a.bmp", "B.PNG"]


def test_a_name_that_is_too_long_for_results_is_skipped(photos, tmp_path):
    longest = photos / f"{'ä' * 121}x.png"  # with _overlay.jpg, 255 bytes
    Image.fromarray(noise_photo(40, 50)).save(longest)
    Image.fromarray(noise_photo(40, 50)).save(photos / f"{'ä' * 122}.png")
    (tmp_path / "out").mkdir()
    done = predict_files(PREDICTOR, find_files([str(photos)]).photos, tmp_path / "out", 2)
    assert len(done.rows) == 4
    [message] = done.skipped
    assert "would have 256 bytes; shorten its name to 243, without the suffix." in message


def test_a_batch_is_finished_even_if_the_next_one_cannot_be_predicted(photos, tmp_path):
    def fail_at_the_second(images):
        if len(images) == 1:
            raise MemoryError
        return predict_from_brightness(images)

    out, failing = tmp_path / "out", Predictor(fail_at_the_second, TRIMAP, SIZE)
    with pytest.raises(MemoryError):
        predict_files(failing, find_files([str(photos)]).photos, out, batch_size=2)
    assert [Path(row["photo"]).name for row in read_table(out)] == ["a.bmp", "a.png"]


def names_in(folder):
    return {path.name for path in folder.iterdir()}


def test_only_what_is_asked_for_is_written(photos, tmp_path):
    out = tmp_path / "out"
    predict(photos / "deep", out, kinds=["overlay", "mask"])
    assert names_in(out) == {"B_mask.png", "B_overlay.jpg", "predictions.csv"}
    assert predict(photos / "deep", out, kinds=["mask"], skip_existing=True).existing
    done = predict(photos / "deep", out, kinds=["mask", "cutout"], skip_existing=True)
    assert len(done.rows) == 1
    assert (done.notes, len(names_in(out))) == ([], 4)  # the overlay is of this model, too


def test_the_entries_of_every_folder_are_flushed_to_disk(photos, tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(batch_writer, "flush_entries", flushed.append)
    predict(photos, tmp_path / "out")
    assert flushed == [tmp_path / "out" / "deep"]  # the table's own is flushed with it


def test_results_of_another_model_do_not_stay_beside_new_ones(photos, tmp_path):
    out, other = tmp_path / "out", Predictor(predict_from_brightness, TRIMAP, SIZE, checksum="x")
    predict(photos, out)
    (out / "deep" / "B_cutout.png").write_bytes(b"edited")
    files = find_files([str(photos)]).photos
    done = predict_files(other, files, out, 2, kinds=["mask"])
    assert done.notes == [
        f"{out}/deep/B_cutout.png is outdated, but stays: it is not as petseg wrote it.",
        "Deleted 5 earlier results of other kinds that no longer match their photo or the model.",
    ]
    assert names_in(out) == {"a.bmp_mask.png", "a.png_mask.png", "deep", "predictions.csv"}
    assert names_in(out / "deep") == {"B_mask.png", "B_cutout.png"}


def test_results_of_another_kind_and_photo_are_in_the_way_too(photos, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(photos / "deep", photos / "also")
    predict(photos / "deep", out, kinds=["overlay"])
    with pytest.raises(
        PetsegError, match=r"would overwrite .*B_\* \(the results of .*deep/B\.PNG\)"
    ):
        predict(photos / "also", out, kinds=["mask"])


def test_cutouts_alone_need_a_background(photos, tmp_path):
    predictor = Predictor(predict_from_brightness, {"a": (0, 0, 0), "b": (1, 1, 1)}, SIZE)
    [message] = CASES.values()
    with pytest.raises(PetsegError, match=f"^{message}$"):
        predict_files(predictor, find_files([str(photos)]).photos, tmp_path, 2, kinds=["cutout"])


MEASURE_PEAKS = """
import sys
from pathlib import Path
from petseg.core.errors import PetsegError
from petseg.photos import batch_writer
from petseg.photos import predict_files as module
from petseg.photos.find_files import InputFile
from support.memory import peak_mib
from support.image_files import animation
from support.predictors import brightness_predictor

folder = Path(sys.argv[1])
module._MAX_BATCH_PIXELS = 3_000_000

def peak_after(*names):
    files = [InputFile(folder / f"{name}.jpg", name) for name in names]
    module.predict_files(brightness_predictor(), files, folder / "out", 16)
    return peak_mib()

first = peak_after("0")
print(peak_after("1", "2", "3", "4") - first)
"""


def test_memory_holds_one_large_photo_at_a_time(tmp_path):
    """After a photo of 2 megapixels come four that don't share a batch: together 18 MiB more."""
    for i in range(5):
        Image.new("RGB", (2000, 1000), (90, 120, 40)).save(tmp_path / f"{i}.jpg")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE_PEAKS, tmp_path],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 9
