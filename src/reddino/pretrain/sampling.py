"""Which patch of which image the n-th training sample is: a function of the seed and n alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reddino.errors import RedDinoError
from reddino.pretrain.image_cache import CachedImage, ImageCache

Image = npt.NDArray[np.uint8]

# Names of the independent random streams that one seed gives.
_ORDER, _SAMPLE = 0, 1


def sample_rng(seed: int, sample_index: int) -> np.random.Generator:
    """The generator for everything random about one training sample's crops."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _SAMPLE, sample_index))))


@dataclass(frozen=True)
class PatchSpec:
    """Which squares of an image are training samples.

    Attributes:
        side: side of a patch in `unit`; a field smaller than that gives its largest square.
        unit: "px" (original pixels), "diameters" (of the red cells of the image) or "image" (all of it; `side` unused).
        layout: "random" (anywhere) or "grid" (non-overlapping, each once an epoch).
        an_epoch: how often an image of a random layout occurs in an epoch: "area" as often as patches fit side by side,
            "one" once.
        source_exponent: a source with n patches gets a share of each epoch in proportion to n ** source_exponent:
            1 leaves the sources as they are, 0 gives each the same.
    """

    side: float = 224.0
    unit: Literal["px", "diameters", "image"] = "px"
    layout: Literal["random", "grid"] = "random"
    an_epoch: Literal["area", "one"] = "area"
    source_exponent: float = 1.0


@dataclass(frozen=True)
class Sample:
    """One training sample: image `entry` of the cache and the square of stored pixels that is its patch."""

    entry: int
    x: int
    y: int
    width: int
    height: int


class PatchOrder:
    """The endless, seeded sequence of patches of a cache, epoch after epoch, each a new permutation."""

    def __init__(self, cache: ImageCache, spec: PatchSpec, seed: int) -> None:
        """Count the patches.

        Raises:
            RedDinoError: patches are in cell diameters and an image's diameter is unknown.
        """
        self._cache, self._spec, self._seed = cache, spec, seed
        self._sides = np.array([_stored_side(entry, spec) for entry in cache.entries])
        sizes = np.array([(entry.width, entry.height) for entry in cache.entries])
        if spec.unit == "image":
            self._grid = np.ones_like(sizes)
        else:
            self._grid = np.maximum(1, (sizes + 1e-6) // self._sides[:, None]).astype(np.int64)
        once = spec.layout == "random" and spec.an_epoch == "one"
        counts = np.ones(len(sizes), np.int64) if once else self._grid.prod(axis=1)
        self._first_unit = np.concatenate([[0], np.cumsum(counts)])
        self._units_by_source = _units_by_source(cache, counts)
        self._epoch: tuple[int, npt.NDArray[np.int64]] | None = None

    @property
    def samples_per_epoch(self) -> int:
        """Patches in an epoch."""
        return int(self._first_unit[-1])

    def sample(self, index: int, rng: np.random.Generator) -> Sample:
        """The `index`-th sample since the start of training; `rng` places a random patch."""
        epoch, position = divmod(index, self.samples_per_epoch)
        unit = self._units(epoch)[position]
        entry_index = int(np.searchsorted(self._first_unit, unit, side="right")) - 1
        entry = self._cache.entries[entry_index]
        if self._spec.unit == "image":
            return Sample(entry_index, 0, 0, entry.width, entry.height)
        x, y = self._place(entry_index, int(unit - self._first_unit[entry_index]), rng)
        side = self._side_within(entry_index)
        return Sample(
            entry_index, round(x * (entry.width - side)), round(y * (entry.height - side)), side, side
        )

    def patch(self, sample: Sample) -> Image:
        """The pixels of a sample, (height, width, 3) uint8 RGB; a view into the cache."""
        image = self._cache.image(sample.entry)
        return image[sample.y : sample.y + sample.height, sample.x : sample.x + sample.width]

    def _side_within(self, entry_index: int) -> int:
        entry = self._cache.entries[entry_index]
        return max(1, min(round(self._sides[entry_index]), entry.width, entry.height))

    def _place(self, entry_index: int, unit: int, rng: np.random.Generator) -> tuple[float, float]:
        """Where the patch lies in the room it has, 0 (left, top) to 1; a grid is spread over the whole image."""
        if self._spec.layout == "random":
            return float(rng.random()), float(rng.random())
        columns, lines = self._grid[entry_index]
        line, column = divmod(unit, int(columns))
        return _spread(column, int(columns)), _spread(line, int(lines))

    def _units(self, epoch: int) -> npt.NDArray[np.int64]:
        """The patch numbers of an epoch in order; the last epoch asked for is kept."""
        if self._epoch is None or self._epoch[0] != epoch:
            rng = np.random.default_rng(np.random.SeedSequence((self._seed, _ORDER, epoch)))
            self._epoch = epoch, self._draw_epoch(rng)
        return self._epoch[1]

    def _draw_epoch(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        counts = np.array([len(units) for units in self._units_by_source])
        shares = _apportion(self.samples_per_epoch, counts.astype(np.float64) ** self._spec.source_exponent)
        parts: list[npt.NDArray[np.int64]] = []
        for units, share in zip(self._units_by_source, shares, strict=True):
            whole, rest = divmod(int(share), len(units))
            parts += [units] * whole
            parts.append(rng.permutation(units)[:rest] if rest else units[:0])
        return rng.permutation(np.concatenate(parts))


def _stored_side(entry: CachedImage, spec: PatchSpec) -> float:
    if spec.unit == "diameters":
        if not entry.cell_diameter > 0:
            raise RedDinoError(
                f"Patches are asked for in cell diameters but source '{entry.source}' has none (manifest row {entry.row}); "
                "fill the column cell_diameter, or cut patches in px."
            )
        return spec.side * entry.cell_diameter
    return spec.side * entry.scale


def _spread(number: int, count: int) -> float:
    return 0.5 if count == 1 else number / (count - 1)


def _units_by_source(cache: ImageCache, counts: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    sources = np.array([entry.source for entry in cache.entries])
    source_of_unit = np.repeat(np.unique(sources, return_inverse=True)[1], counts)
    return [np.flatnonzero(source_of_unit == number) for number in range(int(source_of_unit.max()) + 1)]


def _apportion(total: int, weights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Split `total` into whole shares in proportion to `weights` (largest remainders)."""
    exact = total * weights / weights.sum()
    shares = np.floor(exact + 1e-9).astype(np.int64)
    order = np.argsort(-(exact - shares), kind="stable")
    shares[order[: total - int(shares.sum())]] += 1
    return shares
