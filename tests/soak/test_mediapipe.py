"""MediaPipe's ImageSegmenter, the library for Android, with the LiteRT files (pip install mediapipe)."""

import numpy as np
import pytest

import petseg
from petseg.exporting.exported import FILE_NAMES

mediapipe = pytest.importorskip("mediapipe")


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("litert_float32", 1e-4), ("litert_float16", 0.01), ("litert_int8", 1e-6)],
)
def test_mediapipe_reads_the_class_names_and_gives_the_same_probabilities(
    exported_run, name, tolerance
):
    path = exported_run.exported / FILE_NAMES[name]
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    vision = mediapipe.tasks.vision
    options = vision.ImageSegmenterOptions(
        base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=path.read_bytes()),
        output_confidence_masks=True,
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=photo)
        masks = segmenter.segment(image).confidence_masks
        assert segmenter.labels == ["pet", "background", "border"]
    found = np.stack([mask.numpy_view().squeeze() for mask in masks], axis=-1)
    expected = petseg.load(path).predict(photo).probabilities
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=tolerance)
