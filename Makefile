# Everything runs in .venv, which any target makes first. PYTHON chooses the interpreter it is made from.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
WORKERS ?= auto

.PHONY: install demo test lint bench bench-full bench-whole bench-web campaign docs screenshots coverage clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "nbvault needs Python 3.10 or newer: set PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/nbvault demo

# Neighbours in a file go to one worker as long as there is enough for all: they share what the file sets up.
test: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not campaign"

coverage: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not campaign" --cov --cov-report=term

campaign: $(STAMP)
	$(BIN)/python -m pytest -n $(WORKERS) -m campaign

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	$(BIN)/python -m benchmarks.run quick

bench-full: $(STAMP)
	$(BIN)/python -m benchmarks.run full

# Besides, what takes hours: 70,000 under a limit, and the rivals at 70,000.
bench-whole: $(STAMP)
	$(BIN)/python -m benchmarks.run whole

# The page with 70,000 notebooks and sixty people; needs the package index for locust.
bench-web: $(STAMP)
	$(BIN)/python -m benchmarks.web

# The pictures of docs/web.md; needs Debian's chromium.
screenshots: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m web.screenshots

docs: $(STAMP)
	$(BIN)/python -m pytest -q tests/test_docs.py

clean:
	rm -rf .venv demo dist build
