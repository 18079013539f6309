"""`petseg ...`: for people with a trained model and photos of their own.

TensorFlow is imported only by what needs it, and only once the arguments are known to make sense.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from petseg.core.errors import PetsegError, explain
from petseg.core.tf_import import import_tensorflow
from petseg.photos.find_files import find_photos

_FOLDER = click.Path(path_type=Path)  # whether it is there is told in our own sentences
_MODEL = click.option(
    "--model", default="models/unet", show_default=True, metavar="DIR|FILE", type=_FOLDER,
    help="A model's folder, or an exported file (.tflite, .onnx).",
)  # fmt: skip
_FLIP = click.option(
    "--flip-tta",
    is_flag=True,
    help="Average with the mirror image: a little better, twice as slow.",
)
_SCALES = click.option(
    "--scale", "scales", multiple=True, default=(1.0,), show_default=True, metavar="NUMBER",
    type=click.FloatRange(0.25, 4),
    help="Predict at so many times the model's size; several are averaged: --scale 1 --scale 1.25.",
)  # fmt: skip
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON, for a program to read.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="petseg")
def main() -> None:
    """Find the pet in a photo, pixel by pixel, with a model that `dvc repro` or `make pets` has trained.

    \b
    Completion of commands and options, for this shell:
      eval "$(_PETSEG_COMPLETE=bash_source petseg)"    (or zsh_source, fish_source)
    """


@main.command()
@click.argument(
    "photos", nargs=-1, required=True, type=click.Path(), metavar="PHOTO|FOLDER|PATTERN..."
)
@click.option("--out", required=True, metavar="DIR", type=_FOLDER, help="Where the results go.")
@_MODEL
@click.option(
    "--batch-size",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Photos at a time.",
)
@_FLIP
@_SCALES
@_JSON
def predict(
    photos: tuple[str, ...], out: Path, model: Path, batch_size: int, flip_tta: bool, scales: tuple[float, ...],
    as_json: bool,
) -> None:  # fmt: skip
    """Write the mask, an overlay and a cut-out of each photo, at its own size, and a table of them all.

    \b
      petseg predict cat.jpg --out results
      petseg predict photos/ more/*.png --out results --model models/unet
      petseg predict photos/ --out results --model models/exported/unet_int8.tflite    (starts in a second)
    \b
    results/cat_mask.png     class numbers as pixels, the classes' colors as palette
    results/cat_overlay.jpg  the colors laid on the photo
    results/cat_cutout.png   the photo without its background
    results/predictions.csv  size, seconds and each class's share of every photo

    A photo that can't be read is named and left out, and the exit code is 1.
    """
    with _in_sentences("petseg predict"):
        found = find_photos(photos, out)
        from petseg.photos.predict_files import TABLE, predict_photos
        from petseg.photos.predictor import load

        predictor = load(model, flip_tta, scales)
        done = predict_photos(predictor, found, out, batch_size)
    if as_json:
        click.echo(
            json.dumps(
                {"predicted": [asdict(row) for row in done.rows], "left_out": done.mistakes},
                indent=2,
            )
        )
    else:
        click.echo(f"{len(done.rows)} of {len(found)} photos predicted: {out / TABLE}")
    for mistake in done.mistakes:
        click.echo(mistake, err=True)
    sys.exit(1 if done.mistakes else 0)


@main.command()
@click.argument("first", metavar="MODEL", type=_FOLDER)
@click.argument("second", metavar="MODEL", type=_FOLDER)
@click.option(
    "--records",
    default="data/tfrecords",
    show_default=True,
    metavar="DIR",
    type=_FOLDER,
    help="Shards.",
)
@click.option(
    "--split", default="val", show_default=True, type=click.Choice(["train", "val", "test"])
)
@click.option(
    "--out",
    default="comparison",
    show_default=True,
    metavar="DIR",
    type=_FOLDER,
    help="Where the results go.",
)
@click.option(
    "--pictures", default=12, show_default=True, type=click.IntRange(1, 100), help="On the sheet."
)
@click.option(
    "--batch-size",
    default=32,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="Pictures at a time.",
)
@_FLIP
@_SCALES
@_JSON
def compare(
    first: Path, second: Path, records: Path, split: str, out: Path, pictures: int, batch_size: int, flip_tta: bool,
    scales: tuple[float, ...], as_json: bool,
) -> None:  # fmt: skip
    """Two models on the same pictures: their metrics, and how far the second lies above the first.

    \b
      dvc get . models/unet --rev HEAD --out before    (or the name of an experiment)
      petseg compare before models/unet

    The difference comes with the bounds within which 95 % of the differences lie if the pictures are drawn anew: if
    they hold 0 between them, it may be chance. comparison/metrics.csv has every metric, comparison/pictures.png the
    pictures on which the models differ most. Both models must be of the shards' classes and image size.
    """
    with _in_sentences("petseg compare"):
        import_tensorflow()
        from petseg.config.params import TtaParams
        from petseg.config.validation import validate
        from petseg.photos.compare import compare_models, write_comparison

        tta = validate(TtaParams, {"flip": flip_tta, "scales": scales}, "petseg compare")
        comparison = compare_models(first, second, records, split, batch_size, tta, pictures)
        write_comparison(comparison, out)
    if as_json:
        click.echo(comparison.table.to_json(orient="records", indent=2))
    else:
        click.echo(
            comparison.table.to_string(index=False, na_rep="-", float_format="{:.4f}".format)
        )
        click.echo(
            f"On {comparison.pictures} pictures of the split {split}. Side by side: {out / 'pictures.png'}"
        )


@main.command()
@click.option(
    "--set-param", "-S", "settings", multiple=True, required=True, metavar="KEY=VALUE,VALUE,...",
    help="Values to try of one parameter; with several, every combination. As for dvc exp run.",
)  # fmt: skip
@click.option(
    "--jobs",
    "-j",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="Experiments at a time.",
)
@click.option(
    "--metric",
    default="val.mean_iou",
    show_default=True,
    help="What the table is sorted by, the best first.",
)
@click.option(
    "--out",
    default="sweep",
    show_default=True,
    metavar="DIR",
    type=_FOLDER,
    help="Where the results go.",
)
def sweep(settings: tuple[str, ...], jobs: int, metric: str, out: Path) -> None:
    """Run experiments with every combination of some parameters' values, and tell which is best.

    \b
      petseg sweep -S train.learning_rate=1e-3,3e-4 -S model.alpha=0.35,0.5 --jobs 2
      dvc exp apply NAME    (takes one over into the workspace)

    Each runs to the stage evaluate, through DVC's queue, so that `dvc exp show` and `dvc queue status` know it. The
    same command again runs only what is missing: after Ctrl-C, a failure or a power cut a training goes on from its
    checkpoint. Where there are several GPUs each worker gets its own; on one they share its memory.

    \b
    sweep/experiments.csv           the table
    sweep/parallel_coordinates.png  a line per experiment through its values
    """
    with _in_sentences("petseg sweep"):
        from petseg.sweeps.sweep import CHART, run_sweep

        try:
            table = run_sweep(settings, jobs, metric, out)
        except KeyboardInterrupt:
            sys.exit(
                "\nStopped waiting. dvc queue status shows what goes on in the background, dvc queue stop --kill ends "
                "it; the same command takes it up again."
            )
    click.echo(table.to_string(index=False, na_rep="-"))
    missing = table[table["state"] != "success"]
    for name, state in zip(missing["experiment"], missing["state"], strict=True):
        click.echo(
            f"{name}: {state}. dvc queue logs {name} tells why; the same command tries it again.",
            err=True,
        )
    if len(missing) < len(table):
        click.echo(f"As a chart: {out / CHART}")
    sys.exit(1 if len(missing) else 0)


@main.command()
@_MODEL
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets others on your network in."
)
@click.option("--port", default=7860, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--max-upload",
    default=50,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="MB a photo may have.",
)
@click.option(
    "--open/--no-open", "in_browser", default=False, help="Open the page in your browser."
)
@_FLIP
@_SCALES
def demo(
    model: Path,
    host: str,
    port: int,
    max_upload: int,
    in_browser: bool,
    flip_tta: bool,
    scales: tuple[float, ...],
) -> None:
    """Serve a page on this machine: drop a photo, slide between it and its mask, download the results.

    \b
      petseg demo --open
      petseg demo --model models/exported/unet.onnx --port 8000
    """
    with _in_sentences("petseg demo"):
        from petseg.photos.demo import import_gradio, serve
        from petseg.photos.predictor import load

        import_gradio()  # before a model is loaded for nothing
        serve(load(model, flip_tta, scales), host, port, max_upload, in_browser)


@main.command()
@_MODEL
@_JSON
def show(model: Path, as_json: bool) -> None:
    """Tell what a model is: classes, input, network, what it was trained on, how good it was then, checksums.

    \b
      petseg show
      petseg show --model elsewhere/unet --json
      petseg show --model models/exported/unet.onnx
    """
    with _in_sentences("petseg show"):
        from petseg.photos.model_info import facts_of

        facts = facts_of(model)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    for subject, values in facts.items():
        if values:
            click.echo(f"{subject}:")
        for name, value in values.items():
            click.echo(
                f"  {name:18} {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}"
            )


@contextmanager
def _in_sentences(command: str) -> Iterator[None]:
    """A mistake of the user's, or what the machine can do to any command, ends in a sentence and exit code 1."""
    try:
        yield
    except PetsegError as error:
        sentence = str(error)
    except Exception as error:
        explained = explain(error, again=command, less_memory="lower --batch-size")
        if explained is None:
            raise
        sentence = explained
    else:
        return
    click.echo(sentence, err=True)
    sys.exit(1)
