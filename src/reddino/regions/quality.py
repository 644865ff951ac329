"""The quality of slides and fields: a verdict on each square, on each region, and the monolayer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.foundations.counting import counted
from reddino.regions.choices import EMPTY, FAULTS, GOOD, VERDICTS
from reddino.regions.measures import COLUMNS
from reddino.regions.monolayer import monolayer, square_scores
from reddino.regions.survey import Survey
from reddino.regions.verdicts import compared_sharpness, judged

Real = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


#: Fraction of a region or picture above which it counts as monolayer.
_MOSTLY = 0.5


@dataclass(frozen=True)
class SlideQuality:
    """The squares of a slide, or of all plain pictures of a source.

    Attributes:
        name: of the slide or the source.
        slide_key: of a slide; "" of pictures.
        picture: (n,) number of the picture that a square lies in.
        number: (n,) of the square within its picture.
        squares: (n, 12) in the order of `COLUMNS`; of a slide `x` and `y` in its level 0.
        sharpness: (n,) as a fraction of the median one; NaN: not compared.
        verdicts: (n,) in words.
        areas: (n,) of the monolayer, 1 the best; 0 none.
        diameter: of a red cell in pixels.
        um_per_px: size of a pixel; None: unknown.
    """

    name: str
    slide_key: str
    picture: Numbers
    number: Numbers
    squares: Real
    sharpness: Real
    verdicts: list[str]
    areas: Numbers
    diameter: float
    um_per_px: float | None

    def sentence(self) -> str:
        """Return what the squares are like, in one sentence."""
        counts = Counter(self.verdicts)
        total = max(len(self.verdicts), 1)
        shares = [f"{name} {100 * counts[name] / total:.0f} %" for name in VERDICTS if counts[name]]
        what = "slide" if self.slide_key else "pictures of"
        return f"{what} {self.name or 'without a source'}: {', '.join(shares)} of the area"


@dataclass(frozen=True)
class RegionRow:
    """A row of quality.csv: numbers of a region or a picture, and a verdict in words."""

    path: str
    slide: str
    region: int | None
    x: int
    y: int
    cells: int
    cells_per_mm2: float
    stained: float
    overlap: float
    pale: float
    sharpness: float
    grains: float
    rims: float
    ink: float
    usable: float
    monolayer: float
    score: float
    verdict: str
    rank: int = 0


def judged_slides(made: Survey) -> list[SlideQuality]:
    """Return the quality of the slides of a survey, and of its plain pictures by source."""
    codes = made.manifest.images()[1]
    first = np.unique(codes, return_index=True)[1]
    sources = np.array(made.manifest.strings("source"), dtype=object)[first].tolist()
    groups: dict[tuple[str, str], list[int]] = {}
    for number, place in enumerate(made.places):
        groups.setdefault((place.slide_key, "" if place.slide_key else str(sources[number])), []).append(
            number
        )
    return [_judged(made, key, source, numbers) for (key, source), numbers in groups.items()]


def _judged(made: Survey, key: str, source: str, numbers: list[int]) -> SlideQuality:
    """Return the quality of one slide (`key`), or of the pictures of a source."""
    squares, diameters = [], []
    for number in numbers:
        part = made.part(number)
        own = part.squares.copy()
        own[:, :2] += made.places[number].corner
        squares.append(own)
        diameters.append(part.diameter)
    table = np.concatenate(squares)
    known = np.array(diameters)[np.isfinite(diameters)]
    diameter = float(np.median(known)) if len(known) else float("nan")
    per_square = np.repeat(np.array(diameters), [len(one) for one in squares])
    verdicts = judged(table, per_square, source)
    areas = monolayer(table, verdicts) if key else np.array([v == GOOD for v in verdicts], np.int64)
    first = made.places[numbers[0]]
    return SlideQuality(
        first.slide if key else source,
        key,
        np.repeat(np.array(numbers, np.int64), [len(one) for one in squares]),
        np.concatenate([np.arange(len(one)) for one in squares]),
        table,
        compared_sharpness(table, source),
        verdicts,
        areas,
        diameter,
        first.um_per_px,
    )


def region_rows(made: Survey, qualities: list[SlideQuality]) -> list[RegionRow]:
    """Return a row for each region and picture, in their order, ranked within their slide or source."""
    rows: dict[int, RegionRow] = {}
    for quality in qualities:
        mine = [_row(made, quality, number) for number in sorted(set(quality.picture.tolist()))]
        order = sorted(range(len(mine)), key=lambda n: (-mine[n].monolayer, -mine[n].score, n))
        for rank, n in enumerate(order, start=1):
            number = sorted(set(quality.picture.tolist()))[n]
            rows[number] = RegionRow(**{**vars(mine[n]), "rank": rank})
    return [rows[number] for number in sorted(rows)]


def _row(made: Survey, quality: SlideQuality, number: int) -> RegionRow:
    inside = quality.picture == number
    squares, place = quality.squares[inside], made.places[number]
    verdicts = [v for v, mine in zip(quality.verdicts, inside.tolist(), strict=True) if mine]
    area = squares[:, 2] * squares[:, 3]
    cells = squares[:, COLUMNS.index("cells")]
    scale = place.um_per_px or float("nan")

    def mean(name: str, weights: Real) -> float:
        values = squares[:, COLUMNS.index(name)]
        known = np.isfinite(values) & (weights > 0)
        return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")

    sharp = quality.sharpness[inside]
    return RegionRow(
        path=place.name,
        slide=place.slide,
        region=place.region,
        x=place.core[0] if place.core else 0,
        y=place.core[1] if place.core else 0,
        cells=int(cells.sum()),
        cells_per_mm2=float(cells.sum() / (area.sum() * scale**2) * 1e6),
        stained=mean("stained", area),
        overlap=mean("overlap", cells),
        pale=mean("pale", cells),
        sharpness=float(np.nanmedian(sharp)) if np.isfinite(sharp).any() else float("nan"),
        grains=mean("grains", area),
        rims=mean("rims", area),
        ink=mean("ink", area),
        usable=float(np.mean([v not in FAULTS for v in verdicts])),
        monolayer=float((quality.areas[inside] > 0).mean()),
        score=float(np.average(square_scores(squares), weights=area)),
        verdict=_verdict(verdicts, quality.areas[inside]),
    )


def _verdict(verdicts: list[str], areas: Numbers) -> str:
    """Return the verdict on a region: what most of its squares are like, and what else lies in it."""
    counts = Counter(verdicts)
    main = max(counts, key=lambda name: (counts[name], -VERDICTS.index(name)))
    others = [
        f"{name} ({100 * counts[name] / len(verdicts):.0f} %)"
        for name in FAULTS
        if name not in (main, EMPTY) and counts[name]
    ]
    words = "monolayer" if main == GOOD and (areas > 0).mean() > _MOSTLY else main
    return f"{words}; in parts {', '.join(others)}" if others else words


def summary(quality: SlideQuality) -> str:
    """Return what the monolayer of a slide is: its areas and their size; of pictures, how many show it."""
    found = quality.areas > 0
    if not quality.slide_key:
        numbers = np.unique(quality.picture)
        showing = sum(bool(found[quality.picture == number].mean() > _MOSTLY) for number in numbers)
        return f"in most of {showing:,} of {counted(len(numbers), 'picture')}"
    if not found.any():
        return "no monolayer"
    areas = counted(int(quality.areas.max()), "area")
    cells = int(quality.squares[found, COLUMNS.index("cells")].sum())
    text = f"monolayer of {areas}, {counted(cells, 'cell')}"
    if quality.um_per_px:
        size = float((quality.squares[found, 2] * quality.squares[found, 3]).sum()) * quality.um_per_px**2
        text += f", {size / 1e6:.2f} mm2"
    return text
