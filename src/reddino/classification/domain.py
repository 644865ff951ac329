"""Whether smears lie within what was learned from: a verdict for each slide and source, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from reddino.classification.looks import ALL_MEASURES
from reddino.classification.novelty import FAR

Real = npt.NDArray[np.float64]
Verdict = Literal["within", "at the edge", "outside", "too few cells"]

#: Fractions of far cells from which a unit is at the edge, and outside. Left-out laboratories that a
#: classifier served had up to 0.19, those that it failed on 0.70 and more (docs/how-to/novelty.md).
FAR_EDGE, FAR_OUTSIDE = 0.25, 0.5
#: Spreads of the training pictures from which a look is at the edge, and outside.
LOOK_EDGE, LOOK_OUTSIDE = 3.0, 6.0
#: Cells below which a unit gets no verdict.
LEAST_CELLS = 10
#: Vectors of what was learned from, below which "farther than 95 % of them" means nothing.
LEAST_LEARNED = 30
#: Smallest spread of each of `ALL_MEASURES`: pictures of one slide differ less than the next slide will.
FLOORS = np.array([0.06, 0.03, 0.03, 0.06, 0.05, 0.05, 0.15, 0.06, 0.15])
#: Measures that are logarithms, whose difference is a ratio.
RATIOS = {
    "background brightness": "its background is {ratio:.2f} times as bright as {whose}",
    "sharpness": "its edges are {ratio:.2f} times as sharp as {whose}",
    "scale": "its cells are {ratio:.2f} times as many pixels across as {whose}",
}


@dataclass(frozen=True)
class Appearance:
    """How the pictures look that were learned from.

    Attributes:
        sources: names.
        source: (p,) number of each picture's source.
        medians: (p, 9) medians of `ALL_MEASURES` over the sampled cells of each picture.
    """

    sources: tuple[str, ...]
    source: npt.NDArray[np.int64]
    medians: Real

    def centre_and_spread(self) -> tuple[Real, Real]:
        """Return the median of each measure over each source's pictures (s, 9), and the spread (s, 9)."""
        centre = np.full((len(self.sources), self.medians.shape[1]), np.nan)
        spread = np.tile(FLOORS, (len(self.sources), 1))
        for number in range(len(self.sources)):
            own = self.medians[self.source == number]
            for place, column in enumerate(own.T):
                known = column[np.isfinite(column)]
                if len(known):
                    centre[number, place] = np.median(known)
                    deviation = 1.4826 * float(np.median(np.abs(known - centre[number, place])))
                    spread[number, place] = max(deviation, FLOORS[place])
        return centre, spread


@dataclass(frozen=True)
class UnitVerdict:
    """A slide or source compared with what was learned from.

    Attributes:
        source, slide: names; the slide is empty where a whole source, or a picture, is meant.
        cells: that were scored.
        verdict: of the whole.
        sentence: the measure that decided, and by how much.
        far: fraction of its cells that lie farther than 95 % of the held-out training cells; None: unknown.
        novelty: median of its cells.
        nearest: the source of the training cells that looks most alike; None: looks are unknown, or the
            sources are not the user's.
        looks: measure -> value, training value, spreads apart, verdict.
        picture: path of the one picture that is meant; "" where a slide or source is.
    """

    source: str
    slide: str
    cells: int
    verdict: Verdict
    sentence: str
    far: float | None
    novelty: float | None
    nearest: str | None
    looks: Mapping[str, Mapping[str, Any]]
    picture: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**vars(self), "looks": {name: dict(value) for name, value in self.looks.items()}}


def judge(
    source: str,
    slide: str,
    novelty: Real | None,
    look: Real | None,
    appearance: Appearance | None,
    *,
    cells: int,
    learned: str = "training cells",
    learned_cells: int | None = None,
    known: bool = True,
    picture: str = "",
) -> UnitVerdict:
    """Compare a slide, a source or a picture with what was learned from.

    The vectors decide between within and outside; looks that are outside make a unit at least 'at the edge':
    a network may see through a foreign stain, which its vectors then show.

    Args:
        source: name of the source.
        slide: name of the slide; empty for a whole source.
        novelty: (n,) of its cells; None: unknown.
        look: (9,) medians of its sampled cells; None: no pixels at hand.
        appearance: of what was learned from; None: unknown.
        cells: of the unit.
        learned: what the cells are called that it is compared with.
        learned_cells: how many of their vectors are kept; None: unknown.
        known: whether the sources learned from are the user's own, so that their names mean something.
        picture: path, where one picture is meant.
    """
    far = None if novelty is None or not len(novelty) else float((novelty > FAR).mean())
    nearest, looks = (None, {}) if look is None or appearance is None else compare(look, appearance)
    by_vectors: Verdict = "within" if far is None else _grade(far, FAR_EDGE, FAR_OUTSIDE)
    worst = max(looks.values(), key=lambda one: one["spreads"], default=None)
    verdict = by_vectors
    if verdict == "within" and worst is not None and worst["verdict"] == "outside":
        verdict = "at the edge"
    few_learned = learned_cells is not None and learned_cells < LEAST_LEARNED
    if cells < LEAST_CELLS or few_learned:
        verdict = "too few cells"
    sentence = _sentence(
        verdict,
        by_vectors=by_vectors,
        far=far,
        looks=looks,
        nearest=nearest if known else None,
        few=f"{learned_cells} {learned} are" if few_learned else f"{cells} cells are",
        learned=learned,
    )
    middle = None if novelty is None or not len(novelty) else float(np.median(novelty))
    alike = nearest if known else None
    return UnitVerdict(source, slide, cells, verdict, sentence, far, middle, alike, looks, picture)


def compare(look: Real, appearance: Appearance) -> tuple[str | None, dict[str, dict[str, Any]]]:
    """Return the source that looks most alike, and how far each measure lies from its pictures."""
    centre, spread = appearance.centre_and_spread()
    apart = np.abs(look - centre) / spread
    known = np.isfinite(apart)
    if not known.any():
        return None, {}
    farthest = np.where(known, apart, 0).max(axis=1)
    farthest[~known.any(axis=1)] = np.inf
    best = int(farthest.argmin())
    looks = {
        name: {
            "value": float(look[i]),
            "learned": float(centre[best, i]),
            "spreads": float(apart[best, i]),
            "verdict": _grade(float(apart[best, i]), LOOK_EDGE, LOOK_OUTSIDE),
        }
        for i, name in enumerate(ALL_MEASURES)
        if known[best, i]
    }
    return appearance.sources[best], looks


def _grade(value: float, edge: float, outside: float) -> Verdict:
    return "outside" if value >= outside else "at the edge" if value >= edge else "within"


def _sentence(
    verdict: Verdict,
    *,
    by_vectors: Verdict,
    far: float | None,
    looks: Mapping[str, Mapping[str, Any]],
    nearest: str | None,
    few: str,
    learned: str,
) -> str:
    """Return one sentence: the measure that decides, and by how much."""
    if verdict == "too few cells":
        return f"{few} too few for a comparison"
    parts = []
    if far is not None:
        parts.append(f"{100 * far:.0f} % of its cells lie farther off than 95 % of the held-out {learned}")
    worst = max(looks, key=lambda name: looks[name]["spreads"], default=None)
    if worst is not None:
        by_look = described(worst, looks[worst], nearest, learned)
        if verdict != by_vectors:
            parts.insert(0, by_look)
        elif looks[worst]["verdict"] != "within":
            parts.append(by_look)
        else:
            parts.append(f"it looks most like {nearest}" if nearest else f"it looks like the {learned}")
    return "; ".join(parts) or "nothing of it could be compared"


def described(name: str, look: Mapping[str, Any], source: str | None, learned: str = "training cells") -> str:
    """Return one measure in words: its value, that of the nearest training source, and their distance."""
    whose = f"those of {source}" if source else f"those of the {learned}"
    apart = f"{look['spreads']:.1f} spreads"
    if name in RATIOS:
        ratio = float(np.exp(look["value"] - look["learned"]))
        return f"{RATIOS[name].format(ratio=ratio, whose=whose)} ({apart})"
    there = source or f"the {learned}"
    return f"its {name} is {look['value']:.2f}, compared with {look['learned']:.2f} in {there} ({apart})"


def unit_keys(sources: Sequence[str], slides: Sequence[str]) -> list[tuple[str, str]]:
    """Return the units of rows in order: each source, followed by its slides where it names any."""
    slides_of: dict[str, set[str]] = {}
    for source, slide in zip(sources, slides, strict=True):
        slides_of.setdefault(source, set()).add(slide)
    return [
        key
        for source in sorted(slides_of)
        for key in ((source, ""), *((source, slide) for slide in sorted(slides_of[source] - {""})))
    ]
