"""What all stages share: this checkout's package, checked parameters, paths, and one-line errors.

The folder `src` next to this folder comes first on the import path: `dvc exp run --temp` and the
queue run a copy of the project, and an installed package would be the main workspace's.
"""

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from petseg.config.params import Params as Params  # for the stages
from petseg.config.params import load_params
from petseg.config.paths import PipelinePaths as PipelinePaths
from petseg.core.errors import PetsegError, explain, translate
from petseg.core.locks import exclusive_lock
from petseg.core.tf_import import import_tensorflow

_LOCK_FILE = Path(".cache/workspace.lock")


def run_stage(
    stage: Callable[[Params, PipelinePaths], None], is_writer: Callable[[], bool] = lambda: True
) -> None:
    """Run a stage. TensorFlow is imported only once the parameters have been checked.

    A lock keeps any other stage from writing to this folder, even one whose DVC has been killed.
    A process that writes nothing doesn't take the lock.
    """
    try:
        with translate(explain):
            params = load_params()
            lock = exclusive_lock(_LOCK_FILE, "running a stage in this folder")
            with lock if is_writer() else nullcontext():
                import_tensorflow()
                stage(params, PipelinePaths())
    except PetsegError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. Run dvc repro to resume.")
