"""How every command begins that needs TensorFlow: Keras's backend chosen, greetings kept quiet."""

import os
import sys


def import_tensorflow() -> None:
    """Import TensorFlow as Keras's backend, whatever the user's keras.json says.

    Its libraries greet on stderr while they load, whatever the log level; exceptions still come.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        import tensorflow  # noqa: F401  (whoever imports it next finds it loaded)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
