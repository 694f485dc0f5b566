# `make demo`: from a clone to a file that translates. `make test`: the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
# TensorFlow's start-up notes, and its warnings of what this project does not use.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-long lint format wheel benchmark presets fuzz mutants resume distributed clean

demo: $(INSTALLED)
	$(BIN)/python -m seq2lite.recipes.demo --overwrite

test: $(TOOLS)
	$(BIN)/python -m pytest

# What takes minutes: trainings that are killed, in several processes, and under other backends; the
# README's lines and the demo, small; more variants exported.
test-long: $(TOOLS)
	$(BIN)/python -m pytest -m long

lint: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the wheel and imports it in an environment that has nothing of this folder.
wheel: $(TOOLS)
	rm -rf dist build $(VENV)-wheel
	$(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet dist/*.whl
	cd / && $(CURDIR)/$(VENV)-wheel/bin/python $(CURDIR)/tests/wheel_check.py

benchmark: $(TOOLS)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# Every preset at its published size: exported, run, compared with Keras. A quarter of an hour.
presets: $(TOOLS)
	$(BIN)/python benchmarks/presets.py

# 10,000 damaged bundles: each refused, or the right text.
fuzz: $(TOOLS)
	$(BIN)/python benchmarks/fuzz_bundle.py

# Faults applied one at a time to a copy of the project: the tests must catch each. Hours; continue a
# stopped run with `make mutants OPTIONS=--resume`.
mutants: $(TOOLS)
	$(BIN)/python benchmarks/mutants.py $(OPTIONS)

# A training of each family, killed 20 times at random: it ends with the weights of one that was not.
resume: $(TOOLS)
	SEQ2LITE_KILLS=20 $(BIN)/python -m pytest -m long tests/recipes/test_resume.py

# A recipe under TensorFlow, under JAX, and in two processes: what it costs to be two.
distributed: $(TOOLS)
	$(BIN)/python benchmarks/distributed.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'seq2lite needs Python 3.11 or later. Received: ' + sys.version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

# What tests, benchmarks and lint need beside it: PyTorch, JAX and CTranslate2 among them.
$(TOOLS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel build dist runs *.egg-info
