"""A trained model and people's own photos: `petseg.load`, what is made of a photo, and which photos are meant."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import petseg
from petseg.core.errors import PetsegError
from petseg.core.labels import colors_of
from petseg.model.saved import SavedModel, save_model
from petseg.model.unet import Architecture, build_unet
from petseg.photos.find_files import InputFile, find_files
from petseg.photos.outputs import cutout, mask_image, overlay
from petseg.photos.predict_files import predict_files
from petseg.photos.predictor import PhotoPrediction, Predictor, load, resize_to_square
from petseg.preprocessing.transform import resize_image

TRIMAP = colors_of(("pet", "background", "border"))
RNG = np.random.default_rng(0)


def noise(height, width):
    """A picture whose every pixel differs from its neighbours, but not by much."""
    small = Image.fromarray(
        RNG.integers(0, 256, (max(height // 8, 1), max(width // 8, 1), 3), np.uint8)
    )
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def scores(size, classes=3):
    raw = RNG.uniform(0.01, 1, (size, size, classes)).astype(np.float32)
    return raw / raw.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    tf.keras.utils.set_random_seed(0)
    architecture = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 3)
    folder = tmp_path_factory.mktemp("inference") / "unet"
    save_model(SavedModel(build_unet(architecture), architecture, TRIMAP, 64), folder)
    return folder


@pytest.fixture(scope="module")
def model(model_dir):
    return petseg.load(model_dir)


def test_a_photo_is_predicted_at_its_own_size(model):
    prediction = model.predict(noise(90, 150))
    assert prediction.mask.shape == (90, 150)
    assert prediction.mask.dtype == np.uint8
    assert prediction.probabilities.shape == (90, 150, 3)
    np.testing.assert_allclose(prediction.probabilities.sum(-1), 1, atol=1e-5)
    assert sum(prediction.shares.values()) == pytest.approx(1)
    assert prediction.shares["border"] == pytest.approx(np.mean(prediction.mask == 2))


def kinds_of_photos():
    """Pillow images as they come, and the RGB pixels that a viewer shows of each."""
    rgb = Image.fromarray(noise(60, 80))
    grey = np.asarray(rgb.convert("L"))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    lying = Image.fromarray(np.rot90(np.asarray(rgb)))
    lying.info["exif"] = exif.tobytes()
    return {
        "RGB": (rgb, np.asarray(rgb)),
        "grey": (rgb.convert("L"), np.stack([grey] * 3, -1)),
        "16 bits": (Image.fromarray(grey.astype(np.uint16) << 8), np.stack([grey] * 3, -1)),
        "palette": (rgb.quantize(20), np.asarray(rgb.quantize(20).convert("RGB"))),
        "alpha": (
            Image.merge("RGBA", [*rgb.split(), Image.new("L", rgb.size, 9)]),
            np.asarray(rgb),
        ),
        "on its side": (lying, np.asarray(rgb)),
        "a pixel": (rgb.crop((0, 0, 1, 1)), np.asarray(rgb)[:1, :1]),
    }


@pytest.mark.parametrize("kind", kinds_of_photos())
def test_file_image_and_array_of_a_photo_are_the_same(model, tmp_path, kind):
    image, pixels = kinds_of_photos()[kind]
    image.save(tmp_path / "photo.png", exif=image.info.get("exif", b""))
    wanted = model.predict(pixels)
    for photo in (tmp_path / "photo.png", str(tmp_path / "photo.png"), image):
        prediction = model.predict(photo)
        np.testing.assert_array_equal(
            prediction.network_probabilities, wanted.network_probabilities
        )
        assert prediction.mask.shape == pixels.shape[:2]


def test_what_is_no_photo_is_refused(model):
    with pytest.raises(
        PetsegError, match="The photo is a NoneType, but must be a path, a Pillow image or an array"
    ):
        model.predict(None)
    with pytest.raises(PetsegError, match="its pixels are of Pillow's mode 'F'"):
        model.predict(Image.new("F", (4, 4)))
    assert model.predict_batch([]) == []


def test_the_package_offers_load_and_nothing_else_that_is_not_there():
    assert petseg.load is load
    with pytest.raises(AttributeError, match="module 'petseg' has no attribute 'lode'"):
        petseg.lode  # noqa: B018


def test_a_batch_gives_what_its_photos_give_alone(model):
    photos = [noise(64, 64), noise(100, 40), noise(33, 70)]
    for photo, together in zip(photos, model.predict_batch(photos), strict=True):
        alone = model.predict(photo)
        np.testing.assert_allclose(
            alone.network_probabilities, together.network_probabilities, atol=1e-5
        )
        assert together.mask.shape == photo.shape[:2]


def test_mirrored_averaging_is_the_same_for_a_photo_and_its_mirror_image(model_dir):
    model, photo = petseg.load(model_dir, tta_flip=True), noise(64, 64)
    mirrored = model.predict(np.ascontiguousarray(photo[:, ::-1]))
    np.testing.assert_allclose(
        model.predict(photo).network_probabilities[:, ::-1],
        mirrored.network_probabilities,
        atol=1e-5,
    )


@pytest.mark.parametrize("size", [(300, 20), (20, 300), (700, 511), (64, 64), (17, 9)])
def test_the_mask_is_the_one_that_evaluate_counts_at_the_photo_s_own_size(size):
    """Made in bands of rows by Pillow here, in one by TensorFlow there; they may differ where two classes are equal."""
    small = scores(64)
    mask = PhotoPrediction(small, (size[1], size[0]), TRIMAP).mask
    enlarged = tf.image.resize(
        small, size, method="bilinear", antialias=size[0] < 64 or size[1] < 64
    ).numpy()
    ordered = np.sort(enlarged, -1)
    clear = ordered[..., -1] - ordered[..., -2] > 1e-3
    assert clear.mean() > 0.9
    np.testing.assert_array_equal(mask[clear], enlarged.argmax(-1)[clear])


def test_the_bands_of_a_mask_fit_together():
    prediction = PhotoPrediction(scores(32), (40, 1000), TRIMAP)
    np.testing.assert_array_equal(prediction.mask, prediction.probabilities.argmax(-1))


@pytest.mark.parametrize("shape", [(500, 375), (128, 128), (40, 60), (1000, 90)])
def test_a_photo_is_resized_as_the_training_pictures_were(shape):
    photo = noise(*shape)
    there = resize_image(tf.constant(photo), 128).numpy().astype(int)
    here = resize_to_square(Image.fromarray(photo), 128).astype(int)
    assert np.abs(here - there).max() <= 1


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ],
    ids=["grey", "RGBA", "float", "empty"],
)
def test_an_array_that_is_no_photo_is_refused(model, array):
    with pytest.raises(PetsegError, match=r"but must be RGB: uint8, \(height, width, 3\)"):
        model.predict(array)


def pet_in_the_middle(classes=TRIMAP):
    """A prediction of 30 x 30 for a photo of the same size: pet in the middle, border around it, background outside."""
    kinds = np.ones((30, 30), int)
    kinds[8:22, 8:22] = 2
    kinds[10:20, 10:20] = 0
    one_hot = np.eye(3, dtype=np.float32)[kinds]
    return PhotoPrediction(0.98 * one_hot + 0.02 / 3, (30, 30), classes), Image.fromarray(
        noise(30, 30)
    )


def test_a_mask_holds_class_numbers_and_shows_their_colors():
    prediction, _ = pet_in_the_middle()
    content = io.BytesIO()
    mask_image(prediction).save(content, "PNG")
    with Image.open(content) as read:
        np.testing.assert_array_equal(np.asarray(read), prediction.mask)
        assert read.convert("RGB").getpixel((15, 15)) == TRIMAP["pet"]
        assert read.convert("RGB").getpixel((0, 0)) == TRIMAP["background"]


def test_an_overlay_leaves_the_background_as_it_is_and_mixes_in_the_colors():
    prediction, photo = pet_in_the_middle()
    laid, pixels = np.asarray(overlay(photo, prediction)), np.asarray(photo)
    background = prediction.mask == 1
    np.testing.assert_array_equal(laid[background], pixels[background])
    for index, name in ((0, "pet"), (2, "border")):
        wanted = 0.45 * pixels[prediction.mask == index] + 0.55 * np.array(TRIMAP[name])
        assert np.abs(laid[prediction.mask == index] - wanted).max() <= 2


def test_a_cutout_keeps_the_pet_and_ends_within_the_border():
    prediction, photo = pet_in_the_middle()
    cut = np.asarray(cutout(photo, prediction))
    np.testing.assert_array_equal(cut[..., :3], np.asarray(photo))
    assert cut[15, 15, 3] > 250
    assert cut[0, 0, 3] < 5
    assert 100 < cut[9, 15, 3] < 156  # in the border neither pet nor background is more probable


def test_nothing_is_cut_out_if_no_class_is_the_background():
    prediction, photo = pet_in_the_middle(colors_of(("cat", "dog", "sofa")))
    assert cutout(photo, prediction) is None


@pytest.fixture
def photos(tmp_path):
    """A folder of three photos, two of the same stem, one of a deeper folder, and other files."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.png", "a.bmp", "deep/B.PNG"):
        Image.fromarray(noise(40, 50)).save(folder / name)
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_a_folder_stands_for_its_photos_and_what_is_made_of_them_for_each(photos, tmp_path):
    found = find_files([str(photos)], tmp_path / "out")
    assert [(f.path.name, f.name) for f in found] == [
        ("a.bmp", "a.bmp"),
        ("a.png", "a.png"),
        ("B.PNG", "deep/B"),
    ]


def test_a_photo_named_twice_is_taken_once(photos, tmp_path):
    otherwise = photos / "deep" / ".." / "a.png"
    found = find_files(
        [str(photos / "a.png"), str(otherwise), str(photos / "*.png"), str(photos)],
        tmp_path / "out",
    )
    assert [f.path.name for f in found] == ["a.png", "a.bmp", "B.PNG"]


def test_a_pattern_may_reach_into_folders(photos, tmp_path):
    assert [f.path.name for f in find_files([f"{photos}/**/*.PNG"], tmp_path)] == ["B.PNG"]


@pytest.mark.parametrize("out", [".", "out"])
@pytest.mark.parametrize("pattern", ["", "**/*.*g", "*.png"])
def test_results_of_an_earlier_run_are_no_photos(model, photos, out, pattern):
    """Neither in a folder below the photos nor beside them, whether a folder is named, a pattern or a file."""
    named, out = [str(photos / "a.png"), str(photos / pattern)], photos / out
    first = find_files(named, out)
    predict_files(model, first, out, 4)
    assert list(out.rglob("*_mask.png"))
    assert find_files(named, out) == first


def test_photos_whose_results_would_overwrite_each_other_are_refused(photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(noise(8, 8)).save(other / "a.png")
    with pytest.raises(
        PetsegError,
        match=r"The results of .*photos/a\.png and of .*other/a\.png would have the same name",
    ):
        find_files([str(photos), str(other)], tmp_path / "out")
    assert len(find_files([str(tmp_path)], tmp_path / "out")) == 4  # one folder that holds both
    (photos / "a.png.jpg").write_bytes(b"")
    with pytest.raises(PetsegError, match=r"would have the same name, a\.png"):
        find_files([str(photos)], tmp_path / "out")


def test_every_photo_gets_its_files_and_its_row(model, photos, tmp_path):
    out = tmp_path / "out"
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 no JPEG")
    done = predict_files(model, find_files([str(photos)], out), out, batch_size=2)
    made = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    kinds = ("_cutout.png", "_mask.png", "_overlay.jpg")
    assert made == sorted(
        ["predictions.csv", *(f"{n}{k}" for n in ("a.bmp", "a.png", "deep/B") for k in kinds)]
    )
    assert len(done.skipped) == 1
    assert "broken.jpg can't be read as an image" in done.skipped[0]
    with (out / "predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [Path(row["photo"]).name for row in table] == ["a.bmp", "a.png", "B.PNG"]
    with Image.open(out / "a.png_mask.png") as mask:
        share = np.mean(np.asarray(mask) == 0)
    assert float(table[1]["share.pet"]) == pytest.approx(share, abs=1e-4)
    assert (int(table[1]["width"]), int(table[1]["height"])) == (50, 40)
    assert done.rows[1].shares["pet"] == pytest.approx(share)


def test_large_photos_are_not_all_in_memory_at_a_time(monkeypatch, tmp_path):
    """With 4 photos of 2,000 pixels and room for 5,000, two go together."""
    monkeypatch.setattr("petseg.photos.predict_files._MAX_PIXELS", 5000)
    sizes = []

    def scorer(images):
        sizes.append(len(images))
        return np.full((len(images), 32, 32, 3), 1 / 3, np.float32)

    for i in range(4):
        Image.fromarray(noise(40, 50)).save(tmp_path / f"{i}.png")
    found = [InputFile(tmp_path / f"{i}.png", str(i)) for i in range(4)]
    predict_files(Predictor(scorer, TRIMAP, 32), found, tmp_path / "out", batch_size=16)
    assert sizes == [2, 2]


def test_the_table_and_the_results_of_earlier_batches_are_there_if_a_later_one_fails(
    model, photos, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    monkeypatch.setattr("petseg.photos.predict_files.cutout", fails_at_the_third())
    with pytest.raises(OSError, match="no room"):
        predict_files(model, find_files([str(photos)], out), out, batch_size=1)
    with (out / "predictions.csv").open() as file:
        assert [Path(row["photo"]).name for row in csv.DictReader(file)] == ["a.bmp", "a.png"]


def fails_at_the_third():
    calls = []

    def cutout(photo, prediction):
        calls.append(photo)
        if len(calls) == 3:
            raise OSError("no room")

    return cutout


def test_memory_holds_one_large_photo_at_a_time(model_dir, tmp_path):
    """After one photo of 8 megapixels come four that don't fit into a batch: their pixels would be 72 MiB more."""
    for i in range(5):
        Image.new("RGB", (4000, 2000), (90, 120, 40)).save(tmp_path / f"{i}.jpg")
    Image.new("RGB", (8660, 5774), (90, 120, 40)).save(tmp_path / "large.jpg")
    code = f"""
import resource
from pathlib import Path
import petseg
from petseg.photos import predict_files
from petseg.photos.find_files import find_files
folder = Path({str(tmp_path)!r})
model = petseg.load({str(model_dir)!r})
predict_files._MAX_BATCH_PIXELS = 10_000_000
def peak(*names):
    out = folder / "out"
    predict_files.predict_files(model, find_files([str(folder / name) for name in names], out), out, 16)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
first = peak("0.jpg")
print(peak("1.jpg", "2.jpg", "3.jpg", "4.jpg") - first, peak("large.jpg") - first)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    four, large = map(float, done.stdout.split())
    assert four < 36
    assert large < 700, "MiB; the photo is 143, the cut-out 191, the mask 48"
    with Image.open(tmp_path / "out" / "large_mask.png") as mask:
        assert mask.size == (8660, 5774)
