"""Make a pretrained model of a trained one: `python -m petseg.publishing.pack --help`."""

import hashlib
import io
import sys
from pathlib import Path

import click
import numpy as np

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.hashing import sha256_of
from petseg.core.sealed_json import sealed_json
from petseg.exporting.exported import EXPORTED_FILE, read_exported
from petseg.exporting.tflite_compat import biases_by_kernel
from petseg.model.folding import batch_norm_of
from petseg.model.saved import MODEL_FILE, load_model
from petseg.model.unet import convolutions
from petseg.pretrained.weights import (
    BATCH_NORMS_FILE,
    FORMAT,
    INT8_FILE,
    WEIGHTS_JSON,
    Array,
    Constants,
    fold,
)

_MAX_ROUNDING = 0.05  # mean error of int8 weights, relative to their mean


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("exported", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
def pack(model: Path, exported: Path, out: Path) -> None:
    """Write what a pretrained model consists of, except its card, into the folder OUT.

    MODEL is a trained model and EXPORTED what dvc repro export made of it with export.formats:
    [litert_int8]. Raises PetsegError if either is missing or damaged, or if they don't match.
    """
    saved = load_model(model)
    int8 = read_exported(exported / INT8_FILE)
    if int8.model_sha256 != sha256_of(model / MODEL_FILE):
        raise PetsegError(f"{INT8_FILE} was not made of this model; run dvc repro export.")
    contents = {EXPORTED_FILE: (exported / EXPORTED_FILE).read_bytes(), INT8_FILE: int8.content}
    constants, biases = Constants(int8.content), biases_by_kernel(int8.content)
    batch_norms: dict[str, Array] = {}
    tensors: dict[str, list[int]] = {}
    for conv in convolutions(saved.network):
        kernels = [_find(constants, kernel.transpose(3, 0, 1, 2)) for kernel in fold(conv).kernels]
        tensors[conv.name] = [*kernels, biases[kernels[-1]]]
        norm = batch_norm_of(conv)
        if norm is not None:
            stored = (norm.gamma, norm.moving_mean, norm.moving_variance)
            batch_norms[norm.name] = np.stack([np.asarray(weight) for weight in stored])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **batch_norms)
    contents[BATCH_NORMS_FILE] = buffer.getvalue()
    architecture = saved.architecture.as_dict()
    del architecture["classes"]
    document = {
        "format": FORMAT,
        "architecture": architecture,
        "classes": list(saved.class_names),
        "files": {
            name: hashlib.sha256(contents[name]).hexdigest()
            for name in (INT8_FILE, BATCH_NORMS_FILE)
        },
        "tensors": tensors,
    }
    contents[WEIGHTS_JSON] = sealed_json(document).encode()
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        atomic_write(out / name, content)


def _find(constants: Constants, values: Array) -> int:
    """Return the index of the constant that a kernel was rounded to."""
    errors = {
        index: float(np.abs(constants.read(index) - values).mean())
        for index in constants.with_shape(values.shape)
    }
    index = min(errors, key=lambda index: errors[index], default=None)
    if index is None or errors[index] > _MAX_ROUNDING * np.abs(values).mean():
        raise PetsegError(f"{INT8_FILE} has no weights of shape {values.shape} like the model's.")
    return index


if __name__ == "__main__":
    try:
        pack()
    except PetsegError as error:
        sys.exit(str(error))
