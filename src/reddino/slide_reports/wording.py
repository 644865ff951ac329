"""The sentences of a slide report."""

from __future__ import annotations

import math

from reddino.foundations.counting import counted
from reddino.slide_reports.grades import Grades
from reddino.slide_reports.slide import NOT_GRADED_OUTSIDE, ClassOnSlide, Fraction, SlideResult


def percent(fraction: Fraction) -> str:
    """Return a fraction with its interval: `12.3 % (8.1 to 17.0)`; `-` where unknown."""
    value, low, high = (100 * one for one in fraction)
    return "-" if math.isnan(value) else f"{value:.1f}\u00a0% ({low:.1f} to {high:.1f})"


def reached(one: ClassOnSlide, grades: Grades) -> bool:
    """Return whether the fraction of a class reaches a grade that is more than none."""
    feature = grades.feature_of(one.name)
    if feature is None or not one.grade or ungraded(one):
        return False
    return feature.grade_of(one.best[0]) != feature.below


def ungraded(one: ClassOnSlide) -> bool:
    """Return whether thresholds gave no grade: of too few cells, or of several classes of one feature."""
    return one.grade.startswith("not graded")


def graded(slide: SlideResult, grades: Grades) -> list[str]:
    """Return in words the features whose fraction reaches a grade: `teardrop cells 2+ (12.3 %, 8.1 to 17.0)`.

    The most frequent first; the grade is a range where the interval crosses a threshold.
    """
    found = []
    for one in sorted(slide.classes, key=lambda one: -(one.best[0] if math.isfinite(one.best[0]) else -1)):
        feature = grades.feature_of(one.name)
        if feature is not None and reached(one, grades):
            found.append(f"{feature.feature} {one.grade} ({percent(one.best).replace(' (', ', ')[:-1]})")
    return found


def impression(slide: SlideResult, grades: Grades) -> str:
    """Return the grades of a slide in one or two sentences."""
    if any(one.grade == NOT_GRADED_OUTSIDE for one in slide.classes):
        return "Not graded: the slide lies outside of what the classifier learned from."
    named = graded(slide, grades)
    without = [one for one in slide.classes if ungraded(one)]
    missing = [one for one in without if one.grade.endswith("missing")]
    shared = list(dict.fromkeys(_feature(one, grades) for one in without if one not in missing))
    sentences = []
    if named:
        sentences.append(f"Graded: {'; '.join(named)}.")
    elif len(without) < sum(bool(one.grade) for one in slide.classes):
        sentences.append("No graded feature reaches a grade.")
    if missing:
        names = ", ".join(_feature(one, grades) for one in missing)
        what = one_grade(missing)
        sentences.append(f"Not graded, since too few red cells were counted: {names} ({what}).")
    if shared:
        sentences.append(f"Not graded, since several classes show one feature: {', '.join(shared)}.")
    if not sentences:
        sentences.append("No class of this classifier has a grade.")
    return " ".join(sentences)


def one_grade(missing: list[ClassOnSlide]) -> str:
    """Return how many cells are missing, as a range where classes need different numbers."""
    numbers = sorted({one.grade.removeprefix("not graded: ").split(" ")[0] for one in missing}, key=_number)
    return f"{numbers[0]} cells missing" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} missing"


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def _feature(one: ClassOnSlide, grades: Grades) -> str:
    feature = grades.feature_of(one.name)
    return one.name if feature is None else feature.feature


def counted_line(slide: SlideResult) -> str:
    """Return what was counted on a slide, and what was not."""
    parts = [f"{counted(slide.cells, 'red cell')} counted in {counted(slide.used, 'field')}"]
    if slide.unnamed:
        parts.append(f"{slide.unnamed} of them without an answer")
    if slide.undecided is not None and slide.cells:
        parts.append(f"{slide.undecided} with a set of several classes or none")
    if slide.cells and slide.worth < 0.9 * slide.cells:
        parts.append(f"worth {slide.worth:.0f} independent cells, since fields differ")
    outside = [
        text
        for number, text in ((slide.border, "cut by the border"), (slide.other, "no red cells"))
        for text in ([f"{number} {text}"] if number else [])
    ]
    left = f" Not counted: {', '.join(outside)}." if outside else ""
    return f"{', '.join(parts)}.{left}"
