"""The pixels of a window of a whole slide, whatever the windows next to it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.synthetic.sources import Source
from reddino.synthetic.whole_slide.bank import Bank
from reddino.synthetic.whole_slide.faults import Fault
from reddino.synthetic.whole_slide.layout import THICK, Layout
from reddino.synthetic.whole_slide.populate import Bodies

Pixels = NDArray[np.uint8]
Plane = NDArray[np.float32]

#: Standard deviation in micrometres of the blur of the areas that are out of focus.
DEFOCUS = 1.3
#: Side in pixels of the noise that is laid over the slide again and again.
_NOISE = 1024
#: Optical densities (RGB) of a felt pen, and of the rim of an air bubble.
_INK = (1.9, 1.3, 0.35)
_RIM = (1.1, 1.15, 1.1)
#: Micrometres between the points at which zones are computed.
_COARSE = 8.0


@dataclass(frozen=True)
class SlidePixels:
    """Renders windows of a slide.

    Attributes:
        layout, bank, bodies: of the slide.
        source: the laboratory, with the slide's own pixels a cell.
        seed: of the noise.
    """

    layout: Layout
    bank: Bank
    bodies: Bodies
    source: Source
    seed: int

    @cached_property
    def _noise(self) -> NDArray[np.float32]:
        """The noise of the camera, one tile of it."""
        rng = np.random.default_rng([self.seed, zlib.crc32(self.source.name.encode())])
        grey = rng.standard_normal((_NOISE, _NOISE, 1), dtype=np.float32) * np.float32(self.source.noise)
        colour = rng.standard_normal((_NOISE, _NOISE, 3), dtype=np.float32)
        return np.asarray(grey + colour * np.float32(self.source.colour_noise), np.float32)

    @cached_property
    def _ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The right and the bottom end of each body."""
        sizes = np.array([stamp.density.shape[:2] for stamp in self.bank.stamps])[self.bodies.stamp]
        return self.bodies.left + sizes[:, 1], self.bodies.top + sizes[:, 0]

    @property
    def _margin(self) -> int:
        return int(np.ceil(4.0 * DEFOCUS * self.source.px_per_um)) + 2

    def window(self, left: int, top: int, width: int, height: int) -> Pixels:
        """Return the pixels (height, width, 3) of a window, which may reach beyond the slide."""
        margin = self._margin
        x0, y0 = left - margin, top - margin
        shape = (height + 2 * margin, width + 2 * margin)
        density = self._film(x0, y0, shape)
        self._stamp(density, x0, y0)
        faults = [fault for fault in self.layout.faults if self._meets(fault, x0, y0, shape)]
        depths = [(fault.kind, self._depth(fault, x0, y0, shape)) for fault in faults]
        for kind, depth in depths:
            _lay(kind, density, depth)
        np.negative(density, out=density)
        light = cv2.exp(density)
        light *= np.array(self.source.background, np.float32) / np.float32(255.0)
        light = self._focused(light, [depth for kind, depth in depths if kind == "out of focus"])
        inner = light[margin : margin + height, margin : margin + width]
        return self._exposed(np.ascontiguousarray(inner), left, top)

    def _film(self, x0: int, y0: int, shape: tuple[int, int]) -> Plane:
        """Return the optical density of dried plasma, thickest in the thick part."""
        step = _COARSE * self.source.px_per_um
        rows, columns = (int(np.ceil(size / step)) + 2 for size in shape)
        x = (x0 + step * np.arange(columns)) / self.source.px_per_um
        y = (y0 + step * np.arange(rows)) / self.source.px_per_um
        grid = np.meshgrid(x, y)
        thick = self.layout.zone(grid[0].ravel(), grid[1].ravel()).reshape(rows, columns)
        film = np.where(thick == THICK, 0.09, np.where(thick > 0, 0.02, 0.0)).astype(np.float32)
        film = cv2.GaussianBlur(film, (0, 0), 1.5)
        warp = np.array([[step, 0.0, 0.0], [0.0, step, 0.0]])
        film = cv2.warpAffine(
            film, warp, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(film[..., None] * np.array(self.source.haemoglobin, np.float32))

    def _stamp(self, density: Plane, x0: int, y0: int) -> None:
        """Add the bodies that meet the window, in place."""
        height, width = density.shape[:2]
        bodies = self.bodies
        right, bottom = self._ends
        meets = (bodies.left < x0 + width) & (right > x0) & (bodies.top < y0 + height) & (bottom > y0)
        for number in np.flatnonzero(meets).tolist():
            stamp = self.bank.stamps[bodies.stamp[number]].density
            x, y = int(bodies.left[number]) - x0, int(bodies.top[number]) - y0
            a, b = max(x, 0), max(y, 0)
            c, d = min(x + stamp.shape[1], width), min(y + stamp.shape[0], height)
            density[b:d, a:c] += stamp[b - y : d - y, a - x : c - x]

    def _meets(self, fault: Fault, x0: int, y0: int, shape: tuple[int, int]) -> bool:
        left, top, right, bottom = (edge * self.source.px_per_um for edge in fault.box())
        return left < x0 + shape[1] and right > x0 and top < y0 + shape[0] and bottom > y0

    def _depth(self, fault: Fault, x0: int, y0: int, shape: tuple[int, int]) -> Plane:
        """Return the depth (H, W) in micrometres within a fault, computed at every fourth pixel."""
        x = (x0 + 4.0 * np.arange(shape[1] // 4 + 2) + 0.5) / self.source.px_per_um
        y = (y0 + 4.0 * np.arange(shape[0] // 4 + 2) + 0.5) / self.source.px_per_um
        coarse = fault.depth(*np.meshgrid(x, y)).astype(np.float32)
        warp = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])
        return np.asarray(
            cv2.warpAffine(coarse, warp, shape[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        )

    def _focused(self, light: Plane, blurred: list[Plane]) -> Plane:
        """Apply the optics' own blur, and that of areas out of focus."""
        light = cv2.GaussianBlur(light, (0, 0), max(self.source.blur * self.source.px_per_um, 0.3))
        for depth in blurred:
            fraction = np.clip(depth / np.float32(6.0), 0.0, 1.0)[..., None]
            soft = cv2.GaussianBlur(light, (0, 0), DEFOCUS * self.source.px_per_um)
            light = light + fraction * (soft - light)
        return np.asarray(light, np.float32)

    def _exposed(self, light: Plane, left: int, top: int) -> Pixels:
        """Add the sensor's noise, fixed to the slide, and round."""
        rows = (np.arange(light.shape[0]) + top) % _NOISE
        columns = (np.arange(light.shape[1]) + left) % _NOISE
        light += self._noise[np.ix_(rows, columns)]
        light *= np.float32(255.0)
        return np.asarray(np.clip(np.rint(light, out=light), 0, 255), np.uint8)


def _lay(kind: str, density: Plane, depth: Plane) -> None:
    """Lay a fault over the optical density of a window, in place."""
    if kind == "pen mark":
        ink = np.clip(depth / np.float32(6.0), 0.0, 1.0)[..., None]
        density += ink * np.array(_INK, np.float32)
    elif kind == "fold":
        inside = np.clip(depth / np.float32(1.5), 0.0, 1.0)[..., None]
        edge = np.exp(-np.square((depth - np.float32(1.5)) / np.float32(1.2)))[..., None]
        density += inside * (density + np.float32(0.12)) + edge * np.float32(0.55)
    elif kind == "air bubble":
        inside = np.clip(depth / np.float32(2.0), 0.0, 1.0)[..., None]
        rim = np.exp(-np.square((depth - np.float32(3.5)) / np.float32(2.5)))[..., None]
        density *= 1.0 - np.float32(0.85) * inside
        density -= np.float32(0.04) * inside
        density += rim * np.array(_RIM, np.float32)
