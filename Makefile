# make repro | make test | make lint: each sets up .venv by itself and does nothing twice.
PYTHON ?= python3.11
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --quiet --disable-pip-version-check
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# No tool of the pipeline reports usage to anybody.
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export ORT_DISABLE_TELEMETRY := 1
export HF_HUB_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup repro fracatlas quick test lint format locks pins reference readme clean

help: ## list these targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-9s %s\n", $$1, $$2}'

setup: $(READY) ## make .venv with the pinned packages

$(READY): requirements.lock requirements-dev.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "expected Python 3.11 or newer as '$(PYTHON)', found none; install it or run: make PYTHON=/path/to/python $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit(f"expected Python 3.11 or newer, found {sys.version.split()[0]}; run: make PYTHON=/path/to/python")'
	@echo "setting up $(VENV), once: 3 GB to download, 8 GB on disk; minutes"
	@! git ls-files --error-unmatch $(VENV) >/dev/null 2>&1 || { echo "expected no files of $(VENV) in the commit, found some, which would run beside the packages; git rm -r --cached $(VENV)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
# uv takes half of pip's time. It trusts the certificates of the system, as pip does: a hospital's proxy has its own. It
# does not read pip's configuration, so that pip steps in where packages come from elsewhere. The lock is complete: pip
# must not look for more.
	@sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/uv.lock
	@{ $(PIP) --requirement $(VENV)/uv.lock && $(VENV)/bin/uv pip install --quiet --system-certs --compile-bytecode --python $(VENV)/bin/python --requirement requirements-dev.lock; } 2> $(VENV)/uv.log \
	  || { echo "uv cannot install the packages ($$(tail -n 1 $(VENV)/uv.log)); pip takes over"; \
	       $(PIP) --no-deps --requirement requirements-dev.lock 2> $(VENV)/pip.log || { cat $(VENV)/pip.log; exit 1; }; }
	@$(PIP) --no-deps --no-build-isolation --editable .
	@$(VENV)/bin/python -P scripts/stage_locks.py
	@$(VENV)/bin/python -P scripts/site_cache.py
	@$(VENV)/bin/python -P scripts/plots_page.py
	@touch $@

repro: $(READY) ## run the pipeline and print the comparison
	@python -P scripts/before_repro.py
	@dvc repro
	@wrist report --lineage

fracatlas: $(READY) ## fetch the wrists of FracAtlas and run the pipeline on them; FILMS=folder, RECIPE=strong
	@wrist fracatlas $(if $(FILMS),--films '$(FILMS)') $(if $(RECIPE),--recipe $(RECIPE))

quick: lint ## run what matters before a commit: style, types, fast tests of readers, metrics, losses, split and layers
	@python -m pytest --numprocesses auto --maxprocesses 4 -m "not slow" tests/common/data tests/annotate \
	  tests/common/model/test_metrics.py tests/train/test_loss.py tests/train/test_weighting.py tests/test_house.py

test: $(READY) ## run the tests
	@python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(READY) ## check style and types
	@ruff check . && ruff format --check . && mypy

format: $(READY) ## fix style
	@ruff check --fix . ; ruff format .

# Not after a set-up from pyproject.toml and the lock, which does not hold a package yet that was just added.
# The first file is what developers install, the second one, of the same versions, what the pipeline needs.
PIN := uv pip compile pyproject.toml --generate-hashes --no-annotate --no-header --quiet --python-version 3.11
pins: | $(VENV)/bin/uv ## resolve the packages of pyproject.toml into the locks; UPGRADE=--upgrade takes new versions
	@$(PIN) --extra dev $(UPGRADE) --output-file requirements-dev.lock
	@$(PIN) --constraint requirements-dev.lock --output-file requirements.lock

$(VENV)/bin/uv:
	@$(MAKE) --no-print-directory setup

locks: $(READY) ## pin the libraries of each stage after a change of imports
	@python -P scripts/stage_locks.py

reference: $(READY) ## write comments, schema and docs page of params.yaml from the models
	@python -P scripts/params_reference.py

readme: $(READY) ## put the table and the picture of the last run into README.md
	@python -P scripts/readme.py

clean: ## remove .venv, caches and checkpoints; outputs and the DVC cache stay
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .checkpoints build *.egg-info
