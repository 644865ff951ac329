"""What several tests share: the real smear collection, where it is present."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

# Before torch is imported: small operators gain nothing from threads, and lose much where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# As the package does: no reports over the network, from tests that import these libraries themselves either.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

# A shell's background jobs ignore Ctrl-C, and nohup SIGHUP; commands that tests start would inherit that.
for _name, _handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), _handler)


def smear_collection() -> Path | None:
    """The folder of real smears: REDDINO_SMEARS, else `shared/smears` beside the checkout, else None."""
    named = os.environ.get("REDDINO_SMEARS")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "smears"
    return folder if (folder / "bccd" / "manifest.csv").exists() else None


@pytest.fixture(scope="session")
def smears() -> Path:
    """Path of the real smear collection; skips the test where it is absent."""
    folder = smear_collection()
    if folder is None:
        pytest.skip("the real smear collection is absent: set REDDINO_SMEARS to its folder")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-rounds", type=int, default=1, help="how often each test marked kills is run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = metafunc.config.getoption("--kill-rounds")
    if rounds > 1 and metafunc.definition.get_closest_marker("kills") is not None:
        metafunc.fixturenames.append("_round")
        metafunc.parametrize("_round", range(rounds))
