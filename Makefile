# `make demo` and `make test` set up .venv if needed; Python 3.11 or later is all that must be there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# One thread an operator: the tests also run worker processes, and sums do not depend on the machine's cores.
TEST_THREADS ?= 1
# Processes that share the tests.
TEST_PROCESSES ?= 2

.PHONY: demo test check

demo: $(READY)
	$(BIN)/reddino demo --out demo

test: check
	OMP_NUM_THREADS=$(TEST_THREADS) $(BIN)/python -m pytest -n $(TEST_PROCESSES)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(READY)
