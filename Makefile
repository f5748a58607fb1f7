# Two commands on a fresh machine: `make demo` and `make test`. Both set up all they need.
PYTHON ?= python3
export RES2NET_NATIVE := 1
VENV := .venv
SCRIPTS := $(if $(filter Windows_NT,$(OS)),Scripts,bin)
BIN := $(VENV)/$(SCRIPTS)
# The versions to install; `make test CONSTRAINTS=` takes the newest.
CONSTRAINTS ?= constraints.txt
# The native engine is built within the package; without a compiler it is left out.
NATIVE := setup.py $(wildcard src/res2net/native/*.cpp src/res2net/native/*.h)
INSTALL := python -m pip install --quiet --disable-pip-version-check
PIP := $(BIN)/$(INSTALL) $(addprefix -c ,$(CONSTRAINTS))

.PHONY: help demo test test-slow test-light test-least test-least-torch coverage check format docs \
	measure dist clean

help:
	@echo "make demo       train a small Res2Net on scanned digits, show scores and pictures"
	@echo "make test       the fast tests"
	@echo "make test-slow  the slow tests"
	@echo "make test-light the light core as 'pip install .' gives it, without PyTorch"
	@echo "make test-least the same, in the oldest versions that pyproject.toml allows"
	@echo "make test-least-torch  the networks, in the oldest versions of the extras 'train', 'pretrain' and 'tasks'"
	@echo "make coverage   the fast tests, the lines that none of them runs in build/coverage/"
	@echo "make check      ruff, mypy, spelling, phrases, the Dockerfile, the workflow"
	@echo "make format     ruff format and the safe fixes"
	@echo "make measure    the benchmarks that this processor can run, and their tables"
	@echo "make docs       the documentation as a site, in site/"
	@echo "make dist       sdist and wheel, and the native engine's wheel, in dist/"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# What users install.
$(VENV)/.train: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(PIP) -e '.[train]'
	@touch $@

# What developers add.
$(VENV)/.dev: pyproject.toml constraints.txt $(NATIVE) | $(BIN)/python
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.train

demo: $(VENV)/.train
	$(BIN)/res2net demo

# One worker a core, each with one thread: the tests share the machine instead of fighting for it.
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart 0

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m "slow and not real"

# $(1): an environment, made anew; $(2): constraints. CC: installing must not need a compiler.
# The tests are those that run without PyTorch; conftest.py needs it.
define light
$(PYTHON) -m venv --clear $(1)
$(2)
env -u RES2NET_NATIVE CC=false CXX=false $(1)/$(SCRIPTS)/$(INSTALL) $(3) . pytest hypothesis
$(1)/$(SCRIPTS)/res2net info res2net50_26w_4s
$(1)/$(SCRIPTS)/python -m pytest --noconftest $(LIGHT)
endef
LIGHT := tests/paper --ignore tests/paper/test_tasks.py tests/test_optionfile.py \
	tests/test_config.py tests/test_errors.py tests/cli/test_parser.py tests/data/test_values.py

test-light:
	$(call light,$(VENV)-light,,)

# PyYAML 6.0 and NumPy 1.26 have no wheels for the newest Pythons: PYTHON=python3.11.
test-least:
	$(call light,$(VENV)-least,$(PYTHON) tools/least_versions.py >$(LEAST),-c $(LEAST))
test-least: LEAST := $(VENV)-least/least.txt

# PyTorch for GPUs comes with gigabytes; PIP_EXTRA_INDEX_URL names an index of wheels for CPUs.
# matplotlib 3.8 uses names that pyparsing deprecates from 3.3 on.
test-least-torch:
	$(PYTHON) -m venv --clear $(VENV)-least-torch
	$(PYTHON) tools/least_versions.py pretrain tasks >$(VENV)-least-torch/least.txt
	env -u RES2NET_NATIVE $(VENV)-least-torch/$(SCRIPTS)/$(INSTALL) -c $(VENV)-least-torch/least.txt \
		'.[pretrain,tasks]' 'pyparsing<3.3' pytest pytest-xdist hypothesis
	OMP_NUM_THREADS=1 $(VENV)-least-torch/$(SCRIPTS)/python -m pytest -n auto --dist loadfile \
		tests/nn tests/training tests/tasks/classify tests/cli/test_demo.py \
		--deselect tests/tasks/classify/test_multilabel.py::test_what_it_cannot_do_is_told

# Files of GPUs and clusters are left out by name, with the reason, in pyproject.toml.
coverage: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile \
		--cov --cov-report term --cov-report html $(TESTS) $(if $(TESTS),--cov-fail-under 0)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python tools/check_words.py
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.citation-file-format CITATION.cff
	$(BIN)/zizmor --offline --quiet .github/workflows

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# About two hours; run it while nothing else runs. `python tools/measure.py --list` shows what it does.
measure: $(VENV)/.dev
	$(BIN)/python tools/measure.py
	$(BIN)/python tools/render_docs.py

# The sdist first, then the wheel from it: what is not in the one is not in the other.
# Pure Python; the native engine is a wheel of its own, of this platform.
dist: $(VENV)/.dev
	RES2NET_NATIVE=0 $(BIN)/python -m build --no-isolation
	$(BIN)/python -m build --no-isolation --wheel --outdir dist native
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) $(VENV)-light $(VENV)-least $(VENV)-least-torch build dist site
	rm -rf .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis
