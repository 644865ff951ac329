"""Which cells come next: the rows that fit a reader's query, in the order that it names."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.reviewing.choices import DESCRIPTIONS
from reddino.reviewing.pool import Labelled, Numbers, Pool
from reddino.reviewing.ranking import rank
from reddino.reviewing.state import ReviewState
from reddino.reviewing.web.background import Learned, Opinion
from reddino.reviewing.web.facets import Facet
from reddino.reviewing.web.page_requests import CellQuery

Mask = npt.NDArray[np.bool_]

#: Cells that are ranked at once, and seconds after which cells are shown in another order meanwhile.
RANKED, PATIENCE = 240, 1.2
#: Line-ups that are kept.
_KEPT = 16


@dataclass(frozen=True)
class Known:
    """What is known when cells are chosen.

    Attributes:
        reader: who requests cells.
        view: whose labels the classifier learned from, see `BackgroundProbe`.
        state: verdicts that the reader may see.
        everyone: all verdicts, for the second reading of a blind reader.
        labelled: what was labelled so far.
        learned: the classifier; None before the first fit.
        opinion: what it predicts for the cells, or an earlier classifier before the first fit; None: neither.
    """

    reader: str
    view: str
    state: ReviewState
    everyone: ReviewState
    labelled: Labelled
    learned: Learned | None
    opinion: Opinion | None


class Lineup:
    """Ranks cells in a thread of its own, and keeps what it ranked until a new classifier makes it old.

    Args:
        pool: all cells.
        facets: their columns.
        offered: (n,) cells that come up by default; others only by their verdicts, or under all.
    """

    def __init__(self, pool: Pool, facets: Mapping[str, Facet], offered: Mask) -> None:
        self._pool, self._facets, self._offered = pool, facets, offered
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="review-lineup")
        self._ranked: OrderedDict[tuple[str, CellQuery], Future[Numbers]] = OrderedDict()
        self._working: dict[tuple[str, CellQuery], Future[Numbers]] = {}
        self._lock = threading.RLock()

    def busy(self, view: str) -> bool:
        """Return whether an order that readers of a view requested is being worked out."""
        with self._lock:
            return any(not one.done() for key, one in self._working.items() if key[0] == view)

    def close(self) -> None:
        """Rank nothing more."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def next(self, query: CellQuery, known: Known, count: int, without: Numbers) -> tuple[Numbers, int, bool]:
        """Return the next rows.

        Returns:
            The rows (k <= count,), how many fit in all, and whether they are in the requested order: a first
            ranking of many cells takes a while, and chance orders them meanwhile.
        """
        among = self.matching(query, known)
        among[without] = False
        left = np.flatnonzero(among)
        if not len(left):
            return left, 0, True
        if query.order in DESCRIPTIONS and query.status == "open" and query.reader is None:
            rows = self._kept(query, known, among, count)
        elif query.order in ("strangest", "like"):
            # What they need is measured once, and takes a while for many cells.
            rows = self._result(self._worker.submit(self._sorted, query, known, left, count))
        else:
            rows = self._sorted(query, known, left, count)
        if rows is None:
            return self._by_chance(left)[:count], len(left), False
        return rows, len(left), True

    def refresh(self, view: str, known: Callable[[str], Known]) -> None:
        """Rank again what readers of a view requested last; they get the former order until that is done."""
        with self._lock:
            stale = [key for key in self._ranked if key[0] == view]
        for key in stale[-2:]:
            found = self._start(key, known(view))
            found.add_done_callback(lambda done, key=key: self._replace(key, done))  # type: ignore[misc]
        with self._lock:
            for key in stale[:-2]:
                self._ranked.pop(key, None)

    def matching(self, query: CellQuery, known: Known) -> Mask:
        """Return which cells (n,) fit the filters."""
        fits = self._by_status(query, known)
        for name, facet in self._facets.items():
            wanted = getattr(query, name)
            if wanted is not None:
                fits &= facet.rows(wanted)
        if query.by_classifier:
            fits &= self._by_classifier(query, known)
        return fits

    def _by_status(self, query: CellQuery, known: Known) -> Mask:
        state, everyone = known.state, known.everyone
        answered = self._mask(state.answered(query.reader))
        skipped = state.skipped.get(known.reader, frozenset())
        if query.status == "open":
            # A reader is only named to see their verdicts.
            if query.reader is not None:
                return answered
            return self._offered & ~answered & ~self._mask(skipped)
        if query.status == "second":
            return self._mask(everyone.answered() - everyone.answered(known.reader) - skipped)
        if query.status == "all":
            return answered if query.reader is not None else np.ones(len(self._pool), dtype=np.bool_)
        rows: dict[str, Iterable[int]] = {
            "skipped": state.skipped.get(query.reader or known.reader, frozenset()),
            "disputed": state.disputed(),
            "noted": state.notes,
        }
        return self._mask(rows[query.status] if query.status in rows else _verdicts_of(query, state))

    def _by_classifier(self, query: CellQuery, known: Known) -> Mask:
        opinion = known.opinion
        if opinion is None:
            return np.zeros(len(self._pool), dtype=np.bool_)
        fits: Mask = (opinion.certainty >= query.low) & (opinion.certainty <= query.high)
        if query.predicted is not None:
            names = opinion.names
            fits &= opinion.likeliest == (names.index(query.predicted) if query.predicted in names else -2)
        return fits

    def _sorted(self, query: CellQuery, known: Known, left: Numbers, count: int) -> Numbers:
        opinion = known.opinion
        if query.order == "like" and query.like is not None:
            among = np.zeros(len(self._pool), dtype=np.bool_)
            among[left] = True
            return self._pool.nearest([query.like], count, among)
        if query.order == "strangest":
            keys: tuple[npt.NDArray[np.generic], ...] = (-self._pool.strangeness[left],)
        elif query.order in ("least_certain", "predicted") and opinion is not None:
            certainty = opinion.certainty[left]
            keys = (certainty,) if query.order == "least_certain" else (-certainty, opinion.likeliest[left])
        elif query.status == "second":
            return self._by_chance(left)[:count]
        else:
            keys = (left,)
        order: Numbers = np.lexsort(keys).astype(np.int64)
        return left[order][:count]

    def _by_chance(self, rows: Numbers) -> Numbers:
        """Return rows in an order that is drawn once for all cells, so that the next page continues it."""
        places = np.random.default_rng(0).permutation(len(self._pool))
        return rows[np.argsort(places[rows], kind="stable")]

    def _kept(self, query: CellQuery, known: Known, among: Mask, count: int) -> Numbers | None:
        """Return the next rows by a strategy; None where its first ranking takes too long."""
        key = (known.view, query)
        with self._lock:
            waiting = self._ranked.get(key)
            if waiting is None or _is_broken(waiting):
                waiting = self._ranked[key] = self._start(key, known)
            self._ranked.move_to_end(key)
            while len(self._ranked) > _KEPT:
                self._ranked.popitem(last=False)
        rows = self._result(waiting)
        if rows is None:
            return None
        free = rows[among[rows]]
        if len(free) >= count or (len(rows) < RANKED and len(free)):
            return free[:count]
        # Nearly all of the line-up is answered, or put off.
        again = self._start(key, known, among)
        with self._lock:
            self._ranked[key] = again
        found = self._result(again)
        return None if found is None else found[:count]

    def _start(self, key: tuple[str, CellQuery], known: Known, among: Mask | None = None) -> Future[Numbers]:
        started = self._worker.submit(self._rank, key[1], known, among)
        with self._lock:
            self._working = {one: other for one, other in self._working.items() if not other.done()}
            self._working[key] = started
        return started

    def _result(self, waiting: Future[Numbers]) -> Numbers | None:
        try:
            return waiting.result(timeout=PATIENCE)
        except TimeoutError:
            return None

    def _rank(self, query: CellQuery, known: Known, among: Mask | None = None) -> Numbers:
        rows = np.flatnonzero(self.matching(query, known) if among is None else among)
        if not len(rows):
            return rows
        learned = known.learned
        return rank(
            query.order,  # type: ignore[arg-type]
            self._pool,
            known.labelled,
            count=RANKED,
            probe=None if learned is None else learned.probe,
            sought=[query.sought] if query.sought in known.labelled.names else (),
            among=rows,
            seed=len(known.labelled),
        )

    def _replace(self, key: tuple[str, CellQuery], done: Future[Numbers]) -> None:
        with self._lock:
            if key in self._ranked and not _is_broken(done):
                self._ranked[key] = done

    def _mask(self, rows: Iterable[int]) -> Mask:
        found = np.zeros(len(self._pool), dtype=np.bool_)
        found[np.fromiter(rows, dtype=np.int64)] = True
        return found


def _verdicts_of(query: CellQuery, state: ReviewState) -> list[int]:
    """Return the cells with a verdict of the kind, class and reader that were requested."""
    kind = "label" if query.status == "labelled" else query.status
    return [
        cell
        for cell, verdicts in state.verdicts.items()
        if any(
            verdict.kind == kind
            and query.reader in (None, verdict.reader)
            and query.label in (None, verdict.label)
            for verdict in verdicts.values()
        )
    ]


def _is_broken(waiting: Future[Numbers]) -> bool:
    return waiting.cancelled() or (waiting.done() and waiting.exception() is not None)
