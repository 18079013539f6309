"""The network: its parts, its variants, and MobileNetV2 once as the golden case."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from petseg.model.encoder import build_encoder, set_encoder_trainable
from petseg.model.unet import Architecture, build_unet, conv_norm_relu, decoder_block

SMALL = Architecture("mobilenet_v2", 0.35, (64, 48, 32, 24, 16), 3)
LARGE = Architecture("mobilenet_v2", 1.0, (256, 192, 128, 64, 32), 3)
TINY = Architecture("mobilenet_v2", 0.35, (8, 8, 8, 8, 8), 4)


def images(size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, *size, 3)).astype(np.float32)


def test_mobilenet_v2_has_the_published_number_of_parameters():
    assert build_unet(LARGE).count_params() == 3_097_363


def test_mobilenet_v2_gives_logits_at_the_image_size():
    network = build_unet(SMALL)
    assert network.count_params() == 539_235
    for size in ((64, 64), (96, 160)):
        logits = network(images(size), training=False)
        assert logits.shape == (2, *size, 3)
        assert logits.dtype == "float32"


VARIANTS = {
    "no block at full size": {"decoder_filters": (8, 8, 8, 8)},
    "output stride 16": {"output_stride": 16, "decoder_filters": (8, 8, 8, 8)},
    "output stride 16, no block at full size": {"output_stride": 16, "decoder_filters": (8, 8)},
    "input upsampling": {"decoder_filters": (8, 8, 8, 8), "input_upsampling": 2},
    "all together": {"decoder_filters": (8, 8), "input_upsampling": 2, "output_stride": 16},
    "three blocks": {"decoder_filters": (8, 8, 8)},
}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_trains_at_the_image_size(changes, small_encoder):
    network = build_unet(dataclasses.replace(TINY, **changes))
    assert network(images((64, 96)), training=True).shape == (2, 64, 96, 4)


def test_the_encoder_returns_features_at_five_strides():
    features = build_encoder("mobilenet_v2", 0.35)(images((64, 96)))
    assert [tuple(f.shape[1:3]) for f in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_the_network_scales_images_as_its_weights_expect(small_encoder):
    scaled = build_unet(TINY).get_layer("scale")(np.array([[[[0.0, 127.5, 255.0]]]], np.float32))
    assert np.allclose(scaled, [[[[-1, 0, 1]]]])


@pytest.mark.parametrize("batch_norm", ["frozen", "affine", "trained"])
def test_only_trained_batch_norms_change_their_statistics_in_training(batch_norm, small_encoder):
    network = build_unet(TINY)
    encoder = network.get_layer("encoder")
    set_encoder_trainable(encoder, False, batch_norm)
    assert not encoder.trainable_variables
    set_encoder_trainable(encoder, True, batch_norm)
    assert any("gamma" in w.path for w in encoder.trainable_variables) == (batch_norm != "frozen")
    assert any("kernel" in w.path for w in encoder.trainable_variables)
    statistics = [w for w in encoder.weights if "moving" in w.path]
    before = [w.numpy() for w in statistics]
    network(images((32, 32)), training=True)
    changed = [not np.array_equal(a, b.numpy()) for a, b in zip(before, statistics, strict=True)]
    assert set(changed) == {batch_norm == "trained"}


def test_input_upsampling_doubles_the_image_for_the_encoder_only(small_encoder):
    network = build_unet(
        dataclasses.replace(TINY, decoder_filters=(8, 8, 8, 8), input_upsampling=2)
    )
    assert network.get_layer("upsample_image")(np.zeros((1, 32, 64, 3))).shape == (1, 64, 128, 3)
    assert network.get_layer("decoder_2_relu1").output.shape[-1] == 8
    assert network(images((32, 64))).shape == (2, 32, 64, 4)
    names = [layer.name for layer in network.layers]
    assert "upsample_logits" not in names  # the last block already has the size of the mask


def test_scaling_logits_and_upsampling_are_float32_under_every_dtype_policy(small_encoder):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build_unet(dataclasses.replace(TINY, decoder_filters=(8, 8, 8)))
    finally:
        keras.config.set_dtype_policy("float32")
    dtypes = {layer.name: layer.compute_dtype for layer in network.layers}
    float32 = {name for name, dtype in dtypes.items() if dtype == "float32"}
    assert float32 - {"image"} == {
        *("scale", "head", "upsample_logits"),
        *(f"decoder_{stride}_up" for stride in (16, 8, 4)),
    }


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_decoder_block_is_trained_under_xla_in_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    try:
        x, skip = keras.Input((4, 4, 2)), keras.Input((8, 8, 2))
        block = keras.Model(
            [x, skip], decoder_block(conv_norm_relu(x, 2, 1, "projection"), skip, 2, 1, "block")
        )
    finally:
        keras.config.set_dtype_policy("float32")

    @tf.function(jit_compile=True)
    def gradients(x, skip):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(block([x, skip], training=True) ** 2)
        return tape.gradient(loss, block.trainable_variables)

    assert all(
        np.isfinite(g).all() for g in gradients(tf.ones((1, 4, 4, 2)), tf.ones((1, 8, 8, 2)))
    )
