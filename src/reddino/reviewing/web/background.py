"""The classifier of a review, fitted again in the background as labels come in."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.learning import Probe, RunningScore, fit_probe, held_out_score, stopped_helping
from reddino.reviewing.pool import Labelled, Pool
from reddino.reviewing.records import Suggestion

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opinion:
    """What a classifier predicts for cells.

    Attributes:
        names: of its classes.
        likeliest: (n,) int16 class of each cell, by its place among the names; -1 where it predicts nothing.
        certainty: (n,) float32 probability of that class.
    """

    names: tuple[str, ...]
    likeliest: npt.NDArray[np.int16]
    certainty: npt.NDArray[np.float32]

    @classmethod
    def of(cls, suggestions: Mapping[int, Suggestion], cells: int) -> Opinion | None:
        """Return suggestions by cell in this form; None where there are none."""
        if not suggestions:
            return None
        names = tuple(sorted({one.label for one in suggestions.values()}))
        likeliest, certainty = np.full(cells, -1, np.int16), np.zeros(cells, np.float32)
        for cell, one in suggestions.items():
            likeliest[cell], certainty[cell] = names.index(one.label), one.probability
        return cls(names, likeliest, certainty)


@dataclass(frozen=True)
class Learned:
    """A classifier of this review, and what it predicts for all cells.

    Attributes:
        number: counts up from 1; the classifier's name has it.
        labels: cells that it was fitted on.
        probe: the classifier.
        opinion: what it predicts for all cells.
        seconds: that the fit took, with the probabilities of all cells.
        score: on held-out groups; None while it is being measured.
        enough: whether more labels stopped helping.
    """

    number: int
    labels: int
    probe: Probe
    opinion: Opinion
    seconds: float
    score: RunningScore | None = None
    enough: bool = False

    @property
    def name(self) -> str:
        """Name of the classifier in the records."""
        return f"probe {self.number} of {self.labels} labels"


class BackgroundProbe:
    """Fits in a thread of its own; whoever reads gets what was fitted last.

    A view is whose labels are learned from: "" for those of all readers, else a reader's name, so that a
    blind reader's suggestions come from their own labels.

    Args:
        pool: all cells.
        labelled: returns what a view has labelled so far.
        after: labels after which a view is fitted again.
        scored: keeps a score of a view, and returns the macro F1 of all of the view, in order.
        fitted: called with the view after each fit, in the thread.
    """

    def __init__(
        self,
        pool: Pool,
        labelled: Callable[[str], Labelled],
        *,
        after: int,
        scored: Callable[[str, RunningScore], list[float | None]],
        fitted: Callable[[str], None] = lambda _view: None,
    ) -> None:
        self._pool, self._labelled, self._after = pool, labelled, after
        self._scored, self._fitted = scored, fitted
        self._learned: dict[str, Learned] = {}
        self._tried: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        self._wanted: list[str] = []
        self._running: str | None = None
        self._stopped = False
        self._change = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="review-learner", daemon=True)
        self._thread.start()

    def of(self, view: str) -> Learned | None:
        """Return what was fitted last; None before the first fit."""
        return self._learned.get(view)

    def fault(self, view: str) -> str:
        """Return why there is no classifier; "" where there is one, or will be."""
        return self._faults.get(view, "")

    def busy(self, view: str) -> bool:
        """Return whether a fit is running or waiting."""
        with self._change:
            return self._running == view or view in self._wanted

    def count(self, view: str, labels: int) -> None:
        """Take note of how many labels a view has; fit where enough came since the last fit."""
        if abs(labels - self._tried.get(view, 0)) >= self._after:
            self.request(view)

    def request(self, view: str) -> None:
        """Fit a view as soon as the fit before it is done."""
        with self._change:
            if view not in self._wanted:
                self._wanted.append(view)
                self._change.notify_all()

    def wait(self, view: str, seconds: float) -> bool:
        """Wait until a view has nothing to fit; return whether that came within the time."""
        with self._change:
            return self._change.wait_for(
                lambda: self._running != view and view not in self._wanted, timeout=seconds
            )

    def close(self) -> None:
        """Fit nothing more."""
        with self._change:
            self._stopped = True
            self._change.notify_all()

    def _work(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: bool(self._wanted) or self._stopped)
                if self._stopped:
                    return
                view = self._running = self._wanted.pop(0)
            try:
                self._fit(view)
            except RedDinoError as error:
                self._faults[view] = str(error)
            except Exception:
                log.exception("the classifier of the review could not be fitted")
                self._faults[view] = "the classifier could not be fitted; the server's log holds the reason"
            finally:
                with self._change:
                    self._running = None
                    self._change.notify_all()

    def _fit(self, view: str) -> None:
        started = time.monotonic()
        labelled = self._labelled(view)
        self._tried[view] = len(labelled)
        probe = fit_probe(self._pool, labelled)
        if probe is None:
            self._faults[view] = "a classifier needs labels of two classes"
            self._learned.pop(view, None)
            return
        likeliest, certainty = probe.likeliest(self._pool.features)
        before = self._learned.get(view)
        number = 1 if before is None else before.number + 1
        opinion = Opinion(probe.names, likeliest, certainty)
        found = Learned(number, len(labelled), probe, opinion, time.monotonic() - started)
        if before is not None:
            found = replace(found, score=before.score, enough=before.enough)
        self._faults.pop(view, None)
        self._learned[view] = found
        self._fitted(view)
        score = held_out_score(self._pool, labelled)
        enough = stopped_helping(self._scored(view, score))
        self._learned[view] = replace(found, score=score, enough=enough)
