"""The files that other people's tools read. tests/soak/test_ecosystem.py runs those tools."""

import json
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from support.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# From devContainer.base.schema.json of github.com/devcontainers/spec: what we use of it.
DEV_CONTAINER = {
    "name": str,
    "image": str,
    "postCreateCommand": str,
    "remoteEnv": dict,
    "customizations": dict,
}


def test_the_development_container_sets_up_a_supported_python():
    container = json.loads((ROOT / ".devcontainer.json").read_text())
    assert {key: type(value) for key, value in container.items()} == DEV_CONTAINER
    image, version = container["image"].split(":")
    assert image == "python"
    assert re.fullmatch(r"3\.\d+", version)
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")
    command, target = container["postCreateCommand"].split()
    assert command == "make"
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


@pytest.mark.parametrize("hook", HOOKS, ids=lambda hook: hook["id"])
def test_a_hook_runs_a_tool_of_make_test_in_its_pinned_version(hook):
    tool, *arguments = hook["entry"].split()
    assert hook["language"] == "system"
    assert tool.startswith(".venv/bin/")
    name = Path(tool).name
    assert shutil.which(name, path=str(Path(sys.executable).parent))
    words = " ".join([name, *(word for word in arguments if not word.startswith("-"))])
    assert re.search(rf"^\t{words}\b", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert re.search(rf"^{name}==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)


def test_the_citation_names_the_project_s_version_and_license():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["title"] == PROJECT["name"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
