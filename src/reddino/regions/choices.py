"""The words of verdicts and the choices of where cells are taken from; without NumPy."""

from __future__ import annotations

from typing import Literal

#: Where cells are taken from: everywhere, where no fault lies, or in the monolayer.
From = Literal["all", "usable", "monolayer"]

GOOD = "good"
CROWDED = "crowded"
FLAT = "cells without pallor"
FEW = "few cells"
THICK = "too thick"
OUT_OF_FOCUS = "out of focus"
PRECIPITATE = "stain precipitate"
RIMS = "air bubble or fold"
INK = "pen mark"
EMPTY = "empty glass"
#: Verdicts, the best first.
VERDICTS = (GOOD, CROWDED, FLAT, FEW, THICK, OUT_OF_FOCUS, PRECIPITATE, RIMS, INK, EMPTY)
#: Those of what cannot be used.
FAULTS = (OUT_OF_FOCUS, PRECIPITATE, RIMS, INK, EMPTY)
