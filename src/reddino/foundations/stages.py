"""Stages of long work: each has a name and reports its progress to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeAlias, TypeVar

Item = TypeVar("Item")
#: Takes how many are done, and how many there are in all (0: unknown).
Advance: TypeAlias = Callable[[int, int], None]
#: Shows a stage of a name for as long as its context is open.
Show: TypeAlias = Callable[[str], AbstractContextManager[Advance]]


@contextmanager
def _unseen(name: str) -> Iterator[Advance]:
    yield lambda done, total: None


#: Those that show stages; the last does.
_shows: list[Show] = [_unseen]


@contextmanager
def shown_by(show: Show) -> Iterator[None]:
    """Let `show` show every stage that begins while the context is open; without one, none is shown."""
    _shows.append(show)
    try:
        yield
    finally:
        _shows.pop()


@contextmanager
def stage(name: str) -> Iterator[Advance]:
    """Name what takes a while.

    As in `with stage("finding copies") as advance: ...; advance(3, 10)`, of steps done and steps in all.
    Stages may lie within one another; only the main thread opens them.
    """
    with _shows[-1](name) as advance:
        yield advance


def watched(items: Collection[Item], name: str) -> Iterator[Item]:
    """Yield `items` one after the other, as a stage of that name."""
    with stage(name) as advance:
        for done, item in enumerate(items):
            advance(done, len(items))
            yield item
        advance(len(items), len(items))
