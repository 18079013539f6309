"""The law by which the loss scale changes."""

import tensorflow as tf

from petseg.training.loss_scale import LossScale

TRUE, FALSE = tf.constant(True), tf.constant(False)


def test_an_overflow_halves_the_scale_down_to_one():
    scale = LossScale()
    scales = []
    for _ in range(17):
        scales.append(float(scale.value))
        scale.update(FALSE)
    assert scales == [2.0**exponent for exponent in range(15, -1, -1)] + [1.0]
    assert scale.num_skipped == 17


def test_two_thousand_steps_without_overflow_double_the_scale():
    scale = LossScale()
    states = []
    for is_finite in (TRUE, TRUE, TRUE, FALSE):
        scale.update(is_finite)
        states.append([float(value) for value in scale.values()])
        if len(states) == 1:
            scale.set_values([2.0**15, 1998, 7])
    # The scale, the steps since it changed, and the steps skipped.
    assert states == [[2.0**15, 1, 0], [2.0**15, 1999, 7], [2.0**16, 0, 7], [2.0**15, 0, 8]]


def test_values_are_restored():
    first, second = LossScale(), LossScale()
    first.update(FALSE)
    first.update(TRUE)
    second.set_values(first.values())
    assert second.values() == first.values() == [2.0**14, 1, 1]
    assert str(second) == "16384"
