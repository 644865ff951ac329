"""One slide: its counted cells, the fraction of each class with its interval, and the grades."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.figures.fractions import fraction_interval
from reddino.slide_reports.cells import PredictedCells
from reddino.slide_reports.fields import Field, FieldLimits, judged_fields
from reddino.slide_reports.grades import Grades
from reddino.slide_reports.quantification import Errors, Estimate, effective_cells, estimate
from reddino.slide_reports.shapes import Shapes

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Fraction = tuple[float, float, float]
UNKNOWN: Fraction = (math.nan, math.nan, math.nan)

OUTSIDE = "outside"
#: In place of the grades of a slide that is unlike what the classifier learned from.
NOT_GRADED_OUTSIDE = "not graded: outside of what the classifier learned from"


@dataclass(frozen=True)
class ClassOnSlide:
    """A class on a slide.

    Attributes:
        name: of it.
        cells: that were given it.
        plain: their fraction of the answered cells, with the interval of their sampling alone.
        adjusted: the fraction of all counted cells, the classifier's errors taken away; NaN where unknown.
        grade: by the laboratory's thresholds; "" without.
        within, among: cells whose set is this class alone, and holds it; None without sets.
    """

    name: str
    cells: int
    plain: Fraction
    adjusted: Fraction
    grade: str
    within: int | None = None
    among: int | None = None

    @property
    def is_adjusted(self) -> bool:
        """Whether the errors of the classifier are taken away."""
        return math.isfinite(self.adjusted[0])

    @property
    def best(self) -> Fraction:
        """The adjusted fraction where it is known, else the plain one."""
        return self.adjusted if self.is_adjusted else self.plain


@dataclass(frozen=True)
class SlideResult:
    """What is known of a slide.

    Attributes:
        source, name: of it.
        classes: each of the classifier's.
        cells: red cells that count, answered or not, in the fields that are used.
        unnamed: of these, without an answer.
        undecided: of these, with a set of several classes or of none; None without sets.
        border, other: cells in the used fields that count for nothing, as cut by the border or no red cell.
        fields: of it, used or not.
        why_plain: why no fraction is adjusted; "" where they are.
        worth: how many independent cells the counted ones are worth.
        verdict, sentence: how it lies to what the classifier learned from; "" where not compared.
        shapes: of its cells; None: not measured.
        rows: of the counted cells.
    """

    source: str
    name: str
    classes: tuple[ClassOnSlide, ...]
    cells: int
    unnamed: int
    undecided: int | None
    border: int
    other: int
    fields: tuple[Field, ...]
    why_plain: str
    worth: float
    verdict: str
    sentence: str
    shapes: Shapes | None
    rows: Numbers

    @property
    def used(self) -> int:
        """Fields whose cells are counted."""
        return sum(field.used for field in self.fields)

    @property
    def left_out(self) -> list[Field]:
        """Fields whose cells are not."""
        return [field for field in self.fields if not field.used]


@dataclass(frozen=True)
class Counting:
    """How slides are counted.

    Attributes:
        cells: of the predictions.
        errors: of the classifier; None: unknown.
        why_plain: why nothing is adjusted; "" where it is.
        grades: thresholds.
        limits: what fields must be like; None uses all.
        sharpness: of pictures, relative to their source's; empty where not measured.
        sets: (n, k) which classes are in the set of each cell; None without.
        seed: of the bootstrap.
    """

    cells: PredictedCells
    errors: Errors | None
    why_plain: str
    grades: Grades
    limits: FieldLimits | None
    sharpness: dict[str, float]
    sets: npt.NDArray[np.bool_] | None
    seed: int

    def slide(self, key: tuple[str, str], rows: Numbers) -> SlideResult:
        """Count a slide; its shapes are left out.

        Args:
            key: source and name.
            rows: of its cells.
        """
        cells = self.cells
        paths = [cells.paths[row] for row in rows.tolist()]
        red = cells.red[rows]
        fields = judged_fields(paths, red, cells.crowded[rows], self.sharpness, self.limits)
        used = {field.path for field in fields if field.used}
        inside = np.array([path in used for path in paths], dtype=np.bool_)
        counted = rows[inside & red]
        by_field = self._by_field(counted)
        made, why = self._adjusted(by_field)
        verdict, sentence = compared_with_training(self.cells.file.domain, key, sorted(set(paths)))
        sets = None if self.sets is None else self.sets[counted]
        return SlideResult(
            source=key[0],
            name=key[1],
            classes=tuple(self._classes(by_field, made, sets, verdict)),
            cells=len(counted),
            unnamed=int((cells.answer[counted] == len(cells.classes)).sum()),
            undecided=None if sets is None else int((sets.sum(axis=1) != 1).sum()),
            border=int((cells.border[rows] & inside).sum()),
            other=int((cells.other[rows] & ~cells.border[rows] & inside).sum()),
            fields=tuple(fields),
            why_plain=why,
            worth=effective_cells(by_field) if len(counted) else 0.0,
            verdict=verdict,
            sentence=sentence,
            shapes=None,
            rows=counted,
        )

    def _by_field(self, rows: Numbers) -> Real:
        """Return (f, k + 1) counted cells of each field by answer; the last is none."""
        names = np.array([self.cells.paths[row] for row in rows.tolist()], dtype=object)
        fields = np.unique(names, return_inverse=True)[1] if len(rows) else np.zeros(0, np.int64)
        table = np.zeros((int(fields.max(initial=0)) + 1, len(self.cells.classes) + 1))
        np.add.at(table, (fields, self.cells.answer[rows]), 1.0)
        return table

    def _adjusted(self, by_field: Real) -> tuple[Estimate | None, str]:
        if self.errors is None or self.why_plain:
            return None, self.why_plain
        answers = by_field[:, : self.errors.by_group.shape[2]]
        if not answers.sum():
            return None, "no cell is counted"
        return estimate(answers, self.errors, seed=self.seed), ""

    def _classes(
        self, by_field: Real, made: Estimate | None, sets: npt.NDArray[np.bool_] | None, verdict: str
    ) -> list[ClassOnSlide]:
        answered, found = by_field[:, :-1].sum(axis=1), []
        alone = None if sets is None else sets & (sets.sum(axis=1, keepdims=True) == 1)
        for number, name in enumerate(self.cells.classes):
            plain = fraction_interval(by_field[:, number], answered)
            adjusted = UNKNOWN
            if made is not None:
                adjusted = tuple(float(one[number]) for one in (made.fraction, made.low, made.high))  # type: ignore[assignment]
            best = adjusted if math.isfinite(adjusted[0]) else plain
            grade = self.grades.grade(name, int(by_field.sum()), best[1], best[2], self.cells.classes)
            if grade and verdict == OUTSIDE:
                grade = NOT_GRADED_OUTSIDE
            found.append(
                ClassOnSlide(
                    name,
                    int(by_field[:, number].sum()),
                    plain,
                    adjusted,
                    grade,
                    None if alone is None else int(alone[:, number].sum()),
                    None if sets is None else int(sets[:, number].sum()),
                )
            )
        return found


def compared_with_training(
    domain: Mapping[tuple[str, str], tuple[str, str]], key: tuple[str, str], paths: Sequence[str]
) -> tuple[str, str]:
    """Return how a slide lies to what the classifier learned from, with a sentence.

    Where it has no verdict of its own, its pictures may: with half of them outside it is outside, with a
    tenth (or half of them at the edge) at the edge. Without those, the verdict is that on its source.

    Args:
        domain: verdict and sentence by source and slide or picture; "" for a whole source.
        key: source and name of the slide.
        paths: of its pictures.
    """
    if key in domain:
        return domain[key]
    verdicts = [domain[key[0], path][0] for path in paths if (key[0], path) in domain]
    verdicts = [verdict for verdict in verdicts if verdict != "too few cells"]
    if not verdicts:
        verdict, sentence = domain.get((key[0], ""), ("", ""))
        return verdict, f"of the whole source, {sentence}" if sentence else ""
    outside, edge = verdicts.count(OUTSIDE), verdicts.count("at the edge")
    sentence = f"of its {len(verdicts)} compared pictures, {outside} are outside and {edge} at the edge"
    if 2 * outside >= len(verdicts):
        return OUTSIDE, sentence
    if 10 * outside >= len(verdicts) or 2 * (outside + edge) >= len(verdicts):
        return "at the edge", sentence
    return "within", sentence


def titles(slides: Sequence[SlideResult]) -> list[str]:
    """Return the name of each slide, with its source before it where two sources have the same name."""
    names = [slide.name for slide in slides]
    return [f"{slide.source}/{slide.name}" if names.count(slide.name) > 1 else slide.name for slide in slides]
