# The commands of the README and of CI. Everything lives in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLE := assets/example-kit.zip
AXE := build/axe/node_modules/axe-core/axe.min.js
# Where tests are marked as faults.
FAULTS := tests/browser tests/faults tests/fleet tests/test_pipeline.py
# Processes that test side by side; each computes with one thread.
WORKERS ?= 2
export TOKENIZERS_PARALLELISM := false

.PHONY: run demo test test-faults test-journey test-load mutants bench bench-page format check example-kit screenshots clean

run: $(VENV)/.installed  ## open the workbench in the browser
	$(BIN)/python app.py

demo: $(VENV)/.installed  ## the example transfer in the terminal; the last line is the result file
	$(BIN)/python -m workbench transfer --kit $(EXAMPLE) --preset best

test: $(VENV)/.installed-dev $(AXE)  ## lint, types and all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

test-faults: $(VENV)/.installed-dev  ## kills, damage, full disks, bad networks, reloads; the last line counts
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -m faults -n $(WORKERS) --dist worksteal $(FAULTS)

test-journey: $(VENV)/.installed-dev  ## the example in the browser with the real models
	$(BIN)/pytest -m journey -s

bench: $(VENV)/.installed-bench  ## tokens per second beside plain transformers and TRL
	$(BIN)/python -m scripts.bench_speed

bench-page: $(VENV)/.installed-dev  ## ticks and page turns under load
	$(BIN)/python scripts/bench_page.py

test-load: $(VENV)/.installed-dev  ## fifty visitors and one attacker; fails when a bound does not hold
	$(BIN)/python scripts/load.py

mutants: $(VENV)/.installed-mutants  ## hours: which small changes do the tests not notice?
	OMP_NUM_THREADS=1 $(BIN)/python scripts/mutants.py --processes $(WORKERS)

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

screenshots: $(VENV)/.installed-dev  ## the README's pictures
	$(BIN)/python scripts/screenshots.py

# DATA is a folder with train.jsonl and test.jsonl of SNIPS (input, output).
example-kit: $(VENV)/.installed  ## make assets/example-kit.zip again
	$(BIN)/python scripts/make_example.py --data $(DATA) --kit $(EXAMPLE)

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-fleet.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-dev.txt
	touch $@

$(VENV)/.installed-mutants: $(VENV)/.installed-dev requirements-mutants.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-mutants.txt
	touch $@

$(VENV)/.installed-bench: $(VENV)/.installed requirements-bench.txt
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements-bench.txt
	touch $@

# What pages are checked with for accessibility; without npm that test alone is skipped.
$(AXE):
	if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --prefix build/axe axe-core@4.14.1; fi

clean:
	rm -rf $(VENV) build
