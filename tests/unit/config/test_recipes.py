"""The settings that `make pets` offers: each is whole, fits params.yaml, and makes the network that it says."""

import os
import re
import subprocess

import pytest

from petseg.config.params import parse_params
from petseg.model.unet import Architecture, build_unet
from support.project import ROOT, recipe_settings, with_values

RECIPES = sorted((ROOT / "recipes").glob("*.txt"))
MOST_PARAMETERS = {"default": 6_500_000, "fast": 6_500_000, "quick": 6_500_000, "small": 1_000_000}


def make(*words):
    """`make` as a user starts it, though these tests may run within another one."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    return subprocess.run(
        ["make", "-o", "setup", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def make_pets(*variables):
    """What `make pets` prints without running anything."""
    done = make("--dry-run", "pets", *variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_the_recipes_that_the_readme_names():
    assert {recipe.stem for recipe in RECIPES} == set(MOST_PARAMETERS)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"make pets RECIPE=(\w+)", readme))
    assert named == set(MOST_PARAMETERS) - {"default"}


def test_every_recipe_sets_the_same_parameters():
    """`dvc exp run` leaves them in params.yaml, where the next recipe finds them."""
    assert len({frozenset(recipe_settings(recipe)) for recipe in RECIPES}) == 1


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_changes_known_parameters_to_possible_values(recipe, default_params):
    parse_params(with_values(default_params, recipe_settings(recipe)))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_s_network_has_the_parameters_that_it_says(recipe, default_params):
    params = parse_params(with_values(default_params, recipe_settings(recipe)))
    network = build_unet(Architecture(**params.model.model_dump(exclude={"weights"}), classes=3))
    said = re.search(r"([\d,]+) parameters", recipe.read_text(encoding="utf-8"))
    assert said is not None
    assert network.count_params() == int(said[1].replace(",", "")) <= MOST_PARAMETERS[recipe.stem]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_make_pets_hands_over_every_setting_of_a_recipe_and_of_one_s_own(recipe):
    printed = make_pets(f"RECIPE={recipe.stem}", "SET=seed=3 model.decoder_filters=[8,8]")
    told = re.findall(r"--set-param '([^']*)'", printed)
    lines = recipe.read_text(encoding="utf-8").splitlines()
    assert told == [line for line in lines if not line.startswith("#")] + [
        "seed=3",
        "model.decoder_filters=[8,8]",
    ]


def test_make_pets_takes_the_default_recipe():
    assert make_pets() == make_pets("RECIPE=default")


def test_an_unknown_recipe_is_told_with_those_there_are():
    done = make("pets", "RECIPE=big")
    assert done.returncode != 0
    assert done.stdout.strip() == "RECIPE is big, but must be one of: default fast quick small."
