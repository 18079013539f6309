"""One training step."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.datasets.synthetic.draw import draw_pet
from petseg.metrics import mean_iou
from petseg.model.batch_norm import BatchNormalization
from petseg.model.unet import Architecture, build_unet
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.ema import EMA
from petseg.training.loss_scale import LossScale
from petseg.training.optimizers import AdamW, ParamGroup, build_groups, cosine_with_warmup
from petseg.training.steps import make_train_step
from support.training import build_tiny_network, change_params, one_cpu


def test_a_network_can_overfit_four_images(tiny_params, small_encoder):
    keras.utils.set_random_seed(0)
    drawn = [draw_pet(0, index, 64) for index in range(4)]
    image = tf.constant(np.stack([image for image, *_ in drawn]), tf.float32)
    mask = tf.constant(np.stack([mask for _, mask, *_ in drawn]) - 1)
    params = change_params(
        tiny_params, train__epochs=1, train__warmup_epochs=0.05, train__learning_rate=0.01
    ).train
    with one_cpu().scope():
        network = build_unet(Architecture("mobilenet_v2", 0.35, (32, 32, 24, 16), 3, 16))
        groups = build_groups(network, params, 200)
    step = make_train_step(
        one_cpu(),
        network,
        list(groups.values()),
        batch_size=4,
        loss_params=params.loss,
        clip_norm=1.0,
    )
    best = 0.0
    for _ in range(200):
        _, confusion = step(image, mask)
        best = float(mean_iou(confusion.numpy()))
        if best > 0.93:
            break
    assert best > 0.9


@pytest.mark.parametrize("scale", [None, 1.0, 2.0])
def test_infinite_gradients_make_the_loss_nan_unless_a_loss_scale_can_fall(tiny_params, scale):
    def steep(x):
        """Return 0 at 0, where the slope is infinite."""
        return keras.ops.sqrt(keras.ops.abs(x))

    network = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1), keras.layers.Lambda(steep)]
    )
    variables = network.trainable_variables
    group = ParamGroup(AdamW(variables, lambda step: tf.constant(0.1), 0.0), variables)
    loss_scale = LossScale() if scale else None
    if loss_scale:
        loss_scale.set_values([scale, 0, 0])
    step = make_train_step(
        one_cpu(),
        network,
        [group],
        batch_size=1,
        loss_params=tiny_params.train.loss,
        clip_norm=1.0,
        loss_scale=loss_scale,
    )
    image, mask = tf.zeros((1, 4, 4, 3)), tf.zeros((1, 4, 4), tf.uint8)
    assert np.isfinite(network(image)).all()
    loss, _ = step(image, mask)
    assert np.isfinite(loss) == (scale == 2.0)
    assert np.isfinite(network(image)).all() == (scale is not None)


def step_of_tiny_network(params, loss_scale):
    """A training step, and all variables that it changes, of equal networks."""
    keras.utils.set_random_seed(0)
    network = build_tiny_network()
    groups = build_groups(network, params, 10)
    ema = EMA(network, 0.9)
    step = make_train_step(
        one_cpu(),
        network,
        list(groups.values()),
        batch_size=2,
        loss_params=params.loss,
        clip_norm=0.1,
        ema=ema,
        loss_scale=loss_scale,
    )

    def variables():
        optimizers = [v.numpy() for group in groups.values() for v in group.optimizer.variables]
        trainable = [v.numpy() for v in network.trainable_variables]
        return [*trainable, *optimizers, *ema.values()]

    return step, variables


def equal(first, second):
    return [np.array_equal(a, b) for a, b in zip(first, second, strict=True)]


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    image = tf.constant(rng.uniform(0, 255, (2, 32, 32, 3)), tf.float32)
    return image, tf.constant(rng.integers(0, 3, (2, 32, 32)), tf.uint8)


@pytest.fixture
def params(tiny_params, small_encoder):
    return change_params(tiny_params, train__warmup_epochs=0.0).train


def test_a_loss_scale_changes_no_bit_in_float32(params, batch):
    """Gradients are divided by it before they are clipped."""
    tf.config.run_functions_eagerly(True)  # faster for a few steps
    results = []
    for loss_scale in (None, LossScale()):
        step, variables = step_of_tiny_network(params, loss_scale)
        losses = [float(step(*batch)[0]) for _ in range(3)]
        results.append([np.array(losses), *variables()])
    tf.config.run_functions_eagerly(False)
    assert all(equal(*results))


def test_a_step_whose_gradients_overflow_is_skipped(params, batch):
    loss_scale = LossScale()
    step, variables = step_of_tiny_network(params, loss_scale)
    step(*batch)
    before = variables()
    loss_scale.set_values([np.inf, 1, 0])
    loss, counts = step(*batch)
    assert np.isfinite(loss)
    assert np.sum(counts) == 2 * 32 * 32
    assert all(equal(before, variables()))
    assert loss_scale.num_skipped == 1
    loss_scale.set_values([2.0, 1, 0])
    step(*batch)
    assert not any(equal(before, variables())[:8])


def test_a_step_compiled_with_xla_computes_the_same(tiny_params, batch):
    results = []
    for jit_compile in (False, True):
        keras.utils.set_random_seed(0)
        network = keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Conv2D(3, 1, use_bias=False),
                BatchNormalization(),
            ]
        )
        prepare_batch_norms(network.layers, 10, 1)
        variables = network.trainable_variables
        group = ParamGroup(AdamW(variables, cosine_with_warmup(0.1, 5, 2), 0.1), variables)
        ema = EMA(network, 0.9)
        step = make_train_step(
            one_cpu(),
            network,
            [group],
            batch_size=2,
            loss_params=tiny_params.train.loss,
            clip_norm=0.1,
            ema=ema,
            loss_scale=LossScale(),
            jit_compile=jit_compile,
        )
        calls = tf.function(step).get_concrete_function(*batch).graph.as_graph_def().node
        assert any(call.attr["_XlaMustCompile"].b for call in calls) == jit_compile
        losses = [float(step(*batch)[0]) for _ in range(3)]
        results.append([losses, *network.get_weights(), *ema.values()])
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(compiled, plain, rtol=1e-4, atol=1e-5)
