"""What predictions come to on each slide: counts, fractions with intervals, verdicts, and bars of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reddino.figures.fractions import fraction_interval
from reddino.figures.page.document import escape
from reddino.figures.palette import NO_LABEL, PALETTE, Groups
from reddino.figures.prediction_file import PredictionFile
from reddino.foundations.visible import short

Counts = npt.NDArray[np.float64]

#: Classes that have a column of their own; the others are added up.
MOST_CLASSES = 6
#: Classes that have a colour in the bars.
MOST_COLOURS = 8
#: Slides that are listed.
MOST_SLIDES = 60
#: Counted cells from which a slide has a bar.
LEAST_BAR = 10
#: Counted cells below which a slide's fractions are called few.
FEW = 100
#: Columns of cells that count for no class.
LEFT_OUT = ("at the border", "no red cell", "no answer")
#: Columns of the table of slides that are set as numbers.
NUMBERS = ("fields", "cells counted", *LEFT_OUT)
#: Pixels of a bar's line and of its whole length.
LINE, LENGTH, NAME_WIDTH = 22, 520, 170
HATCH = (
    '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="2" height="6" fill="#fff" fill-opacity="0.6"/>'
    "</pattern></defs>"
)


@dataclass(frozen=True)
class SlideCounts:
    """The counted cells of a slide (of an image where no slide is named).

    Attributes:
        source, name: of it.
        by_field: (m, k) counted cells of each class in each of its fields.
        cells: in all.
        border, other, unanswered: left out, as cut by the border, no red cell, without an answer.
        named: whether it is a slide, and not an image.
        verdict, sentence: how it lies to what the classifier learned from; "" where not compared.
    """

    source: str
    name: str
    by_field: Counts
    cells: int
    border: int
    other: int
    unanswered: int
    verdict: str
    sentence: str
    named: bool = True

    def shown(self, most: int) -> str:
        """Return the name in at most `most` letters: of an image the end of its path."""
        if self.named or len(self.name) <= most:
            return short(self.name, most)
        return f"…{self.name[1 - most :]}"

    @property
    def outside(self) -> bool:
        """Whether it lies outside of what the classifier learned from, so that its fractions mean nothing."""
        return self.verdict == "outside"

    @property
    def counted(self) -> int:
        """Cells that count among the classes."""
        return int(self.by_field.sum())

    def fraction(self, number: int) -> tuple[float, float, float]:
        """Return the fraction of class `number`, with its interval."""
        return fraction_interval(self.by_field[:, number], self.by_field.sum(axis=1))


def slides_of(file: PredictionFile) -> list[SlideCounts]:
    """Return the slides of predictions, in order of source and name."""
    sources, names, paths = file.strings("source"), file.strings("slide"), file.strings("path")
    keys = [(source, name or path) for source, name, path in zip(sources, names, paths, strict=True)]
    place = {name: number for number, name in enumerate(file.classes)}
    classes = np.array([place.get(name, -1) for name in file.strings("predicted")], dtype=np.int64)
    border, other, unanswered = file.cut(), file.other(), file.flags("abstained")
    counted = file.counted() & (classes >= 0)
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    found = []
    for (source, name), listed in sorted(rows_of.items()):
        rows = np.array(listed, dtype=np.int64)
        fields = np.unique([paths[row] for row in listed], return_inverse=True)[1]
        by_field = np.zeros((int(fields.max()) + 1, len(file.classes)))
        kept = counted[rows]
        np.add.at(by_field, (fields[kept], classes[rows][kept]), 1)
        verdict, sentence = file.domain.get((source, name)) or file.domain.get((source, "")) or ("", "")
        whole = ~border[rows]
        found.append(
            SlideCounts(
                source,
                name,
                by_field,
                len(rows),
                int(border[rows].sum()),
                int((other[rows] & whole).sum()),
                int((unanswered[rows] & whole & ~other[rows]).sum()),
                verdict,
                sentence,
                named=bool(names[listed[0]]),
            )
        )
    return found


def frequent(slides: Sequence[SlideCounts], without: Collection[int] = ()) -> list[int]:
    """Return class numbers by their counted cells over all slides, those that occur, most frequent first."""
    totals = sum((slide.by_field.sum(axis=0) for slide in slides), np.zeros(slides[0].by_field.shape[1]))
    return [int(i) for i in np.argsort(-totals, kind="stable") if totals[i] > 0 and int(i) not in without]


def pooled(slides: Sequence[SlideCounts], number: int) -> tuple[float, float, float]:
    """Return the fraction of a class over all fields of all slides, with its interval."""
    by_field = np.concatenate([slide.by_field for slide in slides])
    if len(slides) > 1:
        # Slides differ more than fields of one: they are what is drawn from.
        by_field = np.stack([slide.by_field.sum(axis=0) for slide in slides])
    return fraction_interval(by_field[:, number], by_field.sum(axis=1))


def percent(fraction: float, low: float, high: float) -> str:
    """Return a fraction with its interval: 12 % (8-17)."""
    return "-" if np.isnan(fraction) else f"{100 * fraction:.0f}\u00a0% ({100 * low:.0f}–{100 * high:.0f})"


def slide_table(
    slides: Sequence[SlideCounts], classes: Sequence[str], without: Collection[int] = ()
) -> tuple[list[str], list[list[str]]]:
    """Return the header and a row per slide: counted cells, classes with intervals, what was left out.

    Args:
        slides: to list.
        classes: their names.
        without: numbers of classes that get no fraction.
    """
    listed = frequent(slides, without)[:MOST_CLASSES]
    compared, named = any(slide.verdict for slide in slides), any(slide.named for slide in slides)
    header = ["slide" if named else "image", "source", *(["fields"] if named else []), "cells counted"]
    header += [*(classes[i] for i in listed), *LEFT_OUT]
    header += ["compared with training"] if compared else []
    rows = []
    for slide in sorted(slides, key=lambda one: one.outside)[:MOST_SLIDES]:
        few = " (few)" if slide.counted < FEW else ""
        row = [slide.shown(28), slide.source, *([str(len(slide.by_field))] if named else [])]
        row.append(f"{slide.counted}{few}")
        row += ["-" if slide.outside else percent(*slide.fraction(i)) for i in listed]
        row += [str(count) for count in (slide.border, slide.other, slide.unanswered)]
        rows.append([*row, slide.verdict or "not compared"] if compared else row)
    return header, rows


def left_out(border: int, other: int, unanswered: int) -> str:
    """Return in words which cells count for no class; "" where all do."""
    parts = ((border, "at the border"), (other, "no red cell"), (unanswered, "without an answer"))
    return ", ".join(f"{count} {why}" for count, why in parts if count)


def slide_bars(
    slides: Sequence[SlideCounts],
    classes: Sequence[str],
    occurring: Sequence[str],
    without: Collection[int] = (),
) -> str:
    """Return an SVG of a stacked bar per slide that is not outside and has enough cells, with a legend.

    Args:
        slides: to draw.
        classes: their names.
        occurring: the classes of all cells, by whose order the map and the marks have their colours; beyond
            the first colours, bars are hatched.
        without: numbers of classes that have no bar of their own.
    """
    shown = [slide for slide in slides if slide.counted >= LEAST_BAR and not slide.outside][:MOST_SLIDES]
    if not shown:
        return ""
    order = frequent(shown, without)[:MOST_COLOURS]
    place = {name: number for number, name in enumerate(Groups.of(occurring).names)}
    height = LINE * len(shown) + 4
    marks = []
    for line, slide in enumerate(shown):
        top, left = line * LINE + 2, float(NAME_WIDTH)
        marks.append(
            f'<text x="{NAME_WIDTH - 8}" y="{top + 13}" text-anchor="end" font-size="12">'
            f"{escape(slide.shown(24))}</text>"
        )
        totals = slide.by_field.sum(axis=0)
        rest = slide.counted - totals[order].sum()
        parts = [
            *((place[classes[i]], classes[i], float(totals[i])) for i in order),
            (-1, "other classes", rest),
        ]
        for number, name, count in parts:
            width = LENGTH * count / slide.counted
            if width > 0:
                title = f"<title>{escape(name)}: {count:.0f} of {slide.counted}</title>"
                box = f'x="{left:.1f}" y="{top}" width="{width:.1f}" height="{LINE - 6}"'
                marks.append(_filled(box, number, title))
            if width > 34:
                marks.append(
                    f'<text x="{left + width / 2:.1f}" y="{top + 12}" text-anchor="middle" font-size="11" '
                    f'fill="{_ink(number)}">{100 * count / slide.counted:.0f} %</text>'
                )
            left += width
    keys = [(place[classes[i]], classes[i]) for i in order]
    keys += [(-1, "other classes")] if len(frequent(shown)) > len(order) else []
    box = 'x="0" y="0" width="14" height="14"'
    legend = "".join(
        f'<span class="key"><svg width="14" height="14" aria-hidden="true">{_filled(box, number, "")}</svg> '
        f"{escape(name)}</span>"
        for number, name in keys
    )
    return (
        f'<p class="keys">{legend}</p><svg class="bars" role="img" aria-label="classes of each slide" '
        f'viewBox="0 0 {NAME_WIDTH + LENGTH + 4} {height}">{HATCH}{"".join(marks)}</svg>'
    )


def _filled(box: str, number: int, title: str) -> str:
    """Return a rectangle in the colour of class number `number`, hatched beyond the first colours."""
    hatched = f'<rect {box} fill="url(#hatch)"/>' if number >= len(PALETTE) else ""
    return f'<rect {box} fill="{_colour(number)}" stroke="#fff">{title}</rect>{hatched}'


def _colour(number: int) -> str:
    return NO_LABEL if number < 0 else PALETTE[number % len(PALETTE)]


def _ink(number: int) -> str:
    """Return black or white, whichever is read better on the colour of a class."""
    red, green, blue = (int(_colour(number)[i : i + 2], 16) for i in (1, 3, 5))
    return "#000" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#fff"
