# PiRack: every command a person or a machine needs. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# A worker that crashed is a failure; with another in its place the run may never end.
PYTEST = $(BIN)/python -m pytest -n auto --max-worker-restart 0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo '  make run ARGS="--simulate 4x4 --http-port 9000"   passes options to `pirack up`'

# --- use ---------------------------------------------------------------------------

.PHONY: install
install: $(VENV)/.rack ## prepare .venv with everything a rack's master needs

.PHONY: run
run: install ## the whole rack on this machine, with 12 stacks of 4 simulated boards
	@scripts/get-mosquitto
	@$(BIN)/pirack up $(ARGS)

# --- develop -----------------------------------------------------------------------

.PHONY: install-dev
install-dev: $(VENV)/.dev ## .venv with what the checks and tests need too

.PHONY: test
test: test-packages install-dev lint ## every check: lint, types, unit, contract, system, browser, wheel
	$(PYTEST)

.PHONY: test-all
test-all: test-packages install-dev lint ## what `make test` does, and the tests that take minutes
	$(PYTEST) -m "not hardware"

.PHONY: test-fast
test-fast: install-dev ## the tests that start no process: seconds
	$(PYTEST) -q -m "not system and not browser and not mosquitto"

.PHONY: lint
lint: install-dev ## ruff and mypy --strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: bench
bench: install-dev ## measure: a table, each figure beside its floor or rival
	@scripts/get-mosquitto
	$(BIN)/python -m bench $(ARGS)

.PHONY: wheel
wheel: install-dev ## build dist/pirack-*.whl
	rm -rf dist
	$(BIN)/python -m build --wheel

.PHONY: test-packages
test-packages:
	@scripts/test-packages

.PHONY: clean
clean: ## remove what was built or cached; .pirack (your rack's data) stays
	rm -rf $(VENV) .mosquitto .mosquitto.new build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .nicegui
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment -------------------------------------------------------
# Stamp files: made again only when pyproject.toml changes, so a second run is quick.

$(VENV)/.made:
	@echo 'pirack: preparing $(VENV), once (a minute; on a Pi a few)'
	@PYTHON="$(PYTHON)" scripts/venv $(VENV)
	@touch $@

$(VENV)/.rack: pyproject.toml $(VENV)/.made
	$(BIN)/python -m pip install --quiet --editable '.[rack]'
	@touch $@

$(VENV)/.dev: $(VENV)/.rack
	$(BIN)/python -m pip install --quiet --group dev
	@touch $@
