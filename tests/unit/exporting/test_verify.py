"""Statistics of a backend, from predictions made up here."""

import numpy as np
import pytest

from petseg.exporting.verify import compare_backends


def constant_backend(pixels):
    probabilities = np.asarray(pixels, np.float32)[None, None]  # (1, 1, W, N)
    return lambda images: probabilities


def test_statistics_compare_each_backend_with_the_reference():
    reference = constant_backend([[0.75, 0.25], [0.5, 0.5]])
    other = constant_backend([[0.25, 0.75], [0.625, 0.375]])
    example = np.zeros((1, 2, 3), np.uint8), np.array([[0, 255]], np.uint8)
    stats, exported = compare_backends(reference, {"onnx": other}, [example, example])
    assert (stats.mean_iou, stats.max_abs_error, stats.pixel_agreement) == (1, 0, 1)
    onnx = exported["onnx"]
    assert onnx.mean_iou == 0
    assert onnx.max_abs_error == 0.5
    assert onnx.mean_abs_error == pytest.approx((0.5 + 0.125) / 2)
    assert onnx.pixel_agreement == 0.5
    assert onnx.num_pixels == 4
    assert len(onnx.seconds) == 2


def test_nan_remains_the_largest_error():
    reference = constant_backend([[0.75, 0.25]])
    images = iter([np.nan, 0.25])
    other = lambda _: np.full((1, 1, 1, 2), next(images), np.float32)  # noqa: E731
    example = np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8)
    _, exported = compare_backends(reference, {"onnx": other}, [example, example])
    assert np.isnan(exported["onnx"].max_abs_error)
