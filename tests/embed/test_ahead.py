"""Work ahead: order, errors in place, a bound on what is held, and a thread that stops."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from reddino.embed.ahead import ahead


def test_ahead__keeps_order() -> None:
    assert list(ahead(iter(range(100)), depth=3)) == list(range(100))


def test_ahead__raises_the_error_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    seen = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [1, 2]


def test_ahead__holds_no_more_than_its_depth_and_stops_when_closed() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(10_000):
            made.append(i)
            yield i

    running = ahead(items(), depth=4)
    assert next(running) == 0
    time.sleep(0.3)
    # One given out, four in the queue, one in hand.
    assert len(made) <= 6
    running.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "ahead"]
    assert len(made) <= 7
