# Two commands on a fresh machine: `make demo` and `make test`. Both set up all they need.
PYTHON ?= python3
export RES2NET_NATIVE := 1
VENV := .venv
BIN := $(VENV)/bin
# The native engine is built within the package; without a compiler it is left out.
NATIVE := setup.py $(wildcard src/res2net/native/*.cpp src/res2net/native/*.h)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help demo test test-slow check format docs measure dist clean

help:
	@echo "make demo       train a small Res2Net on scanned digits, show scores and pictures"
	@echo "make test       the fast tests"
	@echo "make test-slow  the slow tests"
	@echo "make check      ruff and mypy"
	@echo "make format     ruff format and the safe fixes"
	@echo "make measure    the benchmarks that this processor can run, and their tables"
	@echo "make docs       the API reference, in site/"
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

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev
	$(BIN)/python tools/make_docs.py

# About two hours; run it while nothing else runs. `python tools/measure.py --list` shows what it does.
measure: $(VENV)/.dev
	$(BIN)/python tools/measure.py
	$(BIN)/python tools/render_docs.py

# The sdist first, then the wheel from it: what is not in the one is not in the other.
# Pure Python; the native engine is a wheel of its own, of this platform.
dist: $(VENV)/.dev
	RES2NET_NATIVE=0 $(BIN)/python -m build --no-isolation
	$(BIN)/python -m build --no-isolation --wheel --outdir dist native

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
