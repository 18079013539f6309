"""Two and four workers compute what one does, over fifty steps."""

import subprocess
import sys

from support.project import ROOT


def test_the_losses_of_several_workers_are_those_of_one():
    subprocess.run([sys.executable, "tests/soak/workers.py"], cwd=ROOT, check=True)
