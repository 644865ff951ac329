"""Who works on the pictures of a manifest: this process, or others that they are dealt to."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from reddino.smears.manifest import Manifest

Result = TypeVar("Result")


class DealsPictures(Protocol):
    """Has pictures worked on by other processes."""

    def results(
        self, work: Callable[[int], Result], manifest: Manifest, numbers: Sequence[int]
    ) -> Generator[Result, None, None]:
        """Yield what `work` returns of some pictures of a manifest, by their numbers and in their order.

        `work` is pickled; several threads of a process call it.
        """
        ...


class WorksHere:
    """Works on one picture after the other in this process."""

    def results(
        self, work: Callable[[int], Result], manifest: Manifest, numbers: Sequence[int]
    ) -> Generator[Result, None, None]:
        """Yield what `work` returns of some pictures, by their numbers and in their order."""
        del manifest
        yield from map(work, numbers)
