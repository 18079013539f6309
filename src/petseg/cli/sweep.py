"""The command `petseg sweep`."""

import sys
from pathlib import Path

import click

from petseg.cli.options import out_option, report_errors


@click.command()
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
@out_option(default="sweep")
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
    with report_errors("petseg sweep", "lower --jobs"):
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
