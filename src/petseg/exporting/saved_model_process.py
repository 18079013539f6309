"""Run a SavedModel as a server would: in a process with TensorFlow, without Keras and petseg."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from petseg.core.errors import PetsegError
from petseg.image_encoding import encode_image
from petseg.prediction.backend import PredictFn

_PROGRAM = """
import pickle, sys
sys.modules["keras"] = sys.modules["petseg"] = None  # importing them fails
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
model = tf.saved_model.load(sys.argv[1])
while True:
    try:
        files = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    outputs = model.signatures["serving_default"](image_bytes=tf.constant(files))
    pickle.dump(outputs["probabilities"].numpy(), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


@contextmanager
def saved_model_predict_fn(folder: Path) -> Iterator[PredictFn]:
    """Yield a `PredictFn` that sends images as PNG files to the signature serving_default.

    It runs on one thread of the CPU. Raises PetsegError if the folder can't be loaded or run.
    """
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"},
        ) as process,
    ):

        def predict(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                pickle.dump(
                    [encode_image(Image.fromarray(image)) for image in images], process.stdin
                )
                process.stdin.flush()
                return np.asarray(pickle.load(process.stdout))
            except (EOFError, OSError, pickle.UnpicklingError) as error:  # it ended, or was killed
                process.wait()
                stderr.seek(0)
                lines = stderr.read().decode(errors="replace").strip().splitlines() or ["killed"]
                raise PetsegError(
                    f"{folder} can't be run ({lines[-1]}); run dvc repro export again, or remove "
                    "saved_model from export.formats."
                ) from error

        try:
            yield predict
        finally:
            process.terminate()
