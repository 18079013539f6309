"""Convolutions that apply the batch norm after them."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.model import encoder, unet
from petseg.model.batch_norm import BatchNormalization
from petseg.model.encoder import set_encoder_trainable
from petseg.model.folding import Conv2D, fold_batch_norms
from petseg.model.unet import Architecture, build_unet
from petseg.training.batch_norms import prepare_batch_norms

TINY = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 4)


def all_layers(network):
    return [*network.layers, *network.get_layer("encoder").layers]


def folded_and_plain():
    """Build a network with random batch norms, and the same network without folding."""
    keras.utils.set_random_seed(0)
    folded, plain = build_unet(TINY), build_unet(TINY)
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
        elif hasattr(layer, "following_bn"):
            layer.following_bn = None
    return folded, plain


def count_feature_products(network, training):
    """Count the products with the size of a feature map in a forward pass: one per batch norm that isn't folded."""

    @tf.function
    def forward(image):
        return network(image, training=training)

    graph = forward.get_concrete_function(tf.zeros((1, 64, 64, 3))).graph
    products = [op.outputs[0].shape for op in graph.get_operations() if op.type == "Mul"]
    return sum(shape.rank == 4 and shape[0] == 1 and shape[1] > 1 for shape in products)


def test_folded_batch_norms_give_the_same_logits():
    folded, plain = folded_and_plain()
    batch_norms = [layer for layer in all_layers(folded) if isinstance(layer, BatchNormalization)]
    assert all(layer.is_folded for layer in batch_norms)
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3))
    logits = plain(image, training=False)
    assert np.ptp(logits) > 0.01
    assert np.allclose(
        folded(image, training=False), logits, rtol=0, atol=1e-5 * np.abs(logits).max()
    )


def count_batch_norms(layers):
    return sum(isinstance(layer, BatchNormalization) for layer in layers)


def test_prediction_needs_no_extra_pass_for_a_batch_norm(small_encoder):
    folded, plain = folded_and_plain()
    assert count_feature_products(folded, training=False) == 1  # scaling the image
    assert count_feature_products(plain, training=False) == 1 + count_batch_norms(all_layers(plain))


@pytest.mark.parametrize("mode", ["frozen", "affine"])
def test_in_training_a_batch_norm_is_folded_unless_its_statistics_change(mode, small_encoder):
    networks = folded_and_plain()
    image, results = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3)), []
    for network in networks:
        prepare_batch_norms(all_layers(network), 100, 1)
        set_encoder_trainable(network.get_layer("encoder"), True, mode)
        variables = [variable.value for variable in network.trainable_weights]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(network(image, training=True) ** 2)
        results.append([*tape.gradient(loss, variables), *network.get_weights()])
    # Where a gradient is 0, both are rounding noise of some 1e-9.
    for ours, theirs in zip(*results, strict=True):
        assert np.allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max() + 1e-8)
    assert count_feature_products(networks[0], training=True) == 1
    encoder_part = networks[0].get_layer("encoder")
    num_frozen = count_batch_norms(encoder_part.layers)
    assert count_feature_products(networks[1], training=True) == 1 + num_frozen
    for trainable in (False, True):  # unfrozen together with its batch norms
        set_encoder_trainable(encoder_part, trainable, "trained")
    before = encoder_part.get_layer("norm_2").moving_mean.numpy().copy()
    networks[0](image, training=True)
    assert not np.array_equal(encoder_part.get_layer("norm_2").moving_mean, before)


@pytest.mark.parametrize("training", [False, True])
def test_folding_works_in_mixed_precision(training, small_encoder):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        folded, plain = folded_and_plain()
    finally:
        keras.config.set_dtype_policy("float32")
    for network in (folded, plain):
        set_encoder_trainable(network.get_layer("encoder"), False, "frozen")
    image = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3))
    ours, theirs = (
        np.asarray(network(image, training=training), np.float32) for network in (folded, plain)
    )
    assert np.allclose(ours, theirs, rtol=0, atol=0.1 * np.abs(theirs).max())


def test_a_convolution_with_two_readers_an_activation_or_a_bias_is_not_folded():
    image = keras.Input((8, 8, 3))
    read_twice = Conv2D(4, 3, use_bias=False)(image)
    active = Conv2D(4, 3, use_bias=False, activation="relu")(image)
    biased = Conv2D(4, 3)(image)
    plain = Conv2D(4, 3, use_bias=False)(image)
    norms = [BatchNormalization() for _ in range(4)]
    outputs = [norm(x) for norm, x in zip(norms, (read_twice, active, biased, plain), strict=True)]
    fold_batch_norms(keras.Model(image, [*outputs, read_twice]))
    assert [norm.is_folded for norm in norms] == [False, False, False, True]


def test_the_weights_file_has_the_layout_of_keras_layers(tmp_path, monkeypatch):
    def contents(network, name):
        found = {}
        network.save_weights(tmp_path / name)
        with h5py.File(tmp_path / name) as file:
            file.visititems(lambda path, item: found.update({path: getattr(item, "shape", None)}))
        return found

    ours = contents(build_unet(TINY), "ours.weights.h5")
    monkeypatch.setattr(
        encoder,
        "clone_with_foldable_layers",
        lambda network, inputs: keras.models.clone_model(network, inputs),
    )
    for name in ("Conv2D", "SeparableConv2D", "BatchNormalization"):
        monkeypatch.setattr(unet, name, getattr(keras.layers, name))
    assert contents(build_unet(TINY), "theirs.weights.h5") == ours
