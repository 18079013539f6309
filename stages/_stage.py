"""What all stages share: this checkout's package, checked parameters, and one sentence instead of a traceback.

The folder src beside this one comes first on the path: `dvc exp run --temp` and the queue run a copy of the project,
and an installed package would be the main workspace's.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever the user's keras.json says
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from petseg.errors import PetsegError, explain
from petseg.files import alone
from petseg.params import Params as Params  # for the stages
from petseg.params import load_params


def run_stage(stage: Callable[[Params], None]) -> None:
    """Call a stage with the parameters, once they are known to be right; TensorFlow is imported only after that.

    While it runs no other stage may write here: not even one that goes on after somebody has killed its DVC.
    """
    try:
        params = load_params()
        with alone(Path(".backup/workspace.lock"), "runs a stage of this project in this folder"):
            with _without_greetings():
                import tensorflow as tf  # noqa: F401  (the stage's own imports find it loaded)
            stage(params)
    except PetsegError as error:
        sys.exit(str(error))
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        sys.exit(sentence)
    except KeyboardInterrupt:
        sys.exit("\nStopped. dvc repro goes on from here.")


@contextmanager
def _without_greetings() -> Iterator[None]:
    """TensorFlow's libraries greet on stderr while they load, whatever the log level; their exceptions still come."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
