"""Import TensorFlow with Keras's backend set and without the usual log messages."""

import os

from petseg.core.process import suppress_stderr


def import_tensorflow() -> None:
    """Import TensorFlow as Keras's backend, whatever the user's keras.json says."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with suppress_stderr():
        import tensorflow  # noqa: F401  (later imports find it loaded)
