"""Smears beside what a classifier or a network learned from: verdicts of slides and sources."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.classification.domain import UnitVerdict, judge, unit_keys
from reddino.classification.looks import Looks, look_at, nanmedian
from reddino.classification.training_cells import TrainingCells, strip_of
from reddino.embedding.border import cells_at_border
from reddino.embedding.view_encoder import Images
from reddino.foundations.stages import stage
from reddino.views.spec import ViewSpec

Real = npt.NDArray[np.float64]
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
    """

    units: tuple[UnitVerdict, ...]
    note: str
    strips: tuple[tuple[str, Images], ...] = ()

    def sources(self) -> tuple[UnitVerdict, ...]:
        """Return the units that are whole sources."""
        return tuple(unit for unit in self.units if not unit.slide)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"note": self.note, "units": [unit.as_dict() for unit in self.units]}


def domain_report(
    table: pa.Table,
    view: ViewSpec,
    kept: TrainingCells | None,
    novelty: Real | None,
    root: Path | None,
    *,
    learned: str = "training cells",
    maker: str = "the classifier",
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
    of_source, of_slide = np.array(sources, dtype=object), np.array(slides, dtype=object)
    units = []
    for source, slide in unit_keys(sources, slides):
        rows = (of_source == source) & ((of_slide == slide) if slide else True)
        look = None if looks is None else nanmedian(looks.measures[rows[looks.rows]])
        own = None if novelty is None else novelty[rows]
        units.append(
            judge(
                source,
                slide,
                own,
                look,
                kept.appearance,
                cells=int(rows.sum()),
                learned=learned,
                learned_cells=None if kept.novelty is None else len(kept.novelty.kept),
            )
        )
    return DomainReport(
        tuple(units), _note(kept, root, maker, learned), _strips(kept, looks, sources, learned)
    )


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
