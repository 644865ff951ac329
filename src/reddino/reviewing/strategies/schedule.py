"""The default schedule: from coverage over rare cells to doubtful ones, as labels come in."""

from __future__ import annotations

from dataclasses import dataclass

#: Answers until coverage has done its part.
COVERED_BY = 60
#: Answers after which, if all are one class, cells are drawn at random.
ONE_CLASS = 100
#: Parts of a page at the start.
COVERAGE, STRANGE = 0.7, 0.3
#: Parts of a page after that; what no class is sought for goes to the doubtful ones.
LATER_STRANGE, LIKELY = 0.1, 0.3
#: The part of the likely ones where a reader has named the classes to look for.
NAMED_LIKELY = 0.6


@dataclass(frozen=True)
class Parts:
    """What a page is made of; the fractions sum to 1."""

    coverage: float
    strange: float
    likely: float
    doubtful: float
    random: float


def parts(answers: int, *, probe: bool, sought: bool, named: bool = False) -> Parts:
    """Return what the next page is made of.

    Args:
        answers: cells that readers have seen.
        probe: whether there is a classifier, which needs two classes.
        sought: whether there are rare classes, or named ones, to look for.
        named: whether a reader has named them.
    """
    early = max(0.0, 1 - answers / COVERED_BY)
    coverage = COVERAGE * early
    strange = LATER_STRANGE + (STRANGE - LATER_STRANGE) * early
    likely = (NAMED_LIKELY if named else LIKELY) * (1 - early) if sought else 0.0
    rest = 1 - coverage - strange - likely
    if probe:
        return Parts(coverage, strange, likely, doubtful=rest, random=0.0)
    if answers < ONE_CLASS:
        return Parts(coverage + rest / 2, strange + rest / 2, likely, doubtful=0.0, random=0.0)
    # So many answers of one class: what is rare here does not look strange, and random order may find it.
    return Parts(coverage, strange, likely, doubtful=0.0, random=rest)
