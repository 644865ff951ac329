"""The choices of synthetic smears; without NumPy, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: `usual` has rings in the cells of a few patients; `hard` several stages, and what is mistaken for them.
Parasites = Literal["usual", "hard"]

#: What the picture of a synthetic cohort adds to its blood counts.
Adds = Literal["nothing", "something", "everything"]

#: Of a synthetic slide: a pyramidal TIFF, or a folder of DICOM files, one for each level.
SlideFormat = Literal["tiff", "dicom"]
