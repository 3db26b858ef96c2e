# Keepsake's task runner. `make run` on a bare machine ends with a working product; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

# The first Python on the PATH that is new enough and can make environments; `make PYTHON=... setup` names another.
PYTHON ?= $(or $(shell for p in python3.11 python3.12 python3.13 python3; do \
	"$$p" -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo "$$p"; break; }; done),python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input
SOURCES := app agents backend infra ui tests

# Only what a stamp is older than is installed again.
MAIN := $(VENV)/.installed-main
DEV := $(VENV)/.installed-dev

.PHONY: help setup setup-app setup-dev setup-model setup-train run demo test check lint format types imports lock readme clean clean-data

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

setup: setup-app setup-model ## install everything: Debian packages, Python environment, model server, weights

setup-app: $(MAIN) ## the same without the embedded model (for an outside endpoint, KEEPSAKE_MODEL_URL)

setup-model: $(MAIN)
	@$(BIN)/keepsake setup-model

setup-train: $(MAIN) ## the training environment, .venv-train
	@$(BIN)/python -m infra.training.environment

$(MAIN): requirements/main.txt pyproject.toml
	@$(PYTHON) -m infra.stack.preflight --quiet $(if $(filter test check,$(MAKECMDGOALS)),--for-tests)
	@$(PYTHON) -m infra.stack.debian
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Python environment: installing $$(grep -c == requirements/main.txt) pinned packages" >&2
	@$(PIP) install -qq --require-hashes --no-deps -r requirements/main.txt
	@$(PIP) install -qq --no-deps --no-build-isolation --editable .
	@touch $@

setup-dev: $(DEV)

$(DEV): $(MAIN) requirements/dev.txt
	@$(PYTHON) -m infra.stack.debian --for-tests
	@$(PIP) install -qq --require-hashes --no-deps -r requirements/dev.txt
	@touch $@

run: setup ## set up, start everything, do one task with the embedded model, and leave the stack up
	@$(BIN)/keepsake demo --leave-up

demo: setup ## the same, and stop everything; the last line is one JSON object
	@$(BIN)/keepsake demo

test: setup setup-dev check ## set up, check, and run all tests
	@$(BIN)/python -m pytest

check: lint types imports ## ruff, format, types, import contracts

lint: setup-dev
	@$(BIN)/ruff check $(SOURCES)
	@$(BIN)/ruff format --check $(SOURCES)
	@git ls-files '*.yaml' '*.yml' | xargs -r $(BIN)/yamllint --strict

format: setup-dev ## put the sources into form
	@$(BIN)/ruff check --fix-only $(SOURCES)
	@$(BIN)/ruff format $(SOURCES)

types: setup-dev
	@$(BIN)/ty check

imports: setup-dev
	@$(BIN)/lint-imports

# Locks carry hashes and no addresses, so that every machine takes the packages from where its own pip does.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header

lock: setup-dev ## pin the newest versions that pyproject.toml allows
	@$(PIP) install --quiet uv
	@$(BIN)/$(LOCK) --upgrade pyproject.toml requirements/build.in \
		--extra agents --extra backend --extra ui --extra worlds --extra bench -o requirements/main.txt
	@$(BIN)/$(LOCK) --upgrade pyproject.toml requirements/build.in -c requirements/main.txt \
		--extra agents --extra backend --extra ui --extra worlds --extra bench --group dev -o requirements/dev.txt

readme: setup-app ## bring README's table of settings into step with app/config.py
	@$(BIN)/python -m infra.stack.settings_table README.md

clean: ## remove environments and caches of this checkout
	rm -rf $(VENV) .venv-train .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: ## stop the stack and remove everything below KEEPSAKE_HOME: runs, keys, weights, model server
	@test ! -x $(BIN)/keepsake || $(BIN)/keepsake down
	rm -rf "$${KEEPSAKE_HOME:-$$HOME/.keepsake}"
