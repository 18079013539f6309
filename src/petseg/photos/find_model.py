"""Find the model to predict with: a path, the name of a pretrained model, or the default."""

import os
import sys
from pathlib import Path

from petseg.config.paths import PipelinePaths
from petseg.config.types import PRETRAINED
from petseg.core.errors import PetsegError
from petseg.exporting.exported import EXPORTED_FILE
from petseg.pretrained import pretrained_folder

DEFAULT_MODEL = f"{PipelinePaths.model}, or {PRETRAINED[0]} if there is none"


def find_model(model: str | Path | None, default: Path = PipelinePaths.model) -> Path:
    """Return the file or folder of a model.

    A str may also be a name in PRETRAINED. None means `default` or, if there is none, the
    pretrained model, which a line on stderr says. Raises PetsegError if a name may also mean a
    folder.
    """
    if model is None and os.path.lexists(default):
        return default
    if model is None:
        name = PRETRAINED[0]
        print(f"There is no {default}; using petseg's own model, {name}.", file=sys.stderr)
        return pretrained_folder(name)
    if model not in PRETRAINED:
        return Path(model)
    if any(Path(model, file).is_file() for file in ("model.json", EXPORTED_FILE)):
        raise PetsegError(
            f"{model} is petseg's own model, but there is a model in the folder {model}, too; use "
            f"./{model} for that one, or rename it."
        )
    return pretrained_folder(str(model))
