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

# Pythons and dependencies of `make matrix`, and which tests (all if empty): make matrix MATRIX=3.11-lowest MATRIX_TESTS=tests/smears
MATRIX ?= 3.11-lowest 3.11-newest 3.12-newest 3.13-lowest 3.13-newest
MATRIX_TESTS ?=

.PHONY: demo test check docs fuzz matrix

demo: $(READY)
	$(BIN)/reddino demo --out demo

test: check
	OMP_NUM_THREADS=$(TEST_THREADS) $(BIN)/python -m pytest -n $(TEST_PROCESSES)

# Damaged and hostile files for every reader; findings are kept in FUZZ_FINDINGS, and end it with 1.
fuzz: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/fuzz/fuzz.py --seconds $(FUZZ_SECONDS) --crashes $(FUZZ_FINDINGS) $(FUZZ_TARGETS)

# The documentation as a site in site/: warnings are errors, and a page that would load anything from elsewhere is one.
docs: $(READY)
	$(BIN)/python docs/build_site.py

# The tests under several Pythons, with the lowest and the newest dependencies; needs uv.
matrix:
	tests/matrix.sh $(MATRIX) -- -n $(TEST_PROCESSES) $(MATRIX_TESTS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -e '.[dev,docs]'
	touch $(READY)
