"""The command `petseg`, for people with photos or data of their own.

A module per command. Modules that import TensorFlow are imported inside the commands that need
them, after the arguments are checked.
"""

import click

from petseg.cli.compare import compare
from petseg.cli.data import data
from petseg.cli.demo import demo
from petseg.cli.export_web import export_web
from petseg.cli.info import info
from petseg.cli.predict import predict
from petseg.cli.review import review
from petseg.cli.sweep import sweep


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="petseg")
def main() -> None:
    """Segment the pets in your photos, with petseg's own model or one that you trained.

    \b
    To turn on tab completion in this shell:
      eval "$(_PETSEG_COMPLETE=bash_source petseg)"    (or zsh_source, fish_source)
    """


for _command in (predict, compare, sweep, data, review, demo, export_web, info):
    main.add_command(_command)
