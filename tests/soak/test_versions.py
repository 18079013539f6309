"""The unit tests pass with the lowest versions that pyproject.toml allows, and on each Python."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from support.environments import Environment, find_python
from support.project import ROOT

EXTRAS = ("train", "beam", "demo", "dev")


@pytest.fixture
def uv(tmp_path):
    return Environment(tmp_path / "uv", Path(sys.executable), "uv").path / "bin" / "uv"


def is_for_this_machine(requirement):
    return requirement.marker is None or requirement.marker.evaluate()


def run_unit_tests(uv, environment, python, requirements):
    """Run the unit tests with these packages; the soak test's own output shows the result."""
    install = [uv, "pip", "install", "--quiet", "--python", environment]
    subprocess.run([uv, "venv", "--quiet", "--python", python, environment], check=True)
    subprocess.run([*install, "--requirements", requirements], check=True)
    subprocess.run([*install, "--no-deps", "--editable", ROOT], check=True)
    command = [environment / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", "-n", "2"]
    pins = "tests/unit/test_structure.py::test_installed_packages_match_the_pins"
    done = subprocess.run([*command, "tests/unit", "--deselect", pins], cwd=ROOT)
    assert done.returncode == 0


def test_the_lowest_versions_work(uv, tmp_path):
    lowest = tmp_path / "lowest.txt"
    compile_pins = [uv, "pip", "compile", "--quiet", "--resolution", "lowest-direct", "-o", lowest]
    options = [f"--extra={extra}" for extra in EXTRAS] + ["--python-version=3.11"]
    subprocess.run([*compile_pins, *options, "pyproject.toml"], cwd=ROOT, check=True)
    lines = [line for line in lowest.read_text().splitlines() if line[0] not in "# "]
    pins = filter(is_for_this_machine, map(Requirement, lines))
    resolved = {canonicalize_name(pin.name): pin for pin in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [text for name in EXTRAS for text in project["optional-dependencies"][name]]
    requirements = map(Requirement, [*project["dependencies"], *extras])
    for requirement in filter(is_for_this_machine, requirements):
        [bound] = (part for part in requirement.specifier if part.operator == ">=")
        [pin] = resolved[canonicalize_name(requirement.name)].specifier
        assert Version(bound.version) == Version(pin.version), f"{requirement}: {pin} was tried"
    python = find_python("3.11")
    if python is None:
        pytest.skip("no Python 3.11 here")
    run_unit_tests(uv, tmp_path / "lowest", python, lowest)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_pinned_versions_work_on_each_python(uv, tmp_path, version):
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} here")
    run_unit_tests(uv, tmp_path / version, python, ROOT / "requirements.txt")
