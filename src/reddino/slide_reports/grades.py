"""Grades of a slide: 2+ and 3+ by thresholds from a file, as a range where the interval crosses one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.structured import fit, parse_yaml, read_bytes

#: The file that comes along, and bytes that one may have.
PACKAGED = Path(__file__).parent / "icsh-2015.yaml"
LIMIT = 1 << 20
#: What is written where a class has no thresholds.
NO_GRADE = ""

Text = Annotated[str, Field(min_length=1, max_length=400)]
Name = Annotated[str, Field(min_length=1, max_length=60)]


class Band(BaseModel):
    """A grade and the percentage above which it is given."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    grade: Name
    above: Annotated[float, Field(ge=0, lt=100)]


class Feature(BaseModel):
    """The thresholds of a feature, and the classes of cells that show it.

    Attributes:
        feature: its name.
        classes: names of a classifier's classes that mean it.
        bands: from the lowest grade on.
        below: the wording for a slide below the lowest.
        least_cells: red cells that a slide must have; None: those of the file.
        source: of the figures.
        verified: whether the figures were compared with their source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    feature: Name
    classes: Annotated[tuple[Name, ...], Field(min_length=1)]
    bands: Annotated[tuple[Band, ...], Field(min_length=1)]
    below: Name = "none"
    least_cells: Annotated[int, Field(ge=1)] | None = None
    source: Text
    verified: bool = False

    @model_validator(mode="after")
    def _rising(self) -> Feature:
        if any(one.above >= two.above for one, two in pairwise(self.bands)):
            raise ValueError("the bands must rise, each above the one before")
        return self

    def grade_of(self, fraction: float) -> str:
        """Return the grade of a fraction."""
        reached = [band.grade for band in self.bands if 100 * fraction > band.above]
        return reached[-1] if reached else self.below


class _GradesFile(BaseModel):
    """What a file of grades holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: Name
    source: Text
    least_cells: Annotated[int, Field(ge=1)]
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Grades:
    """The thresholds of a laboratory.

    Attributes:
        name, source: of the recommendation.
        least_cells: red cells that a slide must have, where a feature does not name its own number.
        features: thresholds.
        origin: the file's name, and 16 hex digits over its bytes.
    """

    name: str
    source: str
    least_cells: int
    features: tuple[Feature, ...]
    origin: tuple[str, str]

    def feature_of(self, name: str) -> Feature | None:
        """Return the feature that a class shows; None where the file has none."""
        wanted = _plain(name)
        for one in self.features:
            if wanted in {_plain(known) for known in one.classes}:
                return one
        return None

    def least_of(self, feature: Feature) -> int:
        """Return how many red cells a slide must have for the feature."""
        return feature.least_cells or self.least_cells

    def sharing(self, name: str, classes: Sequence[str]) -> list[str]:
        """Return those of a classifier's classes that show the feature of one of them, with it."""
        feature = self.feature_of(name)
        return [] if feature is None else [one for one in classes if self.feature_of(one) == feature]

    def grade(self, name: str, cells: int, low: float, high: float, classes: Sequence[str] = ()) -> str:
        """Return the grade of a class on a slide.

        Args:
            name: of the class.
            cells: red cells that were counted on the slide.
            low: end of the interval of the fraction.
            high: end of the interval of the fraction.
            classes: of the classifier, of which several may show the feature.

        Returns:
            The grade, a range such as `2+ to 3+` where the interval crosses a threshold, `not graded: ...` of
            too few cells and where other classes show the same feature, whose thresholds are for all of them
            together, and "" without thresholds or an interval.
        """
        feature = self.feature_of(name)
        if feature is None or not (math.isfinite(low) and math.isfinite(high)):
            return NO_GRADE
        sharing = self.sharing(name, classes)
        if len(sharing) > 1:
            return f"not graded: thresholds are for {', '.join(sharing)} together"
        missing = self.least_of(feature) - cells
        if missing > 0:
            return f"not graded: {counted(missing, 'cell')} missing"
        ends = feature.grade_of(low), feature.grade_of(high)
        if ends[0] == ends[1]:
            return ends[0]
        # Grades that are ranges themselves, such as 'up to 1 %', are not joined by one more 'to'.
        return f"{ends[0]} {'or' if '%' in ''.join(ends) else 'to'} {ends[1]}"


def read_grades(path: str | Path | None = None) -> Grades:
    """Read a file of grades; without a path the one that comes along.

    Raises:
        RedDinoError: it cannot be read, a key is unknown or missing, bands do not rise, or a class stands in
            two features.
    """
    file = PACKAGED if path is None else Path(path)
    data = read_bytes(file, LIMIT)
    content = fit(_GradesFile, parse_yaml(data, str(file)), str(file))
    seen: dict[str, str] = {}
    for one in content.features:
        for name in one.classes:
            if seen.setdefault(_plain(name), one.feature) != one.feature:
                raise RedDinoError(
                    f"{file}: the class '{name}' stands in two features: '{seen[_plain(name)]}' and "
                    f"'{one.feature}'; leave one out"
                )
    return Grades(
        content.name, content.source, content.least_cells, content.features, (file.name, hash_bytes(data))
    )


def unverified(features: Sequence[Feature]) -> list[str]:
    """Return the names of features whose figures were not compared with their source."""
    return [one.feature for one in features if not one.verified]


def _plain(name: str) -> str:
    """Return a name without what spellings differ in: case, and blanks, hyphens or underscores."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
