"""Sources whose pictures differ: what the verdicts of single pictures add to that of their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from reddino.classification.domain import FLOORS, RATIOS, UnitVerdict, Verdict
from reddino.classification.looks import ALL_MEASURES
from reddino.foundations.counting import counted
from reddino.foundations.visible import short

Real = npt.NDArray[np.float64]

#: Fractions of a source's pictures outside from which it is at the edge, and outside.
SOME, MOST = 0.1, 0.5
#: Pictures outside that are no accident.
LEAST_OUTSIDE = 2
#: Pictures that name each of two kinds of looks at least, and the fraction of all that these are.
LEAST_OF_KIND, LEAST_FRACTION = 3, 0.1
#: Means of two kinds of looks lie so many of their own standard deviations, and so many floors, apart. A
#: normal distribution cut in two comes to 2.7, an even one to 3.5.
APART, FLOORS_APART = 5.0, 3.0
_WORSE: tuple[Verdict, ...] = ("within", "at the edge", "outside")


@dataclass(frozen=True)
class TwoLooks:
    """Pictures of a source that fall into two groups by one measure.

    Attributes:
        measure: by which they differ most.
        low, high: their paths, those of the lower values and of the higher.
        difference: of the means of the measure.
    """

    measure: str
    low: tuple[str, ...]
    high: tuple[str, ...]
    difference: float

    def sentence(self) -> str:
        """Return it in words, with a picture of each group."""
        by = f"{self.measure}, by {self.difference:.2f}"
        if self.measure in RATIOS:
            by = f"{self.measure}, {np.exp(self.difference):.2f} times"
        groups = " and ".join(f"{len(paths)} like {_name(paths[0])}" for paths in (self.low, self.high))
        return (
            f"its pictures are of two looks ({by}: {groups}): if these are two microscopes or stains, give "
            "each a source of its own"
        )


def _name(path: str) -> str:
    """Return the name of a picture without its folders."""
    return short(path.replace("\\", "/").rsplit("/", 1)[-1], 40)


def two_looks(paths: Sequence[str], looks: Real) -> TwoLooks | None:
    """Return by which measure pictures fall into two groups; None where by none.

    Args:
        paths: (p,) of the pictures.
        looks: (p, 9) medians of `ALL_MEASURES` over the cells of each.
    """
    best: tuple[float, TwoLooks] | None = None
    for place, name in enumerate(ALL_MEASURES):
        known = np.flatnonzero(np.isfinite(looks[:, place]))
        least = max(LEAST_OF_KIND, int(np.ceil(LEAST_FRACTION * len(known))))
        if len(known) < 2 * least:
            continue
        order = known[np.argsort(looks[known, place], kind="stable")]
        values, floor = looks[order, place], float(FLOORS[place])
        cut = least + int(np.argmax(np.diff(values)[least - 1 : len(values) - least]))
        parts = values[:cut], values[cut:]
        difference = float(parts[1].mean() - parts[0].mean())
        spread = float(np.sqrt(np.mean([max(float(part.std()), floor / 2) ** 2 for part in parts])))
        apart = difference / spread
        if apart < APART or difference < FLOORS_APART * floor or (best is not None and apart <= best[0]):
            continue
        named = [tuple(paths[row] for row in rows.tolist()) for rows in (order[:cut], order[cut:])]
        best = apart, TwoLooks(name, named[0], named[1], difference)
    return None if best is None else best[1]


def with_pictures(unit: UnitVerdict, pictures: Sequence[UnitVerdict], looks: TwoLooks | None) -> UnitVerdict:
    """Return the verdict of a source, made worse where many of its pictures are outside, which it then names.

    Args:
        unit: the whole source.
        pictures: of it, those that were judged.
        looks: two groups of its pictures; None where they are of one.
    """
    outside = [one for one in pictures if one.verdict == "outside"]
    fraction = len(outside) / len(pictures) if pictures else 0.0
    verdict, sentence = unit.verdict, unit.sentence
    some = len(outside) >= LEAST_OUTSIDE and fraction >= SOME
    if verdict in _WORSE and some:
        by_pictures: Verdict = "outside" if fraction >= MOST else "at the edge"
        verdict = max(verdict, by_pictures, key=_WORSE.index)
    if some and len(outside) < len(pictures):
        names = ", ".join(_name(one.picture) for one in outside[:3])
        more = ", ..." if len(outside) > 3 else ""
        counts = f"{len(outside)} of {counted(len(pictures), 'picture')} are outside ({names}{more})"
        sentence = f"{counts}; {sentence}"
    if looks is not None:
        sentence = f"{looks.sentence()}; {sentence}"
    return replace(unit, verdict=verdict, sentence=sentence)
