"""The recipes of `make pets`: complete, valid, and of the network size that their header says."""

import os
import re
import subprocess

import pytest

from petseg.config.params import parse_params
from petseg.model.unet import Architecture, build_unet
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


def make(*words):
    """Run `make` as a user does, even if these tests run within `make`."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", "-o", "setup", *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def make_pets(*variables):
    """Return what `make --dry-run pets` prints."""
    done = make("--dry-run", "pets", *variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


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
    printed = make_pets(f"RECIPE={recipe.stem}", "SET=seed=3 model.decoder_filters=[8,8]")
    settings = re.findall(r"--set-param '([^']*)'", printed)
    lines = recipe.read_text(encoding="utf-8").splitlines()
    assert settings == [line for line in lines if not line.startswith("#")] + [
        "seed=3",
        "model.decoder_filters=[8,8]",
    ]


def test_make_pets_modifies_a_recipe(default_params):
    printed = make_pets("RECIPE=fast gpu")
    settings = dict(x.split("=", 1) for x in re.findall(r"--set-param '([^']*)'", printed))
    assert settings["train.batch_size"] == "64"
    assert settings["train.epochs"] == "8"
    for modifier in MODIFIERS:
        settings = recipe_settings(RECIPES[0]) | recipe_settings(modifier)
        parse_params(with_values(default_params, settings))


def test_make_pets_uses_the_default_recipe():
    assert make_pets() == make_pets("RECIPE=default")


def test_an_unknown_recipe_is_reported_with_the_known_names():
    """So is a modifier without a recipe, which would train on what params.yaml says."""
    known = "default fast mobilenet quick small; after it, any of: gpu long pets128 pets192"
    for unknown in ("", "big", "default big", "long", "gpu default", "default fast"):
        done = make("pets", f"RECIPE={unknown}")
        assert done.returncode != 0
        assert done.stdout.strip() == f"RECIPE is '{unknown}', but must be one of: {known}."


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
