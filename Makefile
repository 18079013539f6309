# make repro   set up, run the pipeline, show the metrics and list the images
# make test    set up, then linter, type checker, unit tests and end-to-end tests (minutes)
# make soak    the long tests: kills, two clones, workers, fuzzing, benchmarks, Beam, the notebook, the
#              wheel alone, the lowest versions, other Pythons; TESTS="-k kills" selects some, for make test too
# make robustness  write docs/robustness.md from the tests' cases
# make verify  run the pipeline in two fresh clones and compare every byte
# make pets    the same pipeline on Oxford-IIIT Pet, as a DVC experiment, with the settings of recipes/default.txt;
#              RECIPE=mobilenet, small, fast or quick selects another recipe, RECIPE="fast gpu" a larger batch for a GPU,
#              RECIPE="mobilenet pets128" or "default pets192" photos of 128 or 192 px, scored at 128 px,
#              RECIPE="default long" a longer training run,
#              SET="train.epochs=3 seed=1" overrides settings
# make photos  the same on your own images: dataset and preprocess.image_size stay as in params.yaml, where
#              petseg data FOLDER --write puts them; RECIPE and SET as for make pets
# make bench   compare speed and memory with peers (minutes to an hour; run nothing else meanwhile);
#              BENCH="train_step --size 128" passes arguments to python -m benchmarks

PYTHON ?= python3
RECIPE ?= default
RECIPES := $(sort $(basename $(notdir $(shell grep -l '^dataset\.name=' recipes/*.txt))))
MODIFIERS := $(filter-out $(RECIPES),$(sort $(basename $(notdir $(wildcard recipes/*.txt)))))
VENV := .venv
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

# Modifiers for comparing scores on Oxford-IIIT Pet, whose images have a size of their own
SIZED := $(basename $(notdir $(shell grep -l '^preprocess\.image_size=' $(MODIFIERS:%=recipes/%.txt))))

# Settings of the recipe and of the user, but for lines that match $(1)
settings = $(shell sed -e '/^\#/d' $(1:%=-e '/^%=/d') -e "s/.*/--set-param '&'/" \
    $(RECIPE:%=recipes/%.txt) </dev/null 2>/dev/null) $(foreach setting,$(SET),--set-param '$(setting)')

# Stop unless RECIPE is a recipe and, after it, any of the modifiers $(1)
check_recipe = test -n "$(filter $(RECIPES),$(firstword $(RECIPE)))" -a \
	      -z "$(filter-out $(1),$(wordlist 2,99,$(RECIPE)))" || { \
	    echo "RECIPE is '$(RECIPE)', but must be one of: $(RECIPES); after it, any of: $(strip $(1))."; exit 1; }

.PHONY: repro test soak robustness verify bench pets photos setup git-clone

repro: git-clone setup
	@python -m petseg.config.params
	@dvc repro
	@dvc metrics show metrics/test.json
	@echo "Images:"; ls -1 plots/*.png plots/masks/*.png
	@git diff --quiet HEAD -- dvc.lock || printf '%s\n' \
	    "dvc.lock differs from the last commit: other settings, or another kind of CPU. To keep these results in git:" \
	    "  git add params.yaml dvc.lock metrics plots/*.csv && git commit -m 'Record results'"

pets: git-clone setup
	@$(call check_recipe,$(MODIFIERS))
	dvc exp run $(call settings,)
	@dvc metrics show metrics/test.json

photos: git-clone setup
	@$(call check_recipe,$(filter-out $(SIZED),$(MODIFIERS)))
	@grep -q '^  name: folder' params.yaml || { \
	    echo "params.yaml has no folder of images; first run: petseg data /path/to/photos --write"; exit 1; }
	dvc exp run $(call settings,dataset.name preprocess.image_size)
	@dvc metrics show metrics/test.json

verify: setup
	@python tests/soak/verify.py

bench: setup
	@python -m benchmarks $(BENCH)

test: setup
	ruff check --no-cache .
	ruff format --check .
	mypy
	pytest -n 3 --dist worksteal $(TESTS)

soak: setup
	pytest tests/soak -vv -s -ra --timeout=7200 --durations=0 $(TESTS)

robustness: setup
	@python tests/support/robustness.py

git-clone:
	@git rev-parse --git-dir > /dev/null 2>&1 || { \
	    echo "$(CURDIR) is not a git repository, which DVC needs; use git clone instead of Download ZIP."; exit 1; }

setup: $(INSTALLED)

$(INSTALLED): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else \
	    f"petseg needs Python 3.11 to 3.13, but $(PYTHON) is {v[0]}.{v[1]}; run, for example, make PYTHON=python3.12.")'
	@echo "Installing the pinned packages into $(VENV) (once; about 2 GB, a few minutes)"
	@$(PYTHON) -m venv $(VENV)
	@python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)
