"""Two devices in one process: they compute what one does, and hold the same statistics."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from support.once import make_once
from support.project import ROOT

# A fresh process, since a CPU can be split into logical devices only before TensorFlow starts.
_SCRIPT = """
import json, sys
sys.path[:0] = sys.argv[1:3]
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from petseg.config.params import load_params
from petseg.model.batch_norm import BatchNormalization
from petseg.model.unet import Architecture, build_unet
from petseg.training.batch_norms import (
    fused_batch_norm, prepare_batch_norms, replica_fused_batch_norm
)
from petseg.training import device_feed
from petseg.training.device_feed import distribute
from petseg.training.devices import strategy_for
from petseg.training.ema import EMA
from petseg.training.loss_scale import LossScale
from petseg.training.optimizers import build_groups
from petseg.training.steps import make_train_step, make_validation_step
from support.encoders import small_encoder
from support.gpu_graphs import count_ops, nodes_of, trace

params = load_params(sys.argv[3]).train
rng = np.random.default_rng(0)
image = tf.constant(rng.uniform(0, 255, (4, 32, 32, 3)), tf.float32)
mask = tf.constant(rng.integers(0, 3, (4, 32, 32)), tf.uint8)


def run(strategy, num_devices, synchronized, scale=None):
    keras.utils.set_random_seed(0)
    with strategy.scope(), small_encoder():
        network = build_unet(Architecture("mobilenet_v2", 0.35, (8, 8), 3, output_stride=16))
        layers = [*network.layers, *network.get_layer("encoder").layers]
        prepare_batch_norms(layers, 100, num_devices, synchronized)
        groups = list(build_groups(network, params, 3).values())
        ema = EMA(network, 0.9)
        loss_scale = LossScale() if scale else None
    step = make_train_step(
        strategy, network, groups, batch_size=4, loss_params=params.loss, clip_norm=0.01, ema=ema,
        loss_scale=loss_scale,
    )
    batch = distribute(strategy, (image, mask))
    if loss_scale:
        loss_scale.set_values([float("inf"), 0, 0])
        step(*batch)  # skipped on both devices
        loss_scale.set_values([scale, 0, 0])
    def whole(image, mask):
        return step(*distribute(strategy, (image, mask)))

    specs = [tf.TensorSpec.from_tensor(tensor) for tensor in (image, mask)]
    operations = count_ops(nodes_of(trace(whole, *specs))) if num_devices > 1 and not scale else {}
    losses = [float(step(*batch)[0])]
    moments = [w for group in groups for w in group.optimizer.variables if "momentum" in w.path]
    moment = float(np.sqrt(sum(np.sum(np.square(w)) for w in moments)))
    losses += [float(step(*batch)[0]) for _ in range(5)]
    validate = make_validation_step(strategy, network, params.loss)
    with ema.applied():
        val_loss, confusion = validate(
            *distribute(strategy, (tf.cast(image, tf.uint8), mask, tf.ones(4, tf.bool)))
        )
    optimizers = [variable for group in groups for variable in group.optimizer.variables]
    drift = 0.0
    for variable in [*network.weights, *optimizers, *ema.variables]:
        values = [v.numpy() for v in strategy.experimental_local_results(variable.value)]
        drift = max(drift, *(float(np.abs(v - values[0]).max()) for v in values))
    return {
        "losses": losses, "val_loss": float(val_loss), "drift": drift, "moment": moment,
        "pixels": int(np.sum(confusion)), "devices": len(values),
        "all-reduces": operations.get("CollectiveReduceV2", 0) / num_devices,
        "batch norms": sum(isinstance(layer, BatchNormalization) for layer in layers),
    }


def stored_statistics(strategy):
    # Each device's part has another mean.
    x = rng.normal(3, 2, (4, 8, 8, 2)) + np.arange(4)[:, None, None, None]
    x = tf.constant(x, tf.float32)
    gamma, beta = keras.Variable([1.0, 1.0]), keras.Variable([0.0, 0.0])
    parts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.split(x, 2)[context.replica_id_in_sync_group]
    )
    stored = strategy.run(
        lambda part: replica_fused_batch_norm(part, gamma, beta, 0.001)[1:], args=(parts,)
    )
    whole = fused_batch_norm(x, gamma, beta, 0.001)[1:]
    return [
        [np.asarray(value).tolist() for value in (expected, *strategy.experimental_local_results(per_device))]
        for per_device, expected in zip(stored, whole)
    ]


def copied_to(strategy):
    device_feed.on_gpus = lambda strategy: True
    batches = iter([(tf.range(4 * number, 4 * number + 4),) for number in range(3)])
    return [
        [(part.device[-5:], part.numpy().tolist()) for part in strategy.experimental_local_results(value)]
        for value, in device_feed.feed(strategy, batches)
    ]


two = strategy_for(["CPU:0", "CPU:1"])
with tf.device("CPU:1"):  # in the place of GPU 0, TensorFlow's default
    parts = two.experimental_local_results(*distribute(two, (image,)))
results = {
    "parts": [[len(part), part.device] for part in parts],
    "one": run(strategy_for(["CPU:0"]), 1, True),
    "two": run(two, 2, True),
    "two, not synchronized": run(two, 2, False),
    "two, with a loss scale": run(two, 2, True, 1024.0),
    "stored": stored_statistics(two),
    "copied": copied_to(two),
}
print("RESULTS", json.dumps(results))
"""


def compute(folder):
    paths = [str(ROOT / "src"), str(ROOT / "tests"), str(ROOT / "params.yaml")]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *paths],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
    )
    assert "RESULTS" in done.stdout, done.stderr
    folder.mkdir()
    (folder / "results.json").write_text(done.stdout.split("RESULTS", 1)[1])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = make_once(tmp_path_factory, "two_devices", compute)
    return json.loads((folder / "results.json").read_text())


def test_two_devices_compute_the_same_as_one(results):
    one, two = results["one"], results["two"]
    assert one["losses"][0] > one["losses"][-1]
    assert two["losses"][0] == pytest.approx(one["losses"][0], rel=1e-5)
    # After a step, a tenth of the clipped gradient's norm, which Adam's updates don't show.
    assert one["moment"] == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert two["moment"] == pytest.approx(one["moment"], rel=1e-4)
    assert two["losses"][1] == pytest.approx(one["losses"][1], rel=1e-4)  # one update later
    assert two["losses"] == pytest.approx(one["losses"], rel=5e-3)  # Adam amplifies rounding
    assert two["val_loss"] == pytest.approx(one["val_loss"], rel=5e-3)
    assert one["pixels"] == two["pixels"] == 4 * 32 * 32


def test_two_devices_skip_a_step_together(results):
    """The skipped step has only moved the batch norms' statistics."""
    scaled, two = results["two, with a loss scale"], results["two"]
    assert scaled["losses"] == two["losses"]
    assert scaled["moment"] == two["moment"]
    assert scaled["drift"] == 0


def test_devices_that_normalize_their_own_part_learn_too(results):
    losses = results["two, not synchronized"]["losses"]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["two", "two, not synchronized"])
def test_all_devices_hold_the_same_weights_and_moments(results, kind):
    assert results[kind]["devices"] == 2
    assert results[kind]["drift"] == 0


@pytest.mark.parametrize(("kind", "per_batch_norm"), [("two", 2), ("two, not synchronized", 1)])
def test_devices_wait_for_each_other_once_for_all_gradients_and_in_batch_norms(
    results, kind, per_batch_norm
):
    batch_norms = results[kind]["batch norms"]
    assert batch_norms > 5
    assert results[kind]["all-reduces"] == per_batch_norm * batch_norms + 1


def test_a_batch_is_split_on_the_host(results):
    for length, device in results["parts"]:
        assert length == 2
        assert device.endswith("CPU:0")


def test_stored_statistics_are_those_of_the_whole_batch(results):
    for expected, *per_device in results["stored"]:  # mean, variance
        assert len(per_device) == 2
        for values in per_device:
            np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_each_device_gets_its_part_of_every_batch_ahead_of_time(results):
    expected = [
        [["CPU:0", [4 * number, 4 * number + 1]], ["CPU:1", [4 * number + 2, 4 * number + 3]]]
        for number in range(3)
    ]
    assert results["copied"] == expected
