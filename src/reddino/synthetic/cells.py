"""Red cells as geometry and haemoglobin, before any stain or camera."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reddino.synthetic.outlines import Outline

NORMAL_DIAMETER = 7.5
"""Diameter of a nominal red cell in micrometres: what a source's pixels a cell refer to."""


@dataclass(frozen=True)
class Pallor:
    """An elliptical region with less (or, `depth` below 0, more) haemoglobin; lengths in cell radii."""

    depth: float
    length: float
    width: float
    soft: float = 0.18
    x: float = 0.0
    y: float = 0.0
    angle: float = 0.0
    bend: float = 0.0


@dataclass(frozen=True)
class Ring:
    """A ring-stage parasite: its place in cell radii from the cell's centre, its size in micrometres."""

    x: float
    y: float
    radius: float
    thickness: float
    dots: tuple[tuple[float, float, float], ...]
    strength: float
    squash: float
    angle: float


@dataclass(frozen=True)
class Mark:
    """Dye in or on a red cell: outlines in micrometres from the cell's centre, filled together.

    `dyes` is how much of haemoglobin's dye, blue, chromatin and refraction lies inside (below 0: is taken
    away) and `haemoglobin` what is left of the cell's own. The boundary is a ramp of `soft` micrometres;
    with `line` above 0 only a line of that half-width along it is drawn. `grain` is how uneven the dye is,
    by the noise of `texture`. A mark that is not `outside` ends where the cell does.
    """

    outlines: tuple[Outline, ...]
    dyes: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    haemoglobin: float = 1.0
    soft: float = 0.15
    line: float = 0.0
    grain: float = 0.0
    texture: int = 0
    outside: bool = False


@dataclass(frozen=True)
class CellShape:
    """A red cell in its own frame: outline in radii, and how haemoglobin is distributed inside it."""

    outline: Outline
    pallors: tuple[Pallor, ...] = ()
    dome: float = 0.0
    density: float = 1.0
    rings: tuple[Ring, ...] = ()


@dataclass(frozen=True)
class RedCell:
    """A red cell of a scene, in micrometres from the field's top-left corner; `outline` relative to x, y."""

    morphology: str
    x: float
    y: float
    diameter: float
    angle: float
    outline: Outline
    pallors: tuple[Pallor, ...]
    dome: float
    density: float
    rings: tuple[Ring, ...]
    edge: float
    rim: float
    blue: float
    blur: float
    marks: tuple[Mark, ...] = ()

    def box(self) -> tuple[float, float, float, float]:
        """Return the left, top, width and height in micrometres."""
        low, high = self.outline.min(axis=0), self.outline.max(axis=0)
        return (
            self.x + float(low[0]),
            self.y + float(low[1]),
            float(high[0] - low[0]),
            float(high[1] - low[1]),
        )

    def moved(self, x: float, y: float) -> RedCell:
        """Return the same cell with its centre at x, y."""
        return replace(self, x=x, y=y)


@dataclass(frozen=True)
class Habit:
    """The common traits of a patient's red cells.

    `diameter` is their mean in micrometres and `cv` its coefficient of variation, `chromia` the haemoglobin
    against normal, `blue` the fraction of polychromatic cells, `wobble` how far outlines deviate from their
    ideal; `pallor_depth` and `pallor_radius` (in cell radii) describe the usual pallor.
    """

    diameter: float
    cv: float
    chromia: float
    blue: float
    wobble: float
    pallor_depth: float
    pallor_radius: float
