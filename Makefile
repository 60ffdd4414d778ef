# Everything from a fresh clone with Python 3.11, make and PyPI.
#
#   make quickstart   install, train and sweep the suite `quickstart`, render its report
#   make test         install, then ruff, mypy and pytest

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HF_HUB_OFFLINE ?= 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: quickstart test lint format clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[quickstart,dev]'
	touch $@

quickstart: $(VENV)/installed
	$(BIN)/eebench sweep --suite quickstart
	$(BIN)/eebench report --suite quickstart
	@echo
	@echo 'Done. Tables: results/quickstart/README.md   Pictures: results/quickstart/figures/'

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/pytest --numprocesses auto

format: $(VENV)/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV)
