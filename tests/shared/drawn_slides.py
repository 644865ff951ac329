"""A small whole smear, drawn once for all tests of a process, and where its truth lies."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.regions.slide_cells import find_all_cells
from reddino.smears.manifest import Manifest
from reddino.smears.opening import open_data
from reddino.synthetic.whole_slide.settings import SlideSettings
from reddino.synthetic.whole_slide.slide_file import write_slide

#: Wide enough for regions, which a slide of 4,096 pixels has none of.
SETTINGS = SlideSettings(4400, 1400, seed=8, um_per_px=0.3, bank=120)


@dataclass(frozen=True)
class DrawnSlide:
    """A slide with its truth."""

    path: Path
    truth: dict[str, npt.NDArray[Any]]
    zones: npt.NDArray[np.uint8]
    faults: npt.NDArray[np.uint8]

    def red(self) -> npt.NDArray[np.bool_]:
        """Which bodies are red cells that the border of the slide does not cut."""
        others = np.isin(self.truth["label"], ["white cell", "platelet"])
        return np.asarray(~others & self.truth["whole"].astype(bool))

    def centres(self) -> npt.NDArray[np.float64]:
        return np.column_stack([self.truth["cx"], self.truth["cy"]])


@cache
def found_cells() -> tuple[Manifest, Path]:
    """The cells of the slide, and the folder of its survey, which tests copy."""
    folder = Path(mkdtemp(prefix="reddino-survey-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    return find_all_cells(open_data(drawn_slide().path), folder=folder, threads=2), folder


@cache
def drawn_slide() -> DrawnSlide:
    """Draw the slide; tests read it, and write nothing next to it."""
    folder = Path(mkdtemp(prefix="reddino-slide-"))
    atexit.register(rmtree, folder, ignore_errors=True)
    path = folder / "smear.tif"
    table = write_slide(path, SETTINGS)
    truth = {name: np.array(table[name].to_pylist()) for name in table.column_names}
    with np.load(path.with_suffix(".masks.npz")) as masks:
        return DrawnSlide(path, truth, masks["zones"], masks["faults"])
