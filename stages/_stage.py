"""What all stages share: this checkout's package, checked parameters, and one sentence instead of a traceback.

The folder src beside this one comes first on the path: `dvc exp run --temp` and the queue run a copy of the project,
and an installed package would be the main workspace's.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from petseg.errors import PetsegError, explain
from petseg.files import alone
from petseg.params import Params as Params  # for the stages
from petseg.params import load_params
from petseg.startup import import_tensorflow


def run_stage(stage: Callable[[Params], None], writes: Callable[[], bool] = lambda: True) -> None:
    """Call a stage with the parameters, once they are known to be right; TensorFlow is imported only after that.

    While it runs no other stage may write here: not even one that goes on after somebody has killed its DVC. One that
    `writes` nothing may run beside it.
    """
    try:
        params = load_params()
        with (
            nullcontext()
            if not writes()
            else alone(Path(".backup/workspace.lock"), "runs a stage of this project in this folder")
        ):
            import_tensorflow()
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
