"""The command `petseg data`."""

import sys
from pathlib import Path

import click

from petseg.cli.options import json_option, out_option, report_errors


@click.command()
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
@out_option(help="Folder for contact_sheet.png.")
@json_option
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
    with report_errors("petseg data"):
        from petseg.inspection.command import check_folder

        sys.exit(check_folder(folder, settings, write=write, out=out, as_json=as_json))
