"""Work ahead: order, errors in place, a bound on what is held, and threads that stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from reddino.embedding.prefetch import prefetch, prefetch_map


def test_prefetch__keeps_order() -> None:
    assert list(prefetch(iter(range(100)), depth=3)) == list(range(100))


def test_prefetch__raises_the_error_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in prefetch(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_prefetch__holds_no_more_than_its_depth_and_stops_when_closed() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(10_000):
            made.append(i)
            yield i

    running = prefetch(items(), depth=4)
    assert next(running) == 0
    time.sleep(0.3)
    # One given out, four in the queue, one in hand.
    assert len(made) <= 6
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
    assert len(made) <= 7


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_map_ahead__keeps_order(threads: int) -> None:
    def make(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(prefetch_map(make, range(40), threads)) == [item * item for item in range(40)]


def test_map_ahead__makes_as_many_at_once_as_it_has_threads() -> None:
    together = threading.Barrier(3, timeout=30)

    def make(item: int) -> int:
        together.wait()
        return item

    assert list(prefetch_map(make, range(9), 3)) == list(range(9))


def test_map_ahead__raises_in_place_and_starts_nothing_more() -> None:
    started: list[int] = []

    def make(item: int) -> int:
        started.append(item)
        if item == 5:
            raise ValueError("broken")
        return item

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in prefetch_map(make, range(1000), 2):
            seen.append(item)
    assert seen == [0, 1, 2, 3, 4]
    assert len(started) <= 5 + 1 + 3


def test_prefetch__closes_what_it_takes_from() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.set()

    running = prefetch(items())
    next(running)
    running.close()
    assert closed.is_set()
