"""Work behind: order, a bound on what waits, and errors that reach whoever hands work over."""

from __future__ import annotations

import threading

import pytest

from reddino.embedding.write_behind import WriteBehind


def test_write_behind__does_all_in_order_before_it_is_left() -> None:
    done: list[int] = []
    with WriteBehind(done.append) as behind:
        for item in range(100):
            behind.put(item)
    assert done == list(range(100))


def test_write_behind__works_while_more_is_made() -> None:
    begun, made = threading.Event(), threading.Event()

    def work(_: int) -> None:
        begun.set()
        assert made.wait(30)

    with WriteBehind(work) as behind:
        behind.put(1)
        assert begun.wait(30)
        made.set()


def test_write_behind__an_error_is_raised_where_work_is_handed_over() -> None:
    def work(item: int) -> None:
        if item == 1:
            raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"), WriteBehind(work) as behind:
        for item in range(1000):
            behind.put(item)
        pytest.fail("nobody heard of the error")


def test_write_behind__an_error_of_the_last_item_is_raised_on_leaving() -> None:
    def work(_: int) -> None:
        raise ValueError("the disk is full")

    with pytest.raises(ValueError, match="the disk is full"), WriteBehind(work) as behind:
        behind.put(1)


def test_write_behind__left_by_an_error_drops_what_waits() -> None:
    done: list[int] = []
    first, go_on = threading.Event(), threading.Event()

    def work(item: int) -> None:
        first.set()
        assert go_on.wait(30)
        done.append(item)

    def interrupted() -> None:
        with WriteBehind(work, depth=5) as behind:
            for item in range(4):
                behind.put(item)
            assert first.wait(30)
            threading.Timer(0.1, go_on.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [0]
    assert not [thread for thread in threading.enumerate() if thread.name == "behind"]
