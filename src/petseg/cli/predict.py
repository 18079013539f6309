"""The command `petseg predict`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from petseg.cli.options import (
    batch_size_option,
    json_option,
    model_option,
    out_option,
    report_errors,
    tta_flip_option,
    tta_scale_option,
)
from petseg.photos.find_files import RESULT_SUFFIXES, ResultKind, describe_unsupported, find_files


def _split_kinds(
    context: click.Context, option: click.Parameter, text: str
) -> tuple[ResultKind, ...]:
    names = {name.strip() for name in text.split(",")}
    if not names <= set(RESULT_SUFFIXES):
        raise click.BadParameter(f"{text!r} must be some of {', '.join(RESULT_SUFFIXES)}.")
    return tuple(kind for kind in RESULT_SUFFIXES if kind in names)


@click.command()
@click.argument(
    "photos", nargs=-1, required=True, type=click.Path(), metavar="PHOTO|FOLDER|PATTERN..."
)
@out_option(required=True)
@model_option
@batch_size_option(default=16, help="Photos per batch.")
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
@tta_flip_option
@tta_scale_option
@json_option
def predict(
    photos: tuple[str, ...],
    out: Path,
    model: str | None,
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

    Further runs add to the same folder. To resume after an interruption, run the same command with
    --skip-existing. Files that petseg didn't write, or that were edited since, are not overwritten.

    Photos that can't be read, or of a type that petseg doesn't read (.heic), are listed; the exit
    code is then 1.
    """
    with report_errors("petseg predict", "lower --batch-size"):
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
            sys.exit("\nStopped. To resume, run the same command with --skip-existing.")
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
        counts_by_reason = {
            "had results": len(done.existing),
            "skipped": len(done.skipped),
            "of other types": len(found.unsupported),
        }
        reasons = ", ".join(f"{count} {what}" for what, count in counts_by_reason.items() if count)
        table = out / TABLE
        click.echo(
            f"Predicted {len(done.rows)} of {num_photos} photos"
            f"{f' ({reasons})' if reasons else ''}{f': {table}' if table.exists() else '.'}"
        )
    for message in (*done.notes, *done.skipped, *unsupported):
        click.echo(message, err=True)
    sys.exit(1 if done.skipped or unsupported else 0)
