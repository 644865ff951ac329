"""What the pretraining tests share: log lines reach pytest whatever ran before."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _log_lines_reach_pytest() -> Iterator[None]:
    """The command line, which other tests run, sets the package's logger up for people."""
    logger = logging.getLogger("reddino")
    before = logger.propagate, logger.level
    logger.propagate = True
    logger.setLevel(logging.NOTSET)
    yield
    logger.propagate = before[0]
    logger.setLevel(before[1])
