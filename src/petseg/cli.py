"""The command `petseg`, for people with a trained model and their own photos.

Modules that import TensorFlow are imported inside the commands that need them, after the arguments
are checked.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from petseg.config.paths import PipelinePaths
from petseg.core.errors import PetsegError, explain, translate
from petseg.core.tf_import import import_tensorflow
from petseg.photos.find_files import RESULT_SUFFIXES, ResultKind, describe_unsupported, find_files

_PATH = click.Path(path_type=Path)  # click doesn't check it exists: our error messages say more

_model_option = click.option(
    "--model",
    type=_PATH,
    default=PipelinePaths.model,
    show_default=True,
    metavar="DIR|FILE",
    help="A model directory, an exported file (.tflite, .onnx) or a folder of them.",
)
_tta_flip_option = click.option(
    "--tta-flip",
    is_flag=True,
    help="Also predict the mirror image and average both: slightly better, takes twice as long.",
)
_tta_scale_option = click.option(
    "--tta-scale",
    "tta_scales",
    type=click.FloatRange(0.25, 4),
    multiple=True,
    default=(1.0,),
    show_default=True,
    metavar="NUMBER",
    help="Predict at this multiple of the model's input size. Repeat to average several: "
    "--tta-scale 1 --tta-scale 1.25.",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_out_option = partial(
    click.option, "--out", type=_PATH, show_default=True, metavar="DIR", help="Output folder."
)
_batch_size_option = partial(
    click.option, "--batch-size", type=click.IntRange(1, 1024), show_default=True
)


def _split_kinds(
    context: click.Context, option: click.Parameter, text: str
) -> tuple[ResultKind, ...]:
    names = {name.strip() for name in text.split(",")}
    if not names <= set(RESULT_SUFFIXES):
        raise click.BadParameter(f"{text!r} must be some of {', '.join(RESULT_SUFFIXES)}.")
    return tuple(kind for kind in RESULT_SUFFIXES if kind in names)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="petseg")
def main() -> None:
    """Segment the pets in your photos with a model trained by `dvc repro` or `make pets`.

    \b
    To turn on tab completion in this shell:
      eval "$(_PETSEG_COMPLETE=bash_source petseg)"    (or zsh_source, fish_source)
    """


@main.command()
@click.argument(
    "photos", nargs=-1, required=True, type=click.Path(), metavar="PHOTO|FOLDER|PATTERN..."
)
@_out_option(required=True)
@_model_option
@_batch_size_option(default=16, help="Photos per batch.")
@click.option(
    "--write",
    "kinds",
    default=",".join(RESULT_SUFFIXES),
    show_default=True,
    callback=_split_kinds,
    metavar="KIND,...",
    help="Results to write. Masks alone are several times faster.",
)
@click.option(
    "--skip-existing",
    is_flag=True,
    help="Leave out photos that have results from this model and haven't changed since.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Also replace files that petseg didn't write and results of other photos.",
)
@_tta_flip_option
@_tta_scale_option
@_json_option
def predict(
    photos: tuple[str, ...],
    out: Path,
    model: Path,
    batch_size: int,
    kinds: tuple[ResultKind, ...],
    skip_existing: bool,
    overwrite: bool,
    tta_flip: bool,
    tta_scales: tuple[float, ...],
    as_json: bool,
) -> None:
    """Write a mask, an overlay and a cutout for each photo, at its own size, and a table.

    \b
      petseg predict cat.jpg --out results
      petseg predict photos/ more/*.png --out results --model models/unet
      petseg predict photos/ --out results --model models/exported/unet.onnx    (starts faster)
      petseg predict photos/ --out results --write mask
    \b
    results/cat_mask.png     class indices as pixel values, with the classes' colors as the palette
    results/cat_overlay.jpg  the photo with the classes' colors blended in
    results/cat_cutout.png   the photo with a transparent background
    results/predictions.csv  size, seconds and the share of each class, one row per photo

    Further runs add to the same folder. To go on after an interruption, run the same command with
    --skip-existing. Files that petseg didn't write, or that were edited since, are not overwritten.

    Photos that can't be read, or of a type that petseg doesn't read (.heic), are listed; the exit
    code is then 1.
    """
    with _report_errors("petseg predict"):
        found = find_files(photos)
        from petseg.photos.predict_files import predict_files
        from petseg.photos.predictor import load
        from petseg.photos.results_table import TABLE

        try:
            done = predict_files(
                load(model, tta_flip, tta_scales),
                found.photos,
                out,
                batch_size,
                kinds=kinds,
                overwrite=overwrite,
                skip_existing=skip_existing,
            )
        except KeyboardInterrupt:
            sys.exit("\nStopped. To go on, run the same command with --skip-existing.")
    if found.num_results:
        done.notes.append(f"Left out {found.num_results} results of petseg predict.")
    unsupported = describe_unsupported(found.unsupported)
    if as_json:
        printed = {
            "predicted": [asdict(row) for row in done.rows],
            "existing": done.existing,
            "skipped": done.skipped,
            "unsupported": list(map(str, found.unsupported)),
            "notes": done.notes,
        }
        click.echo(json.dumps(printed, indent=2))
    else:
        num_photos = len(found.photos) + len(found.unsupported)
        left_out = {
            "had results": len(done.existing),
            "can't be read": len(done.skipped),
            "of other types": len(found.unsupported),
        }
        reasons = ", ".join(f"{count} {what}" for what, count in left_out.items() if count)
        click.echo(
            f"Predicted {len(done.rows)} of {num_photos} photos"
            f"{f' ({reasons})' if reasons else ''}: {out / TABLE}"
        )
    for message in (*done.notes, *done.skipped, *unsupported):
        click.echo(message, err=True)
    sys.exit(1 if done.skipped or unsupported else 0)


@main.command()
@click.argument("baseline", type=_PATH)
@click.argument("candidate", type=_PATH)
@click.option(
    "--shards",
    type=_PATH,
    default=PipelinePaths.shards,
    show_default=True,
    metavar="DIR",
    help="Where the preprocess stage wrote the data set.",
)
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="val", show_default=True
)
@_out_option(default="comparison")
@click.option(
    "--num-images",
    type=click.IntRange(1, 100),
    default=12,
    show_default=True,
    help="Images to draw.",
)
@_batch_size_option(default=32, help="Images per batch.")
@_tta_flip_option
@_tta_scale_option
@_json_option
def compare(
    baseline: Path,
    candidate: Path,
    shards: Path,
    split: str,
    out: Path,
    num_images: int,
    batch_size: int,
    tta_flip: bool,
    tta_scales: tuple[float, ...],
    as_json: bool,
) -> None:
    """Compare the metrics of two models on the same images.

    \b
      dvc get . models/unet --rev HEAD --out before    (or the name of an experiment)
      petseg compare before models/unet

    Each difference (candidate minus baseline) has a 95 % bootstrap confidence interval over images.
    If the interval contains 0, the difference may be due to chance. comparison/metrics.csv lists
    every metric, and comparison/images.png shows the images on which the models differ most. Both
    models must have the same classes and image size as the shards.
    """
    with _report_errors("petseg compare"):
        import_tensorflow()
        from petseg.config.params import TtaParams
        from petseg.config.validation import validate
        from petseg.photos.compare import check_out, compare_models, write_comparison

        check_out(out)
        tta = validate(TtaParams, {"flip": tta_flip, "scales": tta_scales}, "petseg compare")
        comparison = compare_models(
            baseline,
            candidate,
            shards,
            split,
            batch_size=batch_size,
            tta=tta,
            num_images=num_images,
        )
        write_comparison(comparison, out)
    if as_json:
        click.echo(comparison.table.to_json(orient="records", indent=2))
        return
    click.echo(comparison.table.to_string(index=False, na_rep="-", float_format="{:.4f}".format))
    click.echo(
        f"Compared {comparison.num_images} images of the {split} split. See {out / 'images.png'}."
    )


@main.command()
@click.option(
    "--set-param",
    "-S",
    "settings",
    multiple=True,
    required=True,
    metavar="KEY=VALUE,VALUE,...",
    help="Values of one parameter, as for dvc exp run. Repeat it to combine several parameters.",
)
@click.option(
    "--jobs",
    "-j",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Experiments to run at a time.",
)
@click.option(
    "--metric",
    default="val.mean_iou",
    show_default=True,
    help="Sort the table by this metric, best first.",
)
@_out_option(default="sweep")
def sweep(settings: tuple[str, ...], jobs: int, metric: str, out: Path) -> None:
    """Run an experiment for every combination of parameter values, and rank them.

    \b
      petseg sweep -S train.learning_rate=1e-3,3e-4 -S model.alpha=0.35,0.5 --jobs 2
      dvc exp apply NAME    (to bring one experiment into the workspace)

    Experiments run up to the evaluate stage in DVC's queue, so `dvc exp show` and `dvc queue
    status` list them. After Ctrl+C, a failure or a power outage, run the same command again: it
    runs only what is missing, and training resumes from its checkpoint. Each worker gets its own
    share of the GPUs; workers share a GPU if there are too few.

    \b
    sweep/experiments.csv           the table
    sweep/parallel_coordinates.png  a chart with one line per experiment
    """
    with _report_errors("petseg sweep"):
        from petseg.sweeps.sweep import CHART, run_sweep

        try:
            table = run_sweep(settings, jobs, metric, out)
        except KeyboardInterrupt:
            sys.exit(
                "\nStopped waiting, but the experiments keep running in the background. Use dvc "
                "queue status to see them, dvc queue stop --kill to stop them, or the same command "
                "to wait again."
            )
    click.echo(table.to_string(index=False, na_rep="-"))
    unfinished = table[table["state"] != "success"]
    for name, state in zip(unfinished["experiment"], unfinished["state"], strict=True):
        click.echo(
            f"{name}: {state}. See dvc queue logs {name}; run the same command to try again.",
            err=True,
        )
    if len(unfinished) < len(table):
        click.echo(f"Chart: {out / CHART}")
    sys.exit(1 if len(unfinished) else 0)


@main.command()
@click.argument("folder", type=click.Path())
@click.option(
    "--set-param",
    "-S",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Try a parameter of dataset.folder, such as unlabeled=skip. Repeat it for several.",
)
@click.option("--write", is_flag=True, help="Put the proposed parameters into params.yaml.")
@_out_option(help="Folder for contact_sheet.png.")
@_json_option
def data(folder: str, settings: tuple[str, ...], write: bool, out: Path, as_json: bool) -> None:
    """Check a folder of images and masks, or other annotations, before training on it.

    \b
      petseg data photos/ --out check
      petseg data photos/ -S 'classes={background: 0, cat: 255}' --write

    Prints the annotation format, the splits, the sizes, the labels with their share of pixels, what
    is wrong or suspicious, and the section for params.yaml. docs/own-data.md lists the formats. If
    params.yaml has this folder, its settings apply.

    \b
    check/contact_sheet.png  up to 24 images with their masks laid over

    The exit code is 1 if the folder can't be trained on.
    """
    with _report_errors("petseg data"):
        from petseg.inspection.command import check_folder

        sys.exit(check_folder(folder, settings, write=write, out=out, as_json=as_json))


@main.command()
@click.option(
    "--folds",
    "num_folds",
    type=click.IntRange(0, 20),
    default=0,
    show_default=True,
    help="Train this many models (at least 2), each without the masks that it judges.",
)
@click.option(
    "--num-images",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="Masks to show on the page.",
)
@_out_option(default="reports")
def review(num_folds: int, num_images: int, out: Path) -> None:
    """Rank the training and validation masks by how wrong they look.

    \b
      petseg review              judged by models/unet: seconds to minutes
      petseg review --folds 4    judged out of fold: four trainings, which params.yaml sets

    A model that was trained on a mask may have learned its mistake, so --folds finds more. After an
    interruption, run the same command again: training resumes.

    \b
    reports/label_review.csv   all masks with score and finding, most suspicious first
    reports/label_review.html  the first ones with their images; opens offline
    """
    if num_folds == 1:
        raise click.BadParameter("must be 0 or at least 2.", param_hint="--folds")
    with _report_errors("petseg review"):
        from petseg.config.params import load_params

        params = load_params()
        import_tensorflow()
        from petseg.label_review.review import PAGE, review_labels

        table = review_labels(params, PipelinePaths(), out, num_folds, num_images)
    click.echo(table.head(10).to_string(index=False))
    click.echo(f"Reviewed {len(table)} masks. See {out / PAGE}.")


@main.command()
@_model_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Use 0.0.0.0 to give others on your network access.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=7860, show_default=True)
@click.option(
    "--max-upload",
    "max_upload_mb",
    type=click.IntRange(1, 1024),
    default=50,
    show_default=True,
    metavar="MB",
    help="Largest photo to accept.",
)
@click.option("--open/--no-open", "open_browser", default=False, help="Open your browser.")
@_tta_flip_option
@_tta_scale_option
def demo(
    model: Path,
    host: str,
    port: int,
    max_upload_mb: int,
    open_browser: bool,
    tta_flip: bool,
    tta_scales: tuple[float, ...],
) -> None:
    """Serve a local page where you drop photos, view their masks and download the results.

    \b
      petseg demo --open
      petseg demo --model models/exported/unet.onnx --port 8000
    """
    with _report_errors("petseg demo"):
        from petseg.photos.demo import import_gradio, serve
        from petseg.photos.predictor import load

        import_gradio()  # fails fast, before the model is loaded
        predictor = load(model, tta_flip, tta_scales)
        serve(predictor, host, port, max_upload_mb=max_upload_mb, open_browser=open_browser)


@main.command()
@_model_option
@_json_option
def info(model: Path, as_json: bool) -> None:
    """Describe a model: classes, input, network, training data, validation metrics and checksums.

    \b
      petseg info
      petseg info --model elsewhere/unet --json
      petseg info --model models/exported/unet.onnx
    """
    with _report_errors("petseg info"):
        from petseg.photos.model_info import model_info

        sections = model_info(model)
    if as_json:
        click.echo(json.dumps(sections, indent=2))
        return
    for section, values in sections.items():
        if values:
            click.echo(f"{section}:")
        for name, value in values.items():
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            click.echo(f"  {name:18} {text}")


@contextmanager
def _report_errors(command: str) -> Iterator[None]:
    """Print a user error or a machine failure as one message, and exit with 1."""
    explain_error = partial(explain, command=command, memory_hint="lower --batch-size")
    try:
        with translate(explain_error):
            yield
    except PetsegError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
