# `make demo` and `make test` set up .venv if needed; Python 3.11 or later is all that must be there.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# One thread an operator: the tests also run worker processes, and sums do not depend on the machine's cores.
TEST_THREADS ?= 1
# Processes that share the tests.
TEST_PROCESSES ?= 2
# Seconds for all targets together, and which (all if empty): make fuzz FUZZ_SECONDS=3600 FUZZ_TARGETS="tar coco"
FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?=
FUZZ_FINDINGS ?= fuzz-findings

.PHONY: demo test check fuzz

demo: $(READY)
	$(BIN)/reddino demo --out demo

test: check
	OMP_NUM_THREADS=$(TEST_THREADS) $(BIN)/python -m pytest -n $(TEST_PROCESSES)

# Damaged and hostile files for every reader; findings are kept in FUZZ_FINDINGS, and end it with 1.
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --crashes $(FUZZ_FINDINGS) $(FUZZ_TARGETS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	touch $(READY)
