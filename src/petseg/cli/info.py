"""The command `petseg info`."""

import json

import click

from petseg.cli.options import json_option, model_option, report_errors


@click.command()
@model_option
@json_option
def info(model: str | None, as_json: bool) -> None:
    """Describe a model: classes, input and checksums; of a Keras model also its network, training
    data and validation metrics.

    \b
      petseg info
      petseg info --model elsewhere/unet --json
      petseg info --model models/exported/unet.onnx
    """
    with report_errors("petseg info"):
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
