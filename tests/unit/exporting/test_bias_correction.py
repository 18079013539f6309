"""Biases that make up for kernels rounded to int8."""

import numpy as np
import pytest

from petseg.core.geometry import ImageSize
from petseg.exporting.bias_correction import correct_biases
from petseg.model.folding import batch_norm_of
from petseg.model.saved import SavedModel
from petseg.model.unet import build_unet, convolutions
from support.models import SMALL_ARCHITECTURE, build_decided_network

pytestmark = pytest.mark.usefixtures("small_encoder")


@pytest.fixture
def saved():
    classes = {"pet": "#ff0000", "background": "#00ff00", "border": "#0000ff"}
    network = build_decided_network()
    rng = np.random.default_rng(1)
    for conv in convolutions(network):
        if (norm := batch_norm_of(conv)) is not None:
            channels = norm.gamma.shape
            norm.gamma.assign(rng.uniform(0.5, 2, channels) * rng.choice([-1, 1], channels))
            norm.moving_mean.assign(rng.normal(0, 0.2, channels))
            norm.moving_variance.assign(rng.uniform(0.2, 2, channels))
    return SavedModel(network, SMALL_ARCHITECTURE, classes, ImageSize(32, 64))


@pytest.fixture
def images():
    return list(np.random.default_rng(0).integers(0, 256, (8, 32, 64, 3), np.uint8))


def round_kernels(network):
    """Round each output channel's kernels to -127..127 times a step, as int8 does."""
    for conv in convolutions(network):
        for kernel in conv.weights:
            if kernel.name == "bias":
                continue
            values = np.asarray(kernel)  # (h, w, C, N)
            channel = 2 if values.shape[-1] == 1 else 3
            others = tuple(axis for axis in range(4) if axis != channel)
            step = np.abs(values).max(others, keepdims=True) / 127
            kernel.assign(np.round(values / step) * step)


def mean_logits(network, images):
    return np.asarray(network(np.stack(images).astype(np.float32))).mean((0, 1, 2))


def test_the_mean_logits_survive_rounded_kernels(saved, images):
    exact = mean_logits(saved.network, images)
    corrected = correct_biases(saved, images)
    round_kernels(corrected)
    plain = build_unet(SMALL_ARCHITECTURE)
    plain.set_weights(saved.network.get_weights())
    round_kernels(plain)
    errors = [np.abs(mean_logits(each, images) - exact).max() for each in (corrected, plain)]
    assert errors[0] < 0.3 * errors[1]


def test_kernels_that_int8_holds_exactly_need_no_correction(saved, images):
    round_kernels(saved.network)
    before = saved.network.get_weights()
    corrected = correct_biases(saved, images)
    for ours, theirs in zip(corrected.get_weights(), before, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
