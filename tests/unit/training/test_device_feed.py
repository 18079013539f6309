"""Feeding a GPU: what is computed there, and that it is what the CPU computes."""

import numpy as np
import pytest
import tensorflow as tf

from petseg.config.train_params import AugmentParams
from petseg.determinism import make_deterministic
from petseg.shards.manifest import open_shards, read_manifest
from petseg.training import device_feed, loop
from petseg.training.augment import NUM_DRAWS, change_pixels
from petseg.training.device_feed import feed, make_augmentation
from petseg.training.input_pipeline import training_batches
from support.gpu_graphs import (
    count_launches,
    nodes_of,
    refusing_determinism,
    trace,
    without_gpu_kernel,
)
from support.project import NO_AUGMENTATION
from support.training import change_params, fit_tiny, one_cpu, open_training_data

COLORS = {"flip": True, "brightness": 0.2, "contrast": 0.2, "saturation": 0.2}
CROPS = AugmentParams(**{**NO_AUGMENTATION, **COLORS, "crop_scale": (0.6, 1.0)})
ROTATIONS = AugmentParams(**{**NO_AUGMENTATION, **COLORS, "rotation": 15.0})
both_warps = pytest.mark.parametrize("params", [CROPS, ROTATIONS], ids=["crops", "rotations"])


@both_warps
def test_a_batch_augmented_on_its_device_is_that_of_the_pipeline_to_the_last_bit(
    params, tiny_shards, monkeypatch
):
    make_deterministic()
    shards = open_shards(tiny_shards, read_manifest(tiny_shards), "train")
    expected, raw = (
        list(training_batches(shards, 4, 16, params, seed=3, epoch=2, augmented=augmented))
        for augmented in (True, False)
    )
    assert [tensor.dtype for tensor in raw[0]] == [tf.uint8, tf.uint8, tf.float32, tf.float32]
    monkeypatch.setattr(device_feed, "on_gpus", lambda strategy: True)
    batches = feed(one_cpu(), iter(raw), make_augmentation(one_cpu(), params))
    for (image, mask), (new_image, new_mask) in zip(expected, batches, strict=True):
        assert np.array_equal(image, new_image)
        assert np.array_equal(mask, new_mask)


@both_warps
def test_a_gpu_runs_every_operation_of_the_augmentation(params):
    graph = trace(
        lambda *batch: change_pixels(*batch, params),
        tf.TensorSpec([4, 32, 32, 3], tf.uint8),
        tf.TensorSpec([4, 32, 32], tf.uint8),
        tf.TensorSpec([4, 8]),
        tf.TensorSpec([4, NUM_DRAWS]),
    )
    nodes = nodes_of(graph)
    assert without_gpu_kernel(nodes) == set()
    assert refusing_determinism(nodes) == set()
    assert count_launches(nodes) <= 100


@pytest.mark.filterwarnings("ignore:Even though the `tf.config.exp:UserWarning")
@pytest.mark.usefixtures("small_encoder")
def test_a_training_that_augments_on_the_device_gives_the_same_bytes(
    tiny_params, tiny_shards, tmp_path, monkeypatch
):
    tf.config.run_functions_eagerly(True)  # faster for a few steps
    params = change_params(tiny_params, train__epochs=1)
    data = open_training_data(tiny_shards)
    expected, expected_history = fit_tiny(params, data, tmp_path / "pipeline")
    for module in (loop, device_feed):
        monkeypatch.setattr(module, "on_gpus", lambda strategy: True)
    network, history = fit_tiny(params, data, tmp_path / "device")
    tf.config.run_functions_eagerly(False)
    assert history == expected_history
    for weight, other in zip(network.get_weights(), expected.get_weights(), strict=True):
        assert np.array_equal(weight, other)
