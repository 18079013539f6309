"""The parameter groups and their learning rates."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.training.optimizers import AdamW, build_groups, cosine_with_warmup
from support.training import STEPS, build_tiny_network, change_params


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = cosine_with_warmup(0.01, steps=100, warmup_steps=10)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.005)
    assert rates[10] == pytest.approx(0.01) == max(rates)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_without_warmup_the_learning_rate_starts_at_its_peak():
    assert float(cosine_with_warmup(0.01, 100, 0)(0)) == pytest.approx(0.01)


@pytest.mark.parametrize(("steps", "warmup"), [(30, 10), (30, 0), (10, 10)])
def test_the_learning_rates_are_those_of_keras(steps, warmup):
    ours = cosine_with_warmup(0.01, steps, warmup)
    theirs = keras.optimizers.schedules.CosineDecay(
        0.0 if warmup else 0.01,
        max(steps - warmup, 1),
        0.0,
        "decay",
        0.01 if warmup else None,
        warmup,
    )
    for step in range(steps + 2):
        assert float(ours(step)) == float(theirs(step))


def test_updates_have_the_bits_of_those_of_keras():
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 3, 5, 7), "gamma": (7,), "depthwise_kernel": (3, 3, 7, 1), "bias": (9,)}
    values = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    ours, theirs = (
        [keras.Variable(value, dtype="float32", name=name) for name, value in values.items()]
        for _ in range(2)
    )
    optimizer = AdamW(ours, lambda step: 0.01 / (1.0 + tf.cast(step, tf.float32)), 0.1)
    reference = keras.optimizers.AdamW(keras.optimizers.schedules.InverseTimeDecay(0.01, 1, 1), 0.1)
    reference.exclude_from_weight_decay(var_names=["bias", "gamma"])
    reference.build(theirs)
    for _ in range(5):
        gradients = [tf.constant(rng.normal(size=v.shape), tf.float32) for v in ours]
        optimizer.apply(optimizer.flatten(gradients))
        reference.apply(gradients, theirs)
        for variable, expected in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(variable, expected)


@pytest.fixture
def groups(tiny_params, small_encoder):
    params = change_params(tiny_params, train__weight_decay=0.1, train__warmup_epochs=0).train
    return build_groups(build_tiny_network(), params, STEPS)


def test_every_trainable_weight_is_in_one_group(groups):
    assert list(groups) == ["decoder", "encoder"]
    encoder, decoder = (
        {variable.path for variable in groups[name].variables} for name in ("encoder", "decoder")
    )
    assert all(path.startswith(("conv_", "norm_")) for path in encoder)
    assert {"head/kernel", "head/bias", "projection_conv/kernel"} <= decoder
    assert not encoder & decoder


def test_weight_decay_shrinks_kernels_only(groups):
    for group in groups.values():
        for variable in group.variables:
            variable.assign(np.ones(variable.shape))
        group.optimizer.apply(group.optimizer.flatten([tf.zeros(v.shape) for v in group.variables]))
        for variable in group.variables:
            has_shrunk = bool(np.all(np.asarray(variable) < 1))
            assert has_shrunk == variable.path.endswith("kernel"), variable.path
