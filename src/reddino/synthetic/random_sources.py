"""Sources drawn from a stated random model of stain, light, optics, sensor and scale (domain randomisation).

The named sources of `sources.py` were modelled on real collections. The ranges here are not: they come from
how a bright-field photograph is made and from what a camera can do, and are meant to be wider than any one
collection.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.synthetic.sources import SOURCES, Colour, Source

#: Settings drawn evenly between two ends.
EVEN: dict[str, tuple[float, float]] = {
    "fringe": (0.0, 0.004),
    "vignette": (0.0, 0.3),
    "slope": (0.0, 0.12),
    "grain": (0.3, 1.6),
    "halo": (0.0, 1.3),
    "halo_um": (0.3, 0.8),
    "contrast": (0.85, 1.15),
    "black": (0.0, 0.08),
    "saturation": (0.6, 1.3),
    "day": (0.5, 1.4),
}
#: Settings whose logarithm is drawn evenly; cell_px is in pixels, blur in micrometres.
LOGARITHMIC: dict[str, tuple[float, float]] = {
    "cell_px": (20.0, 110.0),
    "blur": (0.1, 0.5),
    "noise": (0.002, 0.018),
    "colour_noise": (0.0005, 0.007),
    "gamma": (0.75, 1.3),
    "granular": (0.003, 0.02),
}
#: Light where nothing absorbs: its brightest colour of 255, and the even range of all three before scaling.
LIGHT, TINT = (95.0, 254.0), (0.68, 1.0)
#: Optical density of the colour that an amount 1 of haemoglobin's dye absorbs most.
STAIN = (0.25, 0.8)
#: The same for the basic dyes, against haemoglobin's.
BLUE_OVER_STAIN, CHROMATIN_OVER_STAIN = (0.7, 1.5), (1.6, 3.2)
#: Dirichlet parameters of how a dye's absorption is shared among red, green and blue light. Haemoglobin's dye
#: may be of any colour: pink and lilac absorb green, brown blue, blue red, grey all. The basic dyes are blue
#: to purple: they absorb red and green.
STAIN_SHARES, BLUE_SHARES, CHROMATIN_SHARES = (1.6, 2.4, 1.6), (6.0, 4.5, 1.0), (5.0, 6.5, 2.0)
#: Share of grey in haemoglobin's colour, and refraction at its rim against STAIN, which is nearly grey.
GREY, RIM_OVER_STAIN = (0.0, 0.8), (0.1, 0.7)
#: Focus of red, green and blue light against the source's blur.
COLOUR_BLUR = (0.7, 1.4)
#: Share of sources that write PNG, and the quality of the others' JPEG.
PNG, JPEG = 0.15, (45, 97)

_NAME = re.compile(r"random-(0|[1-9][0-9]*)-([0-9]{2,})")
_MANY = re.compile(r"random:([0-9]+)")
#: As many sources of one seed as a name counts.
MOST = 100


def _colour(values: NDArray[np.float64]) -> Colour:
    red, green, blue = (round(float(value), 4) for value in values)
    return red, green, blue


def _dye(rng: np.random.Generator, peak: float, shares: Colour, grey: float = 0.0) -> Colour:
    """Return optical densities of the colour `shares`, mixed with `grey` of an even one; largest: `peak`."""
    colour = rng.dirichlet(shares)
    colour = (1.0 - grey) * colour / colour.max() + grey
    return _colour(peak * colour)


def random_source(seed: int, number: int) -> Source:
    """Draw a laboratory from the model that this module states; a function of its arguments alone.

    Args:
        seed: not negative.
        number: which of the seed's sources, from 0 to 99. Others of the seed do not change it.

    Returns:
        The source, named `random-SEED-NUMBER`, such as `random-101-03`.
    """
    rng = np.random.default_rng([seed, number, 10])
    drawn = {name: round(float(rng.uniform(*ends)), 4) for name, ends in EVEN.items()}
    drawn |= {name: float(np.exp(rng.uniform(*np.log(ends)))) for name, ends in LOGARITHMIC.items()}
    drawn = {name: round(value, 1 if name == "cell_px" else 4) for name, value in drawn.items()}
    tint = rng.uniform(*TINT, 3)
    stain = float(rng.uniform(*STAIN))
    return Source(
        name=f"random-{seed}-{number:02d}",
        background=_colour(rng.uniform(*LIGHT) * tint / tint.max()),
        haemoglobin=_dye(rng, stain, STAIN_SHARES, rng.uniform(*GREY)),
        blue=_dye(rng, stain * rng.uniform(*BLUE_OVER_STAIN), BLUE_SHARES),
        chromatin=_dye(rng, stain * rng.uniform(*CHROMATIN_OVER_STAIN), CHROMATIN_SHARES),
        rim=_colour(stain * rng.uniform(*RIM_OVER_STAIN) * rng.uniform(0.6, 1.0, 3)),
        colour_blur=_colour(rng.uniform(*COLOUR_BLUR, 3)),
        jpeg=None if rng.random() < PNG else int(rng.integers(JPEG[0], JPEG[1] + 1)),
        **drawn,
    )


def named_source(name: str) -> Source:
    """Return the source of a name: one of `SOURCES`, or a random one such as `random-101-03`.

    Raises:
        RedDinoError: no source has that name.
    """
    if name in SOURCES:
        return SOURCES[name]
    drawn = _NAME.fullmatch(name)
    if drawn is None or f"{int(drawn[2]):02d}" != drawn[2] or int(drawn[2]) >= MOST:
        raise RedDinoError(
            f"no synthetic source is called {name!r}; known are: {', '.join(SOURCES)}, random:COUNT and "
            "random-SEED-NUMBER, such as random-101-03"
        )
    return random_source(int(drawn[1]), int(drawn[2]))


def source_names(names: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Write `random:COUNT` out as the names of the first COUNT sources of `seed`; other names stay.

    Raises:
        RedDinoError: COUNT is not from 1 to 100.
    """
    written: list[str] = []
    for name in names:
        many = _MANY.fullmatch(name)
        if many is None:
            written.append(name)
            continue
        if not 1 <= int(many[1]) <= MOST:
            raise RedDinoError(f"{name}: as many as 1 to {MOST} sources of a seed can be drawn")
        written += [f"random-{seed}-{number:02d}" for number in range(int(many[1]))]
    return tuple(written)
