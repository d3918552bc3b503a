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
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
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
test: test-packages install-dev lint test-python313 ## every check: lint, types, unit, contract, system, browser, wheel
	$(PYTEST)

.PHONY: test-all
test-all: test-packages install-dev lint ## what `make test` does, the longest tests, machines, audit, Debian 13
	@scripts/test-packages tests/system/machines/packages.txt
	$(PYTEST) -m "not hardware"
	@scripts/audit
	@scripts/debian-root --optional --test-packages trixie make test

# Debian 13, on which Raspberry Pi OS is based now, whatever this machine runs.
.PHONY: test-debian12 test-debian13
test-debian12: test-packages ## `make test` in a new Debian 12 with Python 3.11; needs root
	scripts/debian-root --test-packages bookworm make test
test-debian13: test-packages ## `make test` in a new Debian 13 with Python 3.13; needs root
	scripts/debian-root --test-packages trixie make test

.PHONY: test-machines
test-machines: test-packages install-dev ## a rack of virtual machines, and emulated Raspberry Pis; needs root
	@scripts/test-packages tests/system/machines/packages.txt
	$(PYTEST) -m "not hardware" tests/system/machines

.PHONY: test-python313
test-python313: test-packages install-dev ## the tests of `make test-fast`, in a new Debian 13; needs root
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 13))' || \
		scripts/debian-root --optional trixie make test-fast

.PHONY: test-fast
test-fast: install-dev ## the tests that start no process: seconds
	$(PYTEST) -q -m "not system and not browser and not mosquitto"

.PHONY: lint
lint: install-dev $(VENV)/.page ## ruff and mypy --strict; of the page's scripts biome and tsc
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	scripts/page-tools check

.PHONY: bench
bench: install-dev ## measure: a table, each figure beside its floor or rival
	@scripts/get-mosquitto
	$(BIN)/python -m bench $(ARGS)

.PHONY: wheel
wheel: install-dev ## build dist/pirack-*.whl, and the list of what it needs beside it (SBOM)
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation
	@$(MAKE) --no-print-directory sbom

.PHONY: sbom
sbom: install-dev ## dist/*.cdx.json: what a node and a rack install, as CycloneDX
	@$(BIN)/python scripts/sbom

.PHONY: lock
lock: install-dev ## write the lock files anew; with ARGS=--upgrade the newest of everything
	@scripts/install-locked $(VENV) requirements/tools.lock --group lock
	scripts/lock $(ARGS)

.PHONY: audit
audit: install-dev ## ask for published vulnerabilities of what the lock files name
	@scripts/audit

.PHONY: test-packages
test-packages:
	@scripts/test-packages

.PHONY: clean
clean: ## remove what was built or cached; .pirack (your rack's data) stays
	rm -rf $(VENV) .cache .mosquitto .mosquitto.new build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .nicegui
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the virtual environment -------------------------------------------------------
# Stamp files: made again only when pyproject.toml or a lock file changes, so a second run
# is quick. Only what a lock file names, with its hash, is installed.

$(VENV)/.made:
	@echo 'pirack: preparing $(VENV), once (a minute; on a Pi a few)'
	@PYTHON="$(PYTHON)" scripts/venv $(VENV)
	@touch $@

$(VENV)/.rack: pyproject.toml requirements/rack.lock $(VENV)/.made
	@scripts/install-locked $(VENV) requirements/rack.lock '.[rack]' --group build
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: requirements/dev.lock $(VENV)/.rack
	@scripts/install-locked $(VENV) requirements/dev.lock --group dev
	@touch $@

$(VENV)/.page: requirements/page/package-lock.json $(VENV)/.dev
	@scripts/page-tools install
	@touch $@
