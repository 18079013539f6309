"""The kernel that batch norms take in training."""

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
    """Keras's layer and ours with the same weights, which are none of their initial ones."""
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
def test_the_fused_batch_norm_computes_what_keras_s_does(training, trainable):
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


def test_the_fused_batch_norm_is_the_one_that_trains():
    network = build_unet(TINY)
    prepare_batch_norms([*network.layers, *network.get_layer("encoder").layers], 100, 1)
    norms = [
        layer
        for layer in [*network.layers, *network.get_layer("encoder").layers]
        if "BatchNorm" in str(layer)
    ]
    assert len(norms) > 50
    assert {type(layer) for layer in norms} == {BatchNormalization}
    graph = (
        tf.function(lambda x: network(x, training=True))
        .get_concrete_function(tf.zeros((1, 32, 32, 3)))
        .graph
    )
    assert sum(operation.type == "FusedBatchNormV3" for operation in graph.get_operations()) == len(
        norms
    )


def test_batch_norms_in_training_give_the_same_bits_each_time():
    """On several threads, as training does it; the stage's weights are compared byte for byte by tests/soak/verify.py."""
    make_deterministic()
    layer = batch_norms()[1]
    x = tf.constant(np.random.default_rng(1).normal(3, 2, (8, 64, 64, 5)), tf.float32)

    @tf.function
    def once():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True) ** 3)
        return tape.gradient(loss, x)

    first = once().numpy()
    assert all(np.array_equal(once().numpy(), first) for _ in range(40))


def test_stored_statistics_have_forgotten_their_start_when_training_ends():
    for count in (1, 5, 20, 72, 1000):
        assert batch_norm_momentum(count) ** count < 1e-4
    assert batch_norm_momentum(100_000) == 0.97
