"""The recipes of `make pets`: complete, valid, and of the network size that their header says."""

import os
import re
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from petseg.cli import main
from petseg.config.params import parse_params
from petseg.model.unet import Architecture, build_unet
from support.folders import draw_pairs
from support.pareto import read_table
from support.project import ROOT, recipe_settings, with_values

FILES = sorted((ROOT / "recipes").glob("*.txt"))
RECIPES = [file for file in FILES if "dataset.name" in recipe_settings(file)]
MODIFIERS = [file for file in FILES if file not in RECIPES]
MAX_PARAMETERS = {
    "default": 6_500_000,
    "fast": 6_500_000,
    "mobilenet": 3_000_000,
    "quick": 6_500_000,
    "small": 1_000_000,
}


def make(*words, cwd=ROOT):
    """Run `make` as a user does, even if these tests run within `make`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", "-o", "setup", *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def settings_of(target, *variables):
    """Return the settings that `make --dry-run` would pass to DVC."""
    done = make("--dry-run", target, *variables)
    assert done.returncode == 0, done.stderr
    return re.findall(r"--set-param '([^']*)'", done.stdout)


def test_the_readme_names_every_recipe():
    assert {recipe.stem for recipe in RECIPES} == set(MAX_PARAMETERS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"make pets RECIPE=(\w+)", readme))
    assert named == set(MAX_PARAMETERS) - {"default"}


def test_every_recipe_sets_the_same_parameters():
    """`dvc exp run` leaves them in params.yaml, and the next recipe must override them."""
    (names,) = {frozenset(recipe_settings(recipe)) for recipe in RECIPES}
    for modifier in MODIFIERS:
        assert set(recipe_settings(modifier)) <= names


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_has_valid_parameters(recipe, default_params):
    parse_params(with_values(default_params, recipe_settings(recipe)))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_the_header_has_the_network_s_number_of_parameters(recipe, default_params):
    params = parse_params(with_values(default_params, recipe_settings(recipe)))
    network = build_unet(Architecture(**params.model.model_dump(exclude={"weights"}), classes=3))
    stated = re.search(r"([\d,]+) parameters", recipe.read_text(encoding="utf-8"))
    assert stated is not None
    assert network.count_params() == int(stated[1].replace(",", "")) <= MAX_PARAMETERS[recipe.stem]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_make_pets_passes_the_settings_of_the_recipe_and_of_the_user(recipe):
    settings = settings_of(
        "pets", f"RECIPE={recipe.stem}", "SET=seed=3 model.decoder_filters=[8,8]"
    )
    lines = recipe.read_text(encoding="utf-8").splitlines()
    assert settings == [line for line in lines if not line.startswith("#")] + [
        "seed=3",
        "model.decoder_filters=[8,8]",
    ]


def test_make_pets_modifies_a_recipe(default_params):
    settings = dict(x.split("=", 1) for x in settings_of("pets", "RECIPE=fast gpu"))
    assert settings["train.batch_size"] == "64"
    assert settings["train.epochs"] == "8"
    for modifier in MODIFIERS:
        settings = recipe_settings(RECIPES[0]) | recipe_settings(modifier)
        parse_params(with_values(default_params, settings))


def test_make_pets_uses_the_default_recipe():
    assert settings_of("pets") == settings_of("pets", "RECIPE=default")


def test_make_photos_leaves_the_data_set_and_its_size_as_they_are():
    settings = settings_of("photos", "RECIPE=small long", "SET=seed=3")
    pets = settings_of("pets", "RECIPE=small long", "SET=seed=3")
    assert [x for x in pets if x not in settings] == [
        "dataset.name=oxford_iiit_pet",
        "preprocess.image_size=256",
    ]
    assert [x for x in settings if x not in pets] == []


def test_make_photos_trains_on_what_petseg_data_wrote(tmp_path, monkeypatch):
    for name in ("Makefile", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    dvc = tmp_path / ".venv/bin/dvc"
    dvc.parent.mkdir(parents=True)
    dvc.write_text('#!/bin/sh\necho "dvc $*"\n', encoding="utf-8")
    dvc.chmod(0o755)
    draw_pairs(tmp_path / "mine")

    done = make("photos", cwd=tmp_path)
    assert done.returncode != 0
    assert "run: petseg data /path/to/photos --write" in done.stdout
    assert "dvc" not in done.stdout

    monkeypatch.chdir(tmp_path)
    written = CliRunner().invoke(main, ["data", "mine", "--write"])
    assert "To train: make photos" in written.output
    done = make("photos", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "dvc exp run --set-param model.encoder=" in done.stdout


def test_an_unknown_recipe_is_reported_with_the_known_names():
    """So is a modifier without a recipe, which would train on what params.yaml says."""
    modifiers = {"pets": "gpu long pets128 pets192", "photos": "gpu long"}
    for target, known in modifiers.items():
        for unknown in ("", "big", "default big", "long", "gpu default", "default fast"):
            done = make(target, f"RECIPE={unknown}")
            assert done.returncode != 0
            assert done.stdout.strip() == (
                f"RECIPE is '{unknown}', but must be one of: default fast mobilenet quick small; "
                f"after it, any of: {known}."
            )
    assert make("photos", "RECIPE=default pets192").returncode != 0


def test_no_recipe_costs_more_than_one_that_is_more_accurate():
    rows = [
        (
            row["system"],
            -float(row["mean IoU"]),
            int(row["M multiply-adds"].replace(",", "")),
            int(row["parameters"].replace(",", "")),
        )
        for row in read_table()
        if row["trained by"] == "us" and row["system"] != "tutorial"
    ]
    assert len(rows) >= len(RECIPES)
    for name, *costs in rows:
        for other, *others in rows:
            assert name == other or any(a < b for a, b in zip(costs, others, strict=True)), name
