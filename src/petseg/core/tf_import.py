"""Import TensorFlow with Keras's backend set, for a shared GPU, and without the usual messages."""

import os

from petseg.core.process import suppress_stderr


def import_tensorflow() -> None:
    """Import TensorFlow as Keras's backend, whatever the user's keras.json says.

    On a GPU, TensorFlow by default takes all memory at once and rounds the factors of float32
    products to TF32, where the GPU can. Here it takes memory as needed, so that several processes
    share a GPU, and float32 means float32 unless training chooses otherwise (train.precision).
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # A variable reaches child processes too, and TensorFlow reads it only when it starts the GPU.
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    with suppress_stderr():
        import tensorflow as tf  # later imports find it loaded
    tf.config.experimental.enable_tensor_float_32_execution(False)
