# One command each; every target makes the virtual environment it needs. `make check` runs all that CI runs.
PYTHON ?= python3
VENV := .venv
BARE := .venv-core
BIN := $(VENV)/bin

.PHONY: demo test check lint types contracts budget core docs format bench fuzz clean

demo: $(VENV)/.ready
	@PATH="$(CURDIR)/$(BIN):$$PATH" bash docs/demo/run.sh

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n auto

check: lint types contracts budget docs test core

lint: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.ready
	$(BIN)/mypy

contracts: $(VENV)/.ready
	$(BIN)/lint-imports --no-cache

budget: $(VENV)/.ready
	$(BIN)/python tests/style_metrics.py --budget ckptlint

docs: $(VENV)/.ready  # generated pages, indexes and schemas are what the code says
	$(BIN)/python docs/generate.py --check

core: $(BARE)/.ready  # the same tests where torch is not installed: those that need it skip
	$(BARE)/bin/python -c "import importlib.util as u; assert u.find_spec('torch') is None"
	$(BARE)/bin/python -m pip install -q --disable-pip-version-check --no-deps --force-reinstall .
	cd / && $(CURDIR)/$(BARE)/bin/ckptlint explain CKK101 >/dev/null  # the wheel has its rules and migrations
	cd / && $(CURDIR)/$(BARE)/bin/ckptlint prove strip-wrappers >/dev/null
	$(BARE)/bin/python -m pytest -n auto

format: $(VENV)/.ready
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/python docs/generate.py

bench: $(VENV)/.ready
	$(BIN)/python benchmarks/run.py

fuzz: $(VENV)/.ready  # a million mutants for every reader and document; TARGETS="pickle torch-zip" chooses
	PYTHONPATH=.:tests $(BIN)/python -m fuzz.run $(TARGETS)

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

$(BARE)/.ready: pyproject.toml
	$(PYTHON) -m venv $(BARE)
	$(BARE)/bin/python -m pip install -q --disable-pip-version-check '.[test]'
	@touch $@

clean:
	rm -rf $(VENV) $(BARE) .mypy_cache .ruff_cache .pytest_cache .hypothesis
