"""The command `petseg compare`."""

from pathlib import Path

import click

from petseg.cli.options import (
    PATH,
    batch_size_option,
    json_option,
    out_option,
    report_errors,
    tta_flip_option,
    tta_scale_option,
)
from petseg.config.paths import PipelinePaths
from petseg.core.tf_import import import_tensorflow


@click.command()
@click.argument("baseline", type=PATH)
@click.argument("candidate", type=PATH)
@click.option(
    "--shards",
    type=PATH,
    default=PipelinePaths.shards,
    show_default=True,
    metavar="DIR",
    help="Where the preprocess stage wrote the data set.",
)
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), default="val", show_default=True
)
@out_option(default="comparison")
@click.option(
    "--num-images",
    type=click.IntRange(1, 100),
    default=12,
    show_default=True,
    help="Images to draw.",
)
@batch_size_option(default=32, help="Images per batch.")
@tta_flip_option
@tta_scale_option
@json_option
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
    with report_errors("petseg compare", "lower --batch-size"):
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
    views = "with" if tta_flip or tta_scales != (1.0,) else "without"
    click.echo(
        f"Compared {comparison.num_images} images of the {split} split at {comparison.scale} "
        f"(whatever evaluate.resolution is), {views} test-time augmentation. "
        f"See {out / 'images.png'}."
    )
