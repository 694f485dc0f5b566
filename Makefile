# `make demo`: from a clone to a file that translates. `make test`: the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# TensorFlow's start-up notes, and its warnings of what this project does not use.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test lint format wheel benchmark clean

demo: $(INSTALLED)
	$(BIN)/python -m seq2lite.recipes.demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the wheel and imports it in an environment that has nothing of this folder.
wheel: $(INSTALLED)
	rm -rf dist build $(VENV)-wheel
	$(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet dist/*.whl
	cd / && $(CURDIR)/$(VENV)-wheel/bin/python $(CURDIR)/tests/wheel_check.py

benchmark: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[bench]'
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'seq2lite needs Python 3.11 or later. Received: ' + sys.version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel build dist runs *.egg-info
