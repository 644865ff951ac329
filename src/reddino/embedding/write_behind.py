"""Do work behind in a background thread, so that vectors are written while the network computes more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Generic, TypeVar

Item = TypeVar("Item")


class WriteBehind(Generic[Item]):
    """Hands items to `work` in their order, in one background thread.

    Leaving the context waits until all is done; leaving it by an error drops what waits. An error in the
    thread is raised by the next `put`, or on leaving.

    Args:
        work: what is done with each item.
        depth: items that may wait; `put` blocks beyond that.
    """

    def __init__(self, work: Callable[[Item], None], depth: int = 2) -> None:
        self._work = work
        self._waiting: queue.Queue[Item | None] = queue.Queue(maxsize=depth)
        self._error: BaseException | None = None
        self._dropping = False
        self._thread = threading.Thread(target=self._run, name="behind", daemon=True)

    def __enter__(self) -> WriteBehind[Item]:
        self._thread.start()
        return self

    def put(self, item: Item) -> None:
        """Hand over an item."""
        self._raise()
        self._waiting.put(item)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dropping = error is not None
        self._waiting.put(None)
        self._thread.join()
        if error is None:
            self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        # After an error the queue is still emptied, so that nobody waits for ever for a place in it.
        while (item := self._waiting.get()) is not None:
            if self._error is None and not self._dropping:
                try:
                    self._work(item)
                except BaseException as error:
                    self._error = error
