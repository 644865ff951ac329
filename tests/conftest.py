"""What several tests share: the real smear collection, where it is present."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator
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


@pytest.fixture(autouse=True)
def _log_lines_reach_pytest() -> Iterator[None]:
    """Commands set the package's logger up for people, and import-linter switches all loggers off."""
    loggers = logging.root.manager.loggerDict
    ours = [loggers[name] for name in loggers if name == "reddino" or name.startswith("reddino.")]
    for one in ours:
        if isinstance(one, logging.Logger):
            one.disabled = False
    logger = logging.getLogger("reddino")
    before = logger.propagate, logger.level, list(logger.handlers)
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    yield
    logger.propagate, logger.handlers[:] = before[0], before[2]
    logger.setLevel(before[1])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-rounds", type=int, default=1, help="how often each test marked kills is run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    rounds = metafunc.config.getoption("--kill-rounds")
    if rounds > 1 and metafunc.definition.get_closest_marker("kills") is not None:
        metafunc.fixturenames.append("_round")
        metafunc.parametrize("_round", range(rounds))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files of long tests first: a process that comes to one at the end leaves the others idle."""
    marks = ("slow", "kills", "browser")
    long = {item.path for item in items if any(item.get_closest_marker(name) for name in marks)}
    items.sort(key=lambda item: item.path not in long)
