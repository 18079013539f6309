"""The state in which TensorFlow is imported."""

import os

import pytest
import tensorflow as tf

from petseg.core.tf_import import import_tensorflow


@pytest.mark.parametrize("chosen", [None, "false"])
def test_gpu_memory_grows_unless_the_user_forbids_it(monkeypatch, chosen):
    monkeypatch.delenv("TF_FORCE_GPU_ALLOW_GROWTH", raising=False)
    if chosen:
        monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", chosen)
    import_tensorflow()
    assert os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] == (chosen or "true")


def test_float32_is_not_rounded_to_tf32():
    tf.config.experimental.enable_tensor_float_32_execution(True)
    import_tensorflow()
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
