"""One training step."""

import keras
import numpy as np
import tensorflow as tf

from petseg.datasets.synthetic.draw import draw_pet
from petseg.metrics import mean_iou
from petseg.model.unet import Architecture, build_unet
from petseg.training.optimizers import AdamW, ParamGroup, build_groups
from petseg.training.steps import make_train_step
from support.training import change_params, one_cpu


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


def test_infinite_gradients_make_the_loss_nan(tiny_params):
    def steep(x):
        """Return 0 at 0, where the slope is infinite."""
        return keras.ops.sqrt(keras.ops.abs(x))

    network = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Conv2D(3, 1), keras.layers.Lambda(steep)]
    )
    variables = network.trainable_variables
    group = ParamGroup(AdamW(variables, lambda step: tf.constant(0.1), 0.0), variables)
    step = make_train_step(
        one_cpu(),
        network,
        [group],
        batch_size=1,
        loss_params=tiny_params.train.loss,
        clip_norm=1.0,
    )
    image, mask = tf.zeros((1, 4, 4, 3)), tf.zeros((1, 4, 4), tf.uint8)
    assert np.isfinite(network(image)).all()
    loss, _ = step(image, mask)
    assert np.isnan(loss)
