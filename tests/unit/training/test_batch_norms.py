"""The batch norms' kernel and momentum in training."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.determinism import make_deterministic
from petseg.model.batch_norm import BatchNormalization
from petseg.model.unet import Architecture, build_unet
from petseg.training.batch_norms import batch_norm_momentum, prepare_batch_norms

TINY = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 4)


def batch_norms():
    """Build Keras's layer and ours with the same weights, different from the initial ones."""
    rng = np.random.default_rng(0)
    kinds = [keras.layers.BatchNormalization(), BatchNormalization()]
    weights = [rng.uniform(0.5, 2, 5) for _ in range(4)]
    prepare_batch_norms(kinds, 100, 1)
    for layer in kinds:
        layer.momentum = 0.9
        layer.build((None, None, None, 5))
        layer.set_weights(weights)
    return kinds


@pytest.mark.parametrize(("training", "trainable"), [(True, True), (True, False), (False, True)])
def test_the_fused_kernel_matches_keras(training, trainable):
    x = tf.constant(np.random.default_rng(1).normal(3, 2, (4, 6, 8, 5)), tf.float32)
    results = []
    for layer in batch_norms():
        layer.trainable = trainable
        variables = [layer.gamma.value, layer.beta.value]
        with tf.GradientTape() as tape:
            tape.watch([x, *variables])
            y = layer(x, training=training)
            loss = tf.reduce_sum(y**3)
        results.append([y, *tape.gradient(loss, [x, *variables]), *layer.get_weights()])
    for theirs, ours in zip(*results, strict=True):
        scale = np.abs(theirs).max()
        assert np.allclose(theirs, ours, rtol=0, atol=1e-5 * scale)


def test_every_batch_norm_of_the_network_trains_with_the_fused_kernel(small_encoder):
    network = build_unet(TINY)
    layers = [*network.layers, *network.get_layer("encoder").layers]
    prepare_batch_norms(layers, 100, 1)
    batch_norms = [layer for layer in layers if "BatchNorm" in str(layer)]
    assert {type(layer) for layer in batch_norms} == {BatchNormalization}
    forward = tf.function(lambda x: network(x, training=True))
    graph = forward.get_concrete_function(tf.zeros((1, 32, 32, 3))).graph
    kernels = [op for op in graph.get_operations() if op.type == "FusedBatchNormV3"]
    assert len(kernels) == len(batch_norms) > 10


@pytest.mark.parametrize(
    ("options", "is_plain"),
    [({}, True), ({"axis": 3}, True), ({"axis": 1}, False), ({"scale": False}, False)],
)
def test_a_batch_norm_with_other_options_is_not_plain(options, is_plain, monkeypatch):
    layer = BatchNormalization(**options)
    assert layer.is_plain is is_plain
    if hasattr(layer, "renorm"):
        monkeypatch.delattr(layer, "renorm")  # Keras before 3.14 has no such attribute
        assert layer.is_plain is is_plain


def test_gradients_of_batch_norms_have_the_same_bits_each_time():
    """On several threads, as in training; tests/soak/verify.py compares the stage's weights byte for byte."""
    make_deterministic()
    layer = batch_norms()[1]
    x = tf.constant(np.random.default_rng(1).normal(3, 2, (8, 64, 64, 5)), tf.float32)

    @tf.function
    def gradient():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) ** 3)
        return tape.gradient(loss, x)

    first = gradient().numpy()
    assert all(np.array_equal(gradient().numpy(), first) for _ in range(40))


def test_stored_statistics_have_forgotten_their_initial_values_when_training_ends():
    for count in (1, 5, 20, 72, 1000):
        assert batch_norm_momentum(count) ** count < 1e-4
    assert batch_norm_momentum(100_000) == 0.9
