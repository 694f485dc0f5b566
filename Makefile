# `make demo` trains small models and exports them. `make test` runs the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS := $(VENV)/.tools
DOCS := $(VENV)/.docs
# Links to the folders under their package name, for tools that read source files.
PACKAGE := $(VENV)/package/seq2lite
# Hides TensorFlow's start-up messages and its warnings about features that are not used here.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-long lint format docs wheel benchmark presets fuzz mutants resume distributed clean

demo: $(INSTALLED)
	$(BIN)/seq2lite demo --overwrite

test: $(TOOLS)
	$(BIN)/python -m pytest

# Slow tests: killed and distributed trainings, other backends, the README's commands, the demo and
# more exported variants.
test-long: $(TOOLS)
	$(BIN)/python -m pytest -m long

# Checks rules, format, spelling, wording and types.
lint: $(TOOLS) $(PACKAGE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/python tests/test_language.py
	MYPYPATH=$(dir $(PACKAGE)) $(BIN)/mypy

format: $(TOOLS)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Builds the documentation and the API reference into site/. A broken link or docstring is an error.
docs: $(DOCS) $(PACKAGE)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Builds the wheel and runs it in two new environments: with the dependencies of $(VENV), where it
# exports a bundle, and with the base dependencies alone, where it runs that bundle.
wheel: $(TOOLS)
	rm -rf dist build $(VENV)-wheel $(VENV)-runner
	$(BIN)/python -m build --wheel --outdir dist .
	$(PYTHON) -m venv $(VENV)-wheel
	$(VENV)-wheel/bin/python -m pip install --quiet --no-deps dist/*.whl
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > "$$($(VENV)-wheel/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/dependencies.pth"
	cd / && $(CURDIR)/$(VENV)-wheel/bin/python $(CURDIR)/tests/wheel_check.py $(CURDIR)/build/bundle
	$(PYTHON) -m venv $(VENV)-runner
	$(VENV)-runner/bin/python -m pip install --quiet dist/*.whl
	cd / && $(CURDIR)/$(VENV)-runner/bin/python $(CURDIR)/tests/runner_check.py $(CURDIR)/build/bundle

benchmark: $(TOOLS)
	for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

# Exports every preset at its published size and compares it with Keras, in 15 minutes.
presets: $(TOOLS)
	$(BIN)/python benchmarks/presets.py

# Loads 10,000 corrupted bundles. Each must be refused or generate the right text.
fuzz: $(TOOLS)
	$(BIN)/python benchmarks/fuzz_bundle.py

# Applies faults one at a time to a copy of the project: the tests must catch each. Takes an hour;
# `make mutants OPTIONS=--resume` continues a stopped run.
mutants: $(TOOLS)
	$(BIN)/python benchmarks/mutants.py $(OPTIONS)

# Kills a training of each family 20 times and compares its weights with an uninterrupted one.
resume: $(TOOLS)
	SEQ2LITE_KILLS=20 $(BIN)/python -m pytest -m long tests/recipes/test_resume.py

# Measures one recipe under TensorFlow, under JAX, and under JAX in two processes.
distributed: $(TOOLS)
	$(BIN)/python benchmarks/distributed.py

$(INSTALLED): pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'seq2lite needs Python 3.11 or later. Received: ' + sys.version)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[train,split,fetch]'
	touch $@

# Requirements of tests, benchmarks and lint, among them PyTorch, JAX and CTranslate2.
$(TOOLS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(PACKAGE): $(INSTALLED)
	mkdir -p $@
	ln -sfn $(CURDIR)/seq2lite/* $(CURDIR)/zoo $(CURDIR)/export $(CURDIR)/recipes $@
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-wheel $(VENV)-runner build dist runs site *.egg-info
