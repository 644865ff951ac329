"""A report of slides, before it is written: what was counted, measured and shown, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reddino.embedding.view_encoder import Images
from reddino.slide_reports.grades import Feature, Grades, unverified
from reddino.slide_reports.shapes import SlideMeasure
from reddino.slide_reports.slide import NOT_GRADED_OUTSIDE, OUTSIDE, SlideResult, titles
from reddino.slide_reports.wording import graded, ungraded


@dataclass(frozen=True)
class SlideReport:
    """Slides and what is known of how they were counted.

    Attributes:
        slides: in order.
        measures: sizes and shapes of each slide; empty where not measured.
        references: numbers of the slides that the others are compared with.
        examples: of each slide, cells (n, s, s, 3) by class.
        grades: thresholds.
        method: sentences on how fractions were made.
        origin: provenance.
    """

    slides: Sequence[SlideResult]
    measures: Sequence[Sequence[SlideMeasure]]
    references: Sequence[int]
    examples: Sequence[Mapping[str, Images]]
    grades: Grades
    method: Sequence[str]
    origin: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """Names of the slides, each once."""
        return titles(self.slides)

    def features(self) -> list[Feature]:
        """Return the graded features that a class of these slides shows."""
        names = {one.name for slide in self.slides for one in slide.classes}
        shown = [self.grades.feature_of(name) for name in names]
        return [one for one in self.grades.features if one in shown]

    def unverified_note(self) -> str:
        """Return which thresholds were not compared with their source; "" where all were."""
        names = unverified(self.features())
        if not names:
            return ""
        return (
            f"Unverified: the thresholds of {', '.join(names)} were not compared with their source. Compare "
            "the file with the paper, or give your laboratory's own with --grades."
        )

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return for each slide its name, red cells, fields that are used, and what reaches a grade."""
        found = []
        for name, slide in zip(self.names, self.slides, strict=True):
            grades = "; ".join(graded(slide, self.grades))
            if slide.verdict == OUTSIDE:
                grades = NOT_GRADED_OUTSIDE
            elif not grades:
                few = any(ungraded(one) for one in slide.classes)
                grades = "too few cells" if few else "none reaches a grade"
            fields = f"{slide.used} of {len(slide.fields)}"
            found.append((name, str(slide.cells), fields, grades))
        return found
