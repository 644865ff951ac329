"""Which process this is, from what torchrun sets."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from reddino.cli.terminal import is_main_process, show_log
from reddino.foundations.launch import Launch, launched

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_PORT")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger = logging.getLogger("reddino")
    before = logger.level, logger.handlers, logger.propagate
    yield
    logger.level, logger.handlers, logger.propagate = before


def test_launched__is_one_process_without_all_that_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert launched() == Launch(0, 1, 0, 1)
    monkeypatch.setenv("RANK", "3")  # some schedulers set it for jobs that share nothing
    assert launched().rank == 0
    assert is_main_process()


def test_launched__is_what_torchrun_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(NAMES, ("5", "8", "1", "4", "29500"), strict=True):
        monkeypatch.setenv(name, value)
    assert launched() == Launch(rank=5, count=8, local_rank=1, local_count=4)
    assert not is_main_process()
    show_log()
    assert logging.getLogger("reddino").level == logging.WARNING
