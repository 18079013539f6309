"""The command `petseg data`: inspect a folder, print, draw, write params.yaml."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from petseg.core.atomic_io import atomic_write
from petseg.core.errors import PetsegError
from petseg.core.remote import local_copy
from petseg.image_encoding import encode_image
from petseg.inspection.contact_sheet import draw_contact_sheet
from petseg.inspection.describe import as_dict, describe
from petseg.inspection.inspect import inspect_folder
from petseg.inspection.settings import PARAMS, as_yaml_section, folder_settings, write_params
from petseg.own_files import require_own_file, sign_image

CONTACT_SHEET = "contact_sheet.png"


def check_folder(
    folder: str, settings: Sequence[str], *, write: bool, out: Path | None, as_json: bool
) -> int:
    """Do all that the command does, and return its exit code. Raises PetsegError or OSError."""
    params, from_file = folder_settings(folder, settings)
    if out:
        require_own_file(out / CONTACT_SHEET)
        if out.resolve().is_relative_to(params.path):
            raise PetsegError(
                f"--out {out} is in the folder itself, so its contact sheet would count as an "
                "image; use another."
            )
    with local_copy(folder) as root:
        inspection = inspect_folder(root, params)
        if out and inspection.sizes:
            found = inspection.problems + inspection.suspicions + inspection.notes
            named = [name for finding in found for name in finding.examples[:3]]
            sheet = encode_image(draw_contact_sheet(inspection.scan, named), optimize=True)
            atomic_write(out / CONTACT_SHEET, sign_image(sheet))
    trainable = not inspection.problems
    if write and trainable:
        write_params(inspection.params, inspection.image_size)
    if as_json:
        click.echo(json.dumps(as_dict(inspection), indent=2, ensure_ascii=False))
        return 0 if trainable else 1
    if from_file:
        click.echo(f"With the settings of dataset.folder in {PARAMS}, which has this folder.")
    click.echo(describe(inspection))
    if out and inspection.sizes:
        click.echo(f"Contact sheet: {out / CONTACT_SHEET}")
    click.echo()
    if not trainable:
        if write:
            click.echo(f"{PARAMS} was not changed.")
    elif write:
        size = inspection.image_size
        resize = ", preprocess.resize" if size and size.tiles else ""
        click.echo(
            f"Wrote dataset, preprocess.image_size{resize} and preprocess.tiles to {PARAMS}. "
            "To train: make photos"
        )
    else:
        click.echo(f"For {PARAMS} (--write puts it there):\n")
        click.echo(as_yaml_section(inspection.params, inspection.image_size), nl=False)
    return 0 if trainable else 1
