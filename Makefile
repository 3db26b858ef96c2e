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
TRAIN := .venv-train/.installed
TRAIN_HUB := .venv-train/.installed-hub
DOJO := .venv-agentdojo/.installed

# PyTorch is no part of a lock: its builds for CPU and CUDA have the same name, and the CPU's come from an index of their own.
TORCH := torch==2.13.0$(if $(shell command -v nvidia-smi),,+cpu)
TORCH_INDEX := $(if $(KEEPSAKE_TORCH_INDEX),--extra-index-url $(KEEPSAKE_TORCH_INDEX))

.PHONY: help setup setup-app setup-dev setup-model setup-train setup-train-hub setup-agentdojo run demo test check lint format types imports lock readme clean clean-data

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 14

setup: setup-app setup-model ## install everything: Debian packages, Python environment, model server, weights

setup-app: $(MAIN) ## the same without the embedded model (for an outside endpoint, KEEPSAKE_MODEL_URL)

setup-model: $(MAIN)
	@$(BIN)/keepsake setup-model

setup-train: $(TRAIN) ## the training environment, .venv-train

setup-train-hub: $(TRAIN_HUB) ## the same with what fine-tuning of hub models needs (TRL, PEFT; 70 MB more)

setup-agentdojo: $(DOJO) ## the environment of `keepsake bench gate`, .venv-agentdojo

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

$(TRAIN): requirements/train.txt pyproject.toml
	@$(PYTHON) -m infra.stack.preflight --quiet
	@test -x .venv-train/bin/python || $(PYTHON) -m venv .venv-train
	@echo "Training environment: installing $(TORCH) and $$(grep -c == requirements/train.txt) pinned packages" >&2
	@.venv-train/bin/python -m pip install -qq --disable-pip-version-check --no-input $(TORCH_INDEX) $(TORCH) || { \
		echo "pip could not install $(TORCH). Set KEEPSAKE_TORCH_INDEX to a package index that has PyTorch's CPU wheels, and run it again." >&2; exit 1; }
	@.venv-train/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes --no-deps -r requirements/train.txt
	@.venv-train/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable .
	@touch $@

$(TRAIN_HUB): $(TRAIN) requirements/train-hub.txt
	@echo "Training environment: installing TRL, PEFT and what they need, 70 MB" >&2
	@.venv-train/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes --no-deps -r requirements/train-hub.txt
	@touch $@

$(DOJO): requirements/agentdojo.txt
	@test -x .venv-agentdojo/bin/python || $(PYTHON) -m venv .venv-agentdojo
	@echo "AgentDojo: installing $$(grep -c == requirements/agentdojo.txt) pinned packages" >&2
	@.venv-agentdojo/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes --no-deps -r requirements/agentdojo.txt
	@touch $@

run: setup ## set up, start everything, do one task with the embedded model, and leave the stack up
	@$(BIN)/keepsake demo --leave-up

demo: setup ## the same, and stop everything; the last line is one JSON object
	@$(BIN)/keepsake demo

test: setup setup-dev $(if $(KEEPSAKE_MODEL_URL),,setup-train-hub) check ## set up, check, and run all tests
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
LOCK = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
	pyproject.toml requirements/build.in
EVERYTHING := $(addprefix --extra ,agents backend ui worlds bench)
CUDA := torch triton cuda-bindings cuda-pathfinder cuda-toolkit $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft \
	cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx)

lock: setup-dev ## pin the newest versions that pyproject.toml allows
	@$(PIP) install -qq uv
	@$(LOCK) $(EVERYTHING) -o requirements/main.txt
	@$(LOCK) $(EVERYTHING) --group dev -c requirements/main.txt -o requirements/dev.txt
	@$(LOCK) --extra sandboxd -c requirements/main.txt -o requirements/sandboxd.txt
	@$(LOCK) --extra train $(addprefix --no-emit-package ,$(CUDA)) -c requirements/main.txt -o requirements/train.txt
	@$(LOCK) --extra train-hub $(addprefix --no-emit-package ,$(CUDA)) -c requirements/train.txt -o requirements/train-hub.txt
	@$(LOCK) --extra agentdojo -c requirements/main.txt -o requirements/agentdojo.txt

readme: setup-app ## bring README's table of settings into step with app/config.py
	@$(BIN)/python -m infra.stack.settings_table README.md

clean: ## stop the stack and remove environments and caches of this checkout
	@test ! -x $(BIN)/keepsake || $(BIN)/keepsake down
	rm -rf $(VENV) .venv-train .venv-agentdojo .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

clean-data: $(MAIN) ## stop the stack and remove what Keepsake put below KEEPSAKE_HOME: runs, keys, weights, model server
	@$(BIN)/keepsake down
	@cd "$$($(BIN)/python -c 'from app.config import get_settings; print(get_settings().home)')" && \
		rm -rf api_key bench cache data envs logs profiles registry run sandboxd_token training weights
