"""How a review is run: what the command line settles before the page opens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ReviewOptions:
    """How a review is run.

    Attributes:
        title: of the page.
        reader: name that a browser begins with.
        blind: readers see their own verdicts alone, and suggestions learned from these.
        goal: labels that the progress is measured against.
        refit_after: labels after which the classifier is fitted again.
        um_per_px: size of a pixel where the table has no column `um_per_px`; NaN: not known.
        keep_border: offer cells that the border of their picture cuts too.
        tuned: folder for networks that are fine-tuned on demand.
        tune_options: of `reddino fit`, for these.
    """

    title: str
    reader: str
    blind: bool = False
    goal: int = 300
    refit_after: int = 20
    um_per_px: float = math.nan
    keep_border: bool = False
    tuned: Path = Path("tuned")
    tune_options: tuple[str, ...] = ()
