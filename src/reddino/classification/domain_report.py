"""Smears compared with what a classifier or a network learned from: verdicts of slides and sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.classification.domain import LEAST_CELLS, UnitVerdict, judge, unit_keys
from reddino.classification.looks import Looks, look_at, medians, nanmedian
from reddino.classification.picture_verdicts import TwoLooks, two_looks, with_pictures
from reddino.classification.training_cells import TrainingCells, strip_of
from reddino.embedding.border import cells_at_border
from reddino.embedding.view_encoder import Images
from reddino.foundations.stages import stage
from reddino.views.spec import ViewSpec

Real = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
#: Verdicts with which an error rate that was measured on training cells need not hold.
BEYOND = ("outside", "at the edge")
#: Pictures and cells of each that are sampled: of a slide, and of a source that names none.
SLIDE_PICTURES, SOURCE_PICTURES, PICTURE_CELLS = 4, 24, 10
#: Rows of the picture besides the training cells.
MOST_STRIPS = 12


@dataclass(frozen=True)
class DomainReport:
    """How smears lie to what was learned from.

    Attributes:
        units: each source, followed by its slides.
        note: what could not be compared, in one sentence; "" where everything could.
        strips: (name, cells side by side) of the training cells and of each source.
        pictures: of sources that name no slides, each picture with enough cells; of a source that is outside,
            those that are so too.
    """

    units: tuple[UnitVerdict, ...]
    note: str
    strips: tuple[tuple[str, Images], ...] = ()
    pictures: tuple[UnitVerdict, ...] = ()

    def sources(self) -> tuple[UnitVerdict, ...]:
        """Return the units that are whole sources."""
        return tuple(unit for unit in self.units if not unit.slide)

    def beyond(self) -> tuple[UnitVerdict, ...]:
        """Return the sources and slides that are outside or at the edge; slides only of sources within."""
        odd = [unit for unit in self.units if unit.verdict in BEYOND]
        whole = {unit.source for unit in odd if not unit.slide}
        return tuple(unit for unit in odd if not unit.slide or unit.source not in whole)

    def verdicts_of(self, sources: Sequence[str], slides: Sequence[str], paths: Sequence[str]) -> list[str]:
        """Return the verdict (n,) on the slide of each cell, or picture where it names none, or else source.

        "" where there is none.
        """
        known: dict[tuple[str, str, str], str] = {
            (unit.source, unit.slide, unit.picture): unit.verdict for unit in (*self.units, *self.pictures)
        }
        found = []
        for source, slide, path in zip(sources, slides, paths, strict=True):
            own = known.get((source, slide, "") if slide else (source, "", path), "too few cells")
            found.append(known.get((source, "", ""), "") if own == "too few cells" else own)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values; of pictures without what they are made of."""
        short = ("source", "picture", "cells", "verdict", "sentence", "far", "novelty")
        pictures = [{name: getattr(unit, name) for name in short} for unit in self.pictures]
        return {
            "note": self.note,
            "units": [unit.as_dict() for unit in self.units],
            **({"pictures": pictures} if pictures else {}),
        }


def domain_report(
    table: pa.Table,
    view: ViewSpec,
    kept: TrainingCells | None,
    novelty: Real | None,
    root: Path | None,
    *,
    learned: str = "training cells",
    maker: str = "the classifier",
    known: bool = True,
) -> DomainReport:
    """Compare the rows of a table, by slide and source, with what was learned from.

    Args:
        table: rows with the manifest's columns and the places of their views; cells that the border cuts are
            passed over.
        view: that they were cut as.
        kept: of the training cells; None where it was made before they were kept.
        novelty: (n,) of the rows; None: not scored.
        root: folder of the pictures; None where only vectors are at hand.
        learned: what the cells are called that were learned from.
        maker: what learned from them.
        known: whether the sources learned from are the user's own, so that they may be named.
    """
    if kept is None or (kept.novelty is None and kept.appearance is None):
        return DomainReport(
            (), f"{maker} keeps nothing of its {learned}, so no smear can be compared with them"
        )
    whole = np.flatnonzero(~cells_at_border(table))
    table, novelty = table.take(whole), None if novelty is None else novelty[whole]
    sources, slides = _text(table, "source"), _text(table, "slide")
    looks = None
    if root is not None and kept.appearance is not None:
        with stage("comparing looks"):
            looks = _look(table, root, view, sources, slides)
    scored = _Scored(table, novelty, looks, kept, learned, known)
    units, pictures = [], []
    for source, slide in unit_keys(sources, slides):
        unit = scored.judged(scored.rows(source, slide), source, slide)
        if not slide:
            own = scored.pictures(source)
            unit = with_pictures(unit, own, scored.two_looks(source))
            # Of a source that is outside, no picture is less so: by few cells it may seem to be.
            pictures += [one for one in own if unit.verdict != "outside" or one.verdict == "outside"]
        units.append(unit)
    strips = _strips(kept, looks, sources, learned)
    return DomainReport(tuple(units), _note(kept, root, maker, learned), strips, tuple(pictures))


@dataclass(frozen=True)
class _Scored:
    """Whole cells with their novelty and the looks of some, from which units are judged."""

    table: pa.Table
    novelty: Real | None
    looks: Looks | None
    kept: TrainingCells
    learned: str
    known: bool

    @cached_property
    def _of(self) -> dict[str, npt.NDArray[np.object_]]:
        return {name: np.array(_text(self.table, name), dtype=object) for name in ("source", "slide", "path")}

    def rows(self, source: str, slide: str) -> Flags:
        """Return which rows (n,) are of a source, or of a slide of it."""
        mine = self._of["source"] == source
        return np.asarray(mine & (self._of["slide"] == slide) if slide else mine, dtype=np.bool_)

    def judged(self, rows: Flags, source: str, slide: str, picture: str = "") -> UnitVerdict:
        """Return the verdict on these rows."""
        novelty = self.kept.novelty
        return judge(
            source,
            slide,
            None if self.novelty is None else self.novelty[rows],
            None if self.looks is None else nanmedian(self.looks.measures[rows[self.looks.rows]]),
            self.kept.appearance,
            cells=int(rows.sum()),
            learned=self.learned,
            learned_cells=None if novelty is None else len(novelty.kept),
            known=self.known,
            picture=picture,
        )

    def pictures(self, source: str) -> list[UnitVerdict]:
        """Return the verdicts of pictures of a source that name no slide, of those with enough cells."""
        unnamed = np.flatnonzero(self.rows(source, "") & (self._of["slide"] == ""))
        names, number = np.unique(self._of["path"][unnamed].astype(str), return_inverse=True)
        found = []
        for place in np.flatnonzero(np.bincount(number, minlength=len(names)) >= LEAST_CELLS).tolist():
            rows = np.zeros(len(self.table), np.bool_)
            rows[unnamed[number == place]] = True
            found.append(self.judged(rows, source, "", str(names[place])))
        return found

    def two_looks(self, source: str) -> TwoLooks | None:
        """Return how the sampled pictures of a source that name no slide fall into two groups, if they do."""
        if self.looks is None:
            return None
        mine = (self.rows(source, "") & (self._of["slide"] == ""))[self.looks.rows]
        if not mine.any():
            return None
        paths, looks = medians(self.looks.measures[mine], self._of["path"][self.looks.rows[mine]].tolist())
        return two_looks(paths, looks)


def _note(kept: TrainingCells, root: Path | None, maker: str, learned: str) -> str:
    if kept.appearance is None:
        return (
            f"{maker} was made from vectors, without pictures, so stain, sharpness and scale are not compared"
        )
    if root is None:
        return "vectors were given, without pictures, so stain, sharpness and scale are not compared"
    if kept.novelty is None:
        return f"{maker} keeps no vectors of its {learned}, so only looks are compared"
    return ""


def _look(
    table: pa.Table, root: Path, view: ViewSpec, sources: Sequence[str], slides: Sequence[str]
) -> Looks:
    keys = list(zip(sources, slides, strict=True))
    pictures = SLIDE_PICTURES if any(slides) else SOURCE_PICTURES
    return look_at(table, root, view, keys, pictures=pictures, cells=PICTURE_CELLS)


def _strips(
    kept: TrainingCells, looks: Looks | None, sources: Sequence[str], learned: str
) -> tuple[tuple[str, Images], ...]:
    if looks is None or not len(looks.rows):
        return ()
    strips = [] if kept.strip is None else [(learned, kept.strip)]
    of_row = np.array([sources[row] for row in looks.rows.tolist()], dtype=object)
    for source in sorted(set(of_row.tolist()))[:MOST_STRIPS]:
        strips.append((source or "(no source)", strip_of(looks.views[of_row == source])))
    return tuple(strips)


def _text(table: pa.Table, column: str) -> list[str]:
    return ["" if value is None else str(value) for value in table.column(column).to_pylist()]
