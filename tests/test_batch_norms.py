"""The kernel that batch norms take in training, and the convolutions that do their work everywhere else."""

import dataclasses
import re

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.determinism import make_deterministic
from petseg.model.batch_norm import BatchNormalization
from petseg.model.encoder import set_encoder_trainable
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
    norms = [layer for layer in [*network.layers, *network.get_layer("encoder").layers] if "BatchNorm" in str(layer)]
    assert len(norms) > 50
    assert {type(layer) for layer in norms} == {BatchNormalization}
    graph = tf.function(lambda x: network(x, training=True)).get_concrete_function(tf.zeros((1, 32, 32, 3))).graph
    assert sum(operation.type == "FusedBatchNormV3" for operation in graph.get_operations()) == len(norms)


def test_batch_norms_in_training_give_the_same_bits_each_time():
    """On several threads, as training does it; the stage's weights are compared byte for byte by checks/verify.py."""
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


KINDS = {
    "separable": {},
    "full": {"decoder": "full"},
    "transposed": {"decoder": "transposed"},
    "more": {"context": "aspp", "attention": True, "encoder_stride": 16, "decoder_filters": (8, 8, 8, 8)},
}


def all_layers(network):
    return [*network.layers, *network.get_layer("encoder").layers]


def with_made_up_batch_norms(architecture):
    """A network whose batch norms have something to do, and the same one with none of them folded."""
    folded, plain = build_unet(architecture), build_unet(architecture)
    rng = np.random.default_rng(0)
    for variable in folded.weights:
        kind = variable.path.split("/")[-1]
        if kind in ("gamma", "beta", "moving_mean", "moving_variance"):
            low, high = (0.5, 2) if kind == "moving_variance" else (-0.5, 1)
            variable.assign(rng.uniform(low, high, variable.shape))
    plain.set_weights(folded.get_weights())
    for layer in all_layers(plain):
        if isinstance(layer, BatchNormalization):
            layer.is_folded = False
        elif hasattr(layer, "batch_norm"):
            layer.batch_norm = None
    return folded, plain


@pytest.mark.parametrize("kind", KINDS)
def test_folded_batch_norms_compute_what_they_did(kind):
    folded, plain = with_made_up_batch_norms(dataclasses.replace(TINY, **KINDS[kind]))
    left = [x for x in all_layers(folded) if isinstance(x, BatchNormalization) and not x.is_folded]
    assert len(left) == (5 if kind == "transposed" else 0)  # behind the transposed convolutions
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3))
    logits = plain(image, training=False)
    assert np.ptp(logits) > 0.01
    assert np.allclose(folded(image, training=False), logits, rtol=0, atol=1e-5 * np.abs(logits).max())


def test_a_frozen_batch_norm_is_folded_in_training_and_one_that_is_trained_is_not():
    networks = with_made_up_batch_norms(TINY)
    image, results = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)), []
    for network in networks:
        prepare_batch_norms(all_layers(network), 100, 1)
        set_encoder_trainable(network.get_layer("encoder"), True, False)
        variables = [variable.value for variable in network.trainable_weights]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(image, training=True) ** 2)
        results.append([*tape.gradient(loss, variables), *network.get_weights()])
    assert len(variables) > 70
    for ours, theirs in zip(*results, strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max() + 1e-9)


def test_prediction_passes_over_no_picture_for_a_batch_norm():
    passes = []
    for network in with_made_up_batch_norms(TINY):
        graph = tf.function(lambda x, n=network: n(x, training=False)).get_concrete_function(tf.zeros((1, 32, 32, 3)))
        made = [(op.type, op.outputs[0].shape) for op in graph.graph.get_operations() if op.outputs]
        passes.append(sum(kind == "Mul" and shape.rank == 4 and shape[0] == 1 and shape[1] > 1 for kind, shape in made))
    assert passes[0] == 1  # the image is scaled
    assert passes[1] > 50


def test_folding_leaves_the_weights_file_as_keras_s_own_layers_would_write_it(tmp_path):
    network = build_unet(TINY)
    network.save_weights(tmp_path / "ours.weights.h5")
    names, numbers = set(), 0

    def visit(name, item):
        nonlocal numbers
        names.update(re.sub(r"_\d+$", "", part) for part in name.split("/"))
        numbers += item.size if isinstance(item, h5py.Dataset) else 0

    with h5py.File(tmp_path / "ours.weights.h5") as file:
        file.visititems(visit)
    assert {"conv2d", "depthwise_conv2d", "separable_conv2d", "batch_normalization"} <= names
    assert numbers == network.count_params()
