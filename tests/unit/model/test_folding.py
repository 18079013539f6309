"""Convolutions that do the work of the batch norms behind them."""

import dataclasses

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
KINDS = {
    "separable": {},
    "full": {"decoder": "full"},
    "transposed": {"decoder": "transposed"},
    "more": {
        "context": "aspp",
        "attention": True,
        "output_stride": 16,
        "decoder_filters": (8, 8, 8, 8),
    },
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
        elif hasattr(layer, "following_bn"):
            layer.following_bn = None
    return folded, plain


def passes_over_pictures(network, training):
    """How many products there are of the size of features, forward: a batch norm that isn't folded is one."""

    @tf.function
    def forward(image):
        return network(image, training=training)

    graph = forward.get_concrete_function(tf.zeros((1, 32, 32, 3))).graph
    made = [
        (operation.type, operation.outputs[0].shape)
        for operation in graph.get_operations()
        if operation.outputs
    ]
    return sum(
        kind == "Mul" and shape.rank == 4 and shape[0] == 1 and shape[1] > 1 for kind, shape in made
    )


@pytest.mark.parametrize("kind", KINDS)
def test_folded_batch_norms_compute_what_they_did(kind):
    folded, plain = with_made_up_batch_norms(dataclasses.replace(TINY, **KINDS[kind]))
    left = [x for x in all_layers(folded) if isinstance(x, BatchNormalization) and not x.is_folded]
    assert len(left) == (5 if kind == "transposed" else 0)  # behind the transposed convolutions
    image = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 3))
    logits = plain(image, training=False)
    assert np.ptp(logits) > 0.01
    assert np.allclose(
        folded(image, training=False), logits, rtol=0, atol=1e-5 * np.abs(logits).max()
    )


def test_prediction_passes_over_no_picture_for_a_batch_norm():
    folded, plain = with_made_up_batch_norms(TINY)
    assert passes_over_pictures(folded, training=False) == 1  # the image is scaled
    assert passes_over_pictures(plain, training=False) > 50


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
    assert passes_over_pictures(networks[0], training=True) == 1
    assert passes_over_pictures(networks[1], training=True) > 40
    encoder_part = networks[0].get_layer("encoder")
    for trainable in (False, True):  # thawed together with its batch norms
        set_encoder_trainable(encoder_part, trainable, True)
    before = encoder_part.get_layer("bn_Conv1").moving_mean.numpy().copy()
    networks[0](image, training=True)
    assert not np.array_equal(encoder_part.get_layer("bn_Conv1").moving_mean, before)


@pytest.mark.parametrize("training", [False, True])
def test_a_network_of_mixed_precision_folds_too(training):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        folded, plain = with_made_up_batch_norms(TINY)
    finally:
        keras.config.set_dtype_policy("float32")
    for network in (folded, plain):
        set_encoder_trainable(network.get_layer("encoder"), False, False)
    image = np.random.default_rng(1).uniform(0, 255, (2, 32, 32, 3))
    ours, theirs = (
        np.asarray(network(image, training=training), np.float32) for network in (folded, plain)
    )
    assert np.allclose(ours, theirs, rtol=0, atol=0.1 * np.abs(theirs).max())


def test_what_others_read_too_and_what_has_an_activation_is_left_alone():
    image = keras.Input((8, 8, 3))
    read_twice = Conv2D(4, 3, use_bias=False)(image)
    active = Conv2D(4, 3, use_bias=False, activation="relu")(image)
    biased = Conv2D(4, 3)(image)
    alone = Conv2D(4, 3, use_bias=False)(image)
    norms = [BatchNormalization() for _ in range(4)]
    outputs = [norm(x) for norm, x in zip(norms, (read_twice, active, biased, alone), strict=True)]
    fold_batch_norms(keras.Model(image, [*outputs, read_twice]))
    assert [norm.is_folded for norm in norms] == [False, False, False, True]


def test_the_weights_file_is_that_of_keras_s_own_layers(tmp_path, monkeypatch):
    def contents(network, name):
        found = {}
        network.save_weights(tmp_path / name)
        with h5py.File(tmp_path / name) as file:
            file.visititems(lambda path, item: found.update({path: getattr(item, "shape", None)}))
        return found

    ours = contents(build_unet(TINY), "ours.weights.h5")
    monkeypatch.setattr(
        encoder,
        "with_our_layers",
        lambda network, inputs: keras.models.clone_model(network, inputs),
    )
    for name in ("Conv2D", "SeparableConv2D", "BatchNormalization"):
        monkeypatch.setattr(unet, name, getattr(keras.layers, name))
    assert contents(build_unet(TINY), "theirs.weights.h5") == ours
