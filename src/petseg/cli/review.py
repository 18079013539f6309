"""The command `petseg review`."""

from pathlib import Path

import click

from petseg.cli.options import out_option, report_errors
from petseg.config.paths import PipelinePaths
from petseg.core.tf_import import import_tensorflow


@click.command()
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
@out_option(default="reports")
def review(num_folds: int, num_images: int, out: Path) -> None:
    """Rank the training and validation masks by how wrong they look.

    \b
      petseg review              judged by models/unet: seconds to minutes
      petseg review --folds 4    judged out of fold: four training runs with params.yaml's settings

    A model that was trained on a mask may have learned its mistake, so --folds finds more. A table
    that was scored with --folds is never replaced by one without. After an interruption, run the
    same command again: training resumes.

    \b
    reports/label_review.csv   all masks with score and finding, most suspicious first
    reports/label_review.html  the first ones with their images; opens offline
    """
    if num_folds == 1:
        raise click.BadParameter("must be 0 or at least 2.", param_hint="--folds")
    with report_errors(
        "petseg review", "lower evaluate.batch_size and train.batch_size in params.yaml"
    ):
        from petseg.config.params import load_params

        params = load_params()
        import_tensorflow()
        from petseg.label_review.review import PAGE, review_labels

        table = review_labels(params, PipelinePaths(), out, num_folds, num_images)
    click.echo(table.head(10).to_string(index=False))
    click.echo(f"Reviewed {len(table)} masks. See {out / PAGE}.")
