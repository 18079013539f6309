"""The page of `petseg export-web` in a real browser, with ONNX Runtime Web from npm."""

import shutil

import numpy as np
import pytest
from PIL import Image

from petseg.exporting.exported import SourceModel, read_exported, write_exported
from petseg.photos.outputs import cutout
from petseg.photos.predictor import load, to_rgb
from petseg.pretrained import pretrained_folder
from petseg.web.export_web import export_web
from support.browsers import PHONE, in_a_browser, open_browser
from support.cat import MIN_IOU, PHOTO, cat_iou
from support.predictors import noise_photo
from support.web_page import Page, serve

pytestmark = [
    in_a_browser,
    pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here"),
]

# Float sums differ in their last bits, which moves a pixel between equally probable classes.
MAX_DIFFERENT = 1e-4  # share of pixels
MAX_ALPHA_ERROR = 8  # of 255: this network amplifies such differences, and those of JPEG decoders
ONLY_THIS_MACHINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
UPRIGHT, QUARTER_TURN = 1, 6


@pytest.fixture(scope="module")
def model_of(exported_run, tmp_path_factory):
    """A function that returns the folder of a model that fits photos in another way."""

    def make(resize):
        exported = read_exported(exported_run.exported / "unet.onnx")
        size = exported.image_size
        source = SourceModel(
            classes=exported.classes, image_size=size, sha256=exported.model_sha256, resize=resize
        )
        folder = tmp_path_factory.mktemp(resize)
        write_exported(folder, {"onnx": exported.content}, source)
        return folder

    return make


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Photos of all kinds of shapes."""
    folder = tmp_path_factory.mktemp("photos")
    shapes = {"wide": (200, 451), "tall": (600, 90), "tiny": (9, 14), "large": (1500, 2000)}
    for name, shape in shapes.items():
        Image.fromarray(noise_photo(*shape)).save(folder / f"{name}.png")
    exif = Image.Exif()
    for orientation in (UPRIGHT, QUARTER_TURN):
        exif[0x112] = orientation
        photo = Image.fromarray(noise_photo(240, 320))
        photo.save(folder / f"turned{orientation}.jpg", quality=92, exif=exif)
    return sorted(folder.iterdir())


@pytest.mark.parametrize("resize", ["stretch", "letterbox", "crop"])
def test_the_mask_and_the_cutout_are_those_of_python(model_of, photos, tmp_path, resize):
    model = model_of(resize)
    export_web(model, tmp_path / "site")
    predictor = load(model)
    with serve(tmp_path / "site") as url, open_browser(arguments=[ONLY_THIS_MACHINE]) as browser:
        page = Page(browser, url, tmp_path)
        for photo in photos:
            page.segment(photo)
            assert page.status == ""
            expected = predictor.predict(photo)
            mask = Image.open(page.save("save-mask", f"{photo.stem}_mask.png"))
            assert mask.size == expected.size
            assert (np.asarray(mask) != expected.mask).mean() <= MAX_DIFFERENT, photo.name
            colors = [tuple(mask.getpalette()[3 * i : 3 * i + 3]) for i in range(3)]
            assert colors == list(predictor.classes.values())
            shown = page.text_of("legend")
            assert all(f"{100 * share:.1f} %" in shown for share in expected.shares.values())
            alpha = np.asarray(cutout(to_rgb(photo), expected))[..., 3]
            found = np.asarray(Image.open(page.save("save-cutout", f"{photo.stem}_cutout.png")))
            error = np.abs(found[..., 3].astype(int) - alpha).max()
            assert error <= MAX_ALPHA_ERROR


def test_petsegs_own_model_finds_the_cat(tmp_path):
    export_web(pretrained_folder("pets"), tmp_path / "site")
    with serve(tmp_path / "site") as url, open_browser(arguments=[ONLY_THIS_MACHINE]) as browser:
        page = Page(browser, url, tmp_path)
        page.segment(PHOTO)
        mask = np.asarray(Image.open(page.save("save-mask", "cat_mask.png")))
        print(page.text_of("caption"))
    assert cat_iou(mask, list(load("pets").classes)) > MIN_IOU


def test_a_phone_takes_a_dropped_photo_and_the_camera_and_names_what_is_wrong(
    exported_run, photos, tmp_path
):
    export_web(exported_run.exported, tmp_path / "site")
    (tmp_path / "notes.png").write_text("not an image")
    arguments = [ONLY_THIS_MACHINE, *CAMERA]
    with serve(tmp_path / "site") as url, open_browser(PHONE, arguments=arguments) as browser:
        page = Page(browser, url, tmp_path)
        page.drop(photos[-1])
        assert page.text_of("caption").startswith(f"{photos[-1].name}, ")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]

        page.segment(tmp_path / "notes.png")
        assert page.status == "notes.png can't be read as an image by this browser."

        page.click("camera")
        page.wait_for(lambda: page.text_of("caption").startswith("camera, 640 × 480: "))
        first = page.text_of("caption")
        page.wait_for(lambda: page.text_of("caption") != first)  # the next frame
        assert page.text_of("camera") == "Stop camera"
        page.click("camera")
        assert page.text_of("camera") == "Start camera"
        assert Image.open(page.save("save-mask", "camera_mask.png")).size == (640, 480)
        assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
