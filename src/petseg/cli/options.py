"""Options that several commands have, and their errors."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from petseg.core.errors import PetsegError, explain, translate
from petseg.photos.find_model import DEFAULT_MODEL

PATH = click.Path(path_type=Path)  # click doesn't check it exists: our error messages say more

model_option = click.option(
    "--model",
    type=click.Path(),  # not a Path, which would make ./pets the name pets
    show_default=DEFAULT_MODEL,
    metavar="DIR|FILE|pets",
    help="A model directory, an exported file (.tflite, .onnx) or a folder of them, or the model "
    "that comes with petseg: pets.",
)
tta_flip_option = click.option(
    "--tta-flip",
    is_flag=True,
    help="Also predict the mirror image and average both: slightly better, takes twice as long.",
)
tta_scale_option = click.option(
    "--tta-scale",
    "tta_scales",
    type=click.FloatRange(0.25, 4),
    multiple=True,
    default=(1.0,),
    show_default=True,
    metavar="NUMBER",
    help="Predict at this multiple of the model's input size. Repeat to average several: "
    "--tta-scale 1 --tta-scale 1.25. Keras models only: exported files and pets have a fixed size.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
out_option = partial(
    click.option, "--out", type=PATH, show_default=True, metavar="DIR", help="Output folder."
)
batch_size_option = partial(
    click.option, "--batch-size", type=click.IntRange(1, 1024), show_default=True
)


@contextmanager
def report_errors(command: str, memory_hint: str = "close other programs") -> Iterator[None]:
    """Print a user error or a machine failure as one message, and exit with 1."""
    explain_error = partial(explain, command=command, memory_hint=memory_hint)
    try:
        with translate(explain_error):
            yield
    except PetsegError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
