"""The values that options of a review take, for the command line to name without computing."""

from __future__ import annotations

from typing import Literal, get_args

#: What is shown next; `reddino.reviewing.ranking.rank` describes what each does.
Strategy = Literal["default", "random", "typical", "coverage", "rare", "margin", "entropy", "balanced"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
#: One line each, for a page or a help text.
DESCRIPTIONS: dict[Strategy, str] = {
    "default": "from coverage over rare cells to doubtful ones, as labels come in",
    "random": "any cell, all equally likely",
    "typical": "the most typical cell of each cluster without a label (TypiClust)",
    "coverage": "cells that stand for the most cells that no label is near to (ProbCover)",
    "rare": "strange cells first, then neighbours of the rare ones labelled so far (SEALS)",
    "margin": "cells between whose two likeliest classes the classifier can hardly choose",
    "entropy": "cells of which the classifier is least sure over all classes",
    "balanced": "doubtful cells of each predicted class in turn, of classes with few labels more often",
}
