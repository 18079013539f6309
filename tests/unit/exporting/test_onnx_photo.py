"""The ONNX file that takes a photo of any size, compared with `petseg.load` on unet.onnx."""

import numpy as np
import onnxruntime
import pytest

import petseg
from petseg.config.tiles import Tiles
from petseg.core.errors import PetsegError
from petseg.core.geometry import ImageSize
from petseg.exporting.exported import SourceModel, read_exported, write_exported
from petseg.exporting.onnx_photo import require_one_window, with_photo_input
from support.predictors import noise_photo
from support.robustness import matches

SECTION = "Exported models"
CASES = {
    "onnx_photo of a model with tiles": "A model with preprocess.tiles sees a photo in several windows, which no onnx_photo file does; remove onnx_photo from export.formats.",
    "onnx_photo of a model with resize crop": "A model with preprocess.resize: crop sees a photo in several windows, which no onnx_photo file does; remove onnx_photo from export.formats.",
}  # fmt: skip


def run(content, photo):
    return onnxruntime.InferenceSession(content).run(None, {"image": photo})


@pytest.mark.parametrize("size", [ImageSize(32, 32), ImageSize(32, 64)], ids=str)
@pytest.mark.parametrize("resize", ["stretch", "letterbox"])
def test_a_photo_of_any_size_gives_what_python_gives(exported_run, tmp_path, resize, size):
    exported = read_exported(exported_run.exported / "unet.onnx")
    source = SourceModel(
        classes=exported.classes, image_size=size, sha256=exported.model_sha256, resize=resize
    )
    write_exported(tmp_path, {"onnx": exported.content}, source)
    predictor = petseg.load(tmp_path)
    content = with_photo_input(exported.content, size, resize, 3)
    for shape in ((200, 451), (240, 90), (9, 14), (1, 300), tuple(size)):
        photo = noise_photo(*shape)
        mask, probabilities = run(content, photo)
        expected = predictor.predict(photo)
        assert (mask.dtype, mask.shape, probabilities.shape) == (np.uint8, shape, (*shape, 3))
        assert (mask == probabilities.argmax(-1)).all()
        # Single input pixels are rounded differently, by 1 of 255, which this network amplifies.
        # With another weighting at the edges (no exclude_outside) the means were ten times that.
        assert np.abs(probabilities - expected.probabilities).mean() < 3e-4, shape
        assert (mask != expected.mask).mean() < 1e-3, shape


def test_its_tensors_have_names_and_dynamic_sizes(exported_run):
    session = onnxruntime.InferenceSession(exported_run.exported / "unet_photo.onnx")
    values = (*session.get_inputs(), *session.get_outputs())
    assert [(value.name, value.type, value.shape) for value in values] == [
        ("image", "tensor(uint8)", ["height", "width", 3]),
        ("mask", "tensor(uint8)", ["height", "width"]),
        ("probabilities", "tensor(float)", ["height", "width", 3]),
    ]


@pytest.mark.parametrize("case", CASES)
def test_a_model_with_several_windows_is_refused(case, tmp_path):
    tiles = Tiles(size=64, overlap=16) if "tiles" in case else None
    with pytest.raises(PetsegError) as error:
        require_one_window("stretch" if tiles else "crop", tiles)
    assert matches(CASES[case], str(error.value), tmp_path)
