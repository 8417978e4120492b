# Two commands for a newcomer, each on a fresh machine with nothing but Python 3.11-3.13 and make:
#   make demo    install, prepare a synthetic cohort, pre-train for a minute, report what it is worth on other people
#   make test    install with the tools for development, run the tests
# and one for every day:
#   make train ARGS="encoder=resnet8 trainer.max_steps=60000"

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
BIN := $(VENV)/bin
DEMO := outputs/demo/$(shell date +%Y-%m-%d_%H-%M-%S)

.DEFAULT_GOAL := help
.PHONY: help install demo train prepare evaluate report test lint format clean

help:  ## show these lines
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

install: $(VENV)/.base  ## make the environment

demo: $(VENV)/.base  ## a whole small run: cohort, pre-training, then a report of what it is worth on other people
	$(BIN)/tiles-train experiment=demo hydra.run.dir=$(DEMO)/pretraining $(ARGS)
	$(BIN)/tiles-prepare reader.n_subjects=30 reader.seed=1 store=outputs/store/synthetic-others.h5
	$(BIN)/tiles-evaluate -m task=synthetic_af,synthetic_stress dataset.store=outputs/store/synthetic-others.h5 \
		"encoders={demo:$(DEMO)/pretraining}" protocol.folds=3 controls.scratch_steps=60 label_efficiency.draws=2 report=false \
		hydra.sweep.dir=$(DEMO)/evaluation
	$(BIN)/tiles-report $(DEMO) -o $(DEMO)

train: $(VENV)/.base  ## tiles-train with ARGS="..."
	$(BIN)/tiles-train $(ARGS)

prepare: $(VENV)/.base  ## tiles-prepare with ARGS="..."
	$(BIN)/tiles-prepare $(ARGS)

evaluate: $(VENV)/.base  ## tiles-evaluate with ARGS="..."
	$(BIN)/tiles-evaluate $(ARGS)

report: $(VENV)/.base  ## tiles-report with ARGS="..."
	$(BIN)/tiles-report $(ARGS)

test: $(VENV)/.dev  ## the tests
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment; runs and stores stay
	rm -rf $(VENV)

$(BIN)/python:
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and f"Python 3.11 to 3.13 is needed, this is {v[0]}.{v[1]}: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.base
