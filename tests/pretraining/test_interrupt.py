"""Ctrl-C and SIGTERM stop a run after its step; a second Ctrl-C stops it at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from reddino.pretraining.run.interrupt import Interruption


@pytest.fixture(autouse=True)
def _signals_do_not_end_the_tests() -> Iterator[None]:
    """A signal that goes unheeded is to fail a test, not to kill pytest."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, lambda *_: None)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interruption__is_noted_and_handlers_are_put_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Interruption() as interruption:
        requested = [interruption.requested]
        signal.raise_signal(number)
        requested.append(interruption.requested)
    assert requested == [False, True]
    assert signal.getsignal(number) is before


def test_interruption__a_second_ctrl_c_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Interruption():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_interruption__a_second_sigterm_still_waits_for_the_step() -> None:
    with Interruption() as interruption:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert interruption.requested


def test_interruption__outside_the_main_thread_is_left_to_the_caller() -> None:
    asked: list[bool] = []

    def work() -> None:
        with Interruption() as interruption:
            asked.append(interruption.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
