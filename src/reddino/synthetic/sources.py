"""Sources: laboratories that differ in stain, light, optics, sensor and file format."""

from __future__ import annotations

from dataclasses import dataclass, fields

from reddino.synthetic.cells import NORMAL_DIAMETER

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Source:
    """A laboratory. Colours are RGB; optical densities are natural logarithms for an amount 1 of dye.

    `cell_px` is the diameter of a nominal red cell in pixels; blurs are in micrometres; `fringe` is the
    lateral colour error as relative magnification of red against blue; `vignette` the loss of light in the
    corners and `slope` across the field; `noise` and `colour_noise` are standard deviations as a fraction
    of full scale, and `grain` the size of the noise in pixels; `halo` is the strength of sharpening and
    `halo_um` its reach; `granular` the unevenness of the ground as optical density; `day` is how much stain
    and exposure differ from slide to slide; `jpeg` the quality of the files, None for PNG.
    """

    name: str
    cell_px: float
    background: Colour
    haemoglobin: Colour
    blue: Colour
    chromatin: Colour
    rim: Colour
    blur: float
    colour_blur: Colour = (1.0, 1.0, 1.0)
    fringe: float = 0.0
    vignette: float = 0.05
    slope: float = 0.03
    noise: float = 0.006
    colour_noise: float = 0.002
    grain: float = 0.5
    halo: float = 0.0
    halo_um: float = 0.4
    contrast: float = 1.0
    black: float = 0.0
    gamma: float = 1.0
    saturation: float = 1.0
    granular: float = 0.008
    day: float = 1.0
    jpeg: int | None = 90

    @property
    def px_per_um(self) -> float:
        """Pixels a micrometre."""
        return self.cell_px / NORMAL_DIAMETER

    @property
    def suffix(self) -> str:
        """File name ending of the source's pictures."""
        return ".png" if self.jpeg is None else ".jpg"


_ALL = (
    Source(
        name="lilac",
        cell_px=44,
        background=(222, 231, 246),
        haemoglobin=(0.25, 0.50, 0.22),
        blue=(0.55, 0.42, 0.10),
        chromatin=(1.15, 1.45, 0.45),
        rim=(0.16, 0.22, 0.11),
        blur=0.16,
        vignette=0.03,
        jpeg=92,
    ),
    Source(
        name="greengrey",
        cell_px=48,
        background=(185, 212, 186),
        haemoglobin=(0.22, 0.52, 0.27),
        blue=(0.50, 0.55, 0.12),
        chromatin=(0.80, 1.40, 0.45),
        rim=(0.02, 0.32, 0.16),
        blur=0.20,
        colour_blur=(0.6, 1.1, 1.5),
        fringe=0.0035,
        vignette=0.10,
        noise=0.007,
        grain=0.7,
        halo=0.5,
        jpeg=85,
    ),
    Source(
        name="olive",
        cell_px=38,
        background=(139, 150, 141),
        haemoglobin=(0.25, 0.58, 0.38),
        blue=(0.55, 0.50, 0.12),
        chromatin=(0.95, 1.30, 0.45),
        rim=(0.20, 0.26, 0.22),
        blur=0.24,
        vignette=0.13,
        slope=0.07,
        noise=0.009,
        colour_noise=0.003,
        halo=0.7,
        saturation=0.9,
        jpeg=80,
    ),
    Source(
        name="night",
        cell_px=34,
        background=(90, 122, 150),
        haemoglobin=(0.42, 0.62, 0.34),
        blue=(0.45, 0.45, 0.16),
        chromatin=(0.85, 1.10, 0.45),
        rim=(0.20, 0.20, 0.14),
        blur=0.22,
        vignette=0.12,
        slope=0.06,
        noise=0.008,
        colour_noise=0.003,
        halo=0.4,
        gamma=0.95,
        jpeg=85,
    ),
    Source(
        name="cream",
        cell_px=56,
        background=(253, 227, 200),
        haemoglobin=(0.24, 0.40, 0.22),
        blue=(0.75, 0.55, 0.15),
        chromatin=(1.35, 2.10, 0.60),
        rim=(0.06, 0.10, 0.06),
        blur=0.22,
        vignette=0.0,
        slope=0.0,
        noise=0.004,
        colour_noise=0.001,
        contrast=1.05,
        granular=0.004,
        day=0.7,
        jpeg=None,
    ),
    Source(
        name="beige",
        cell_px=54,
        background=(200, 199, 194),
        haemoglobin=(0.11, 0.29, 0.22),
        blue=(0.35, 0.32, 0.03),
        chromatin=(0.75, 1.15, 0.05),
        rim=(0.10, 0.14, 0.13),
        blur=0.36,
        fringe=0.002,
        vignette=0.04,
        noise=0.006,
        grain=1.3,
        halo=0.6,
        halo_um=0.6,
        jpeg=72,
    ),
    Source(
        name="phone",
        cell_px=26,
        background=(216, 217, 226),
        haemoglobin=(0.34, 0.40, 0.12),
        blue=(0.45, 0.38, 0.06),
        chromatin=(0.80, 0.90, 0.20),
        rim=(0.34, 0.38, 0.24),
        blur=0.34,
        fringe=0.004,
        vignette=0.16,
        slope=0.08,
        noise=0.008,
        colour_noise=0.004,
        grain=0.8,
        halo=1.2,
        halo_um=0.7,
        granular=0.015,
        day=1.3,
        jpeg=75,
    ),
    Source(
        name="mint",
        cell_px=42,
        background=(182, 213, 190),
        haemoglobin=(0.03, 0.66, 0.30),
        blue=(0.65, 0.50, 0.06),
        chromatin=(1.05, 1.40, 0.55),
        rim=(0.04, 0.20, 0.10),
        blur=0.28,
        vignette=0.05,
        noise=0.005,
        black=0.03,
        halo=0.3,
        saturation=1.1,
        jpeg=88,
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
"""The laboratories that ship with the program, by name."""

NEUTRAL = Source(
    name="neutral",
    cell_px=40,
    background=(225, 225, 225),
    haemoglobin=(0.24, 0.50, 0.24),
    blue=(0.55, 0.45, 0.10),
    chromatin=(1.00, 1.40, 0.40),
    rim=(0.12, 0.20, 0.12),
    blur=0.05,
    vignette=0.0,
    slope=0.0,
    noise=0.004,
    colour_noise=0.001,
    granular=0.004,
    day=0.0,
    jpeg=95,
)
"""A laboratory without a character of its own, and without differences from slide to slide."""


def faded(source: Source, strength: float) -> Source:
    """Return the source with its differences from `NEUTRAL` multiplied by `strength`; its name stays.

    Args:
        source: a laboratory.
        strength: 0 makes it `NEUTRAL` but for the name (no batch effect), 1 leaves it as it is.
    """
    if strength == 1.0:
        return source

    def between(low: float, high: float) -> float:
        return low + strength * (high - low)

    changed: dict[str, object] = {}
    for setting in fields(Source):
        here, there = getattr(NEUTRAL, setting.name), getattr(source, setting.name)
        if setting.name == "jpeg":
            # PNG is a JPEG without a fault: quality 100 on the way there.
            changed["jpeg"] = round(between(here, 100 if there is None else there))
        elif isinstance(here, tuple):
            changed[setting.name] = tuple(between(a, b) for a, b in zip(here, there, strict=True))
        elif setting.name != "name":
            changed[setting.name] = between(here, there)
    return Source(**{**vars(source), **changed})
