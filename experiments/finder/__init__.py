"""A learned finder of red cells, tried against the classical one."""

import sys
from pathlib import Path

# the fields and the pairing of the finder's own benchmark
sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
