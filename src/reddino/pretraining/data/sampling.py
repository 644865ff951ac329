"""Which patch of which image the n-th training sample is: a function of the seed and n alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.data.image_index import ImageIndex
from reddino.pretraining.randomness import CROPS, ORDER, generator
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.run.recipe_sections import PatchUnit


def sample_rng(seed: int, sample: int) -> np.random.Generator:
    """Return the generator for everything random about the patch and the crops of one training sample."""
    return generator(seed, CROPS, sample)


@dataclass(frozen=True)
class PatchSpec:
    """Which squares of an image are training samples.

    Attributes:
        side: side of a patch in `unit`; an image smaller than that gives its largest square.
        unit: "px" (original pixels), "diameters" (of a red cell in that image), "um" (micrometres), or
            "image" (all of the image, whatever its shape; `side` is unused).
        layout: "random" (anywhere), "grid" (side by side, each once an epoch), or "cells" (around each cell
            that the manifest marks, once an epoch, where the patch fits into the image).
        an_epoch: how often an image of a random layout occurs in an epoch: "area" as often as patches fit
            side by side, "one" once.
        source_exponent: a source with n patches gets a part of each epoch in proportion to
            n ** source_exponent: 1 leaves the sources as they are, 0 gives each the same.
        candidates: random places that are compared for a patch of a random layout; the one whose pixels vary
            most is taken. 1 takes any place; more avoid empty background, where cells are sparse.
    """

    side: float = 224.0
    unit: PatchUnit = "px"
    layout: Literal["random", "grid", "cells"] = "random"
    an_epoch: Literal["area", "one"] = "area"
    source_exponent: float = 1.0
    candidates: int = 1
    batch_from: Literal["all", "source", "image"] = "all"
    batch: int = 1


def patch_spec(recipe: Recipe) -> PatchSpec:
    """Return the patches of a recipe."""
    data = recipe.data
    return PatchSpec(
        side=data.patch_side,
        unit=data.patch_unit,
        layout=data.layout,
        an_epoch=data.epoch_counts,
        source_exponent=data.source_exponent,
        candidates=data.candidates,
        batch_from=data.batch_from,
        batch=recipe.run.batch // recipe.run.accumulate,
    )


@dataclass(frozen=True)
class Patch:
    """A rectangle of stored pixels of image number `image` of the cache."""

    image: int
    x: int
    y: int
    width: int
    height: int

    def cut(self, cache: ImageCache) -> NDArray[np.uint8]:
        """Return its pixels, (height, width, 3) uint8 RGB; a view into the cache."""
        return cache.image(self.image)[self.y : self.y + self.height, self.x : self.x + self.width]

    def variation(self, cache: ImageCache) -> float:
        """Return how much its pixels vary: the standard deviation of about 16 x 16 of them in green.

        Red cells are darkest there.
        """
        green = self.cut(cache)[..., 1]
        step = max(1, min(green.shape) // 16)
        return float(green[::step, ::step].std())


class PatchOrder:
    """The endless, seeded sequence of patches of a cache: epoch after epoch, each a new permutation."""

    def __init__(self, index: ImageIndex, spec: PatchSpec, seed: int) -> None:
        """Count the patches.

        Raises:
            RedDinoError: patches are in cell diameters or micrometres and that of an image is unknown, or
                around cells of which none is marked.
        """
        self._spec, self._seed = spec, seed
        self._sizes = np.stack([index.width, index.height], axis=1)
        self._sides = _stored_sides(index, spec)
        self._grid = np.maximum(1, self._sizes // self._sides[:, None])
        once = spec.unit == "image" or (spec.layout, spec.an_epoch) == ("random", "one")
        counts = np.ones(len(index), np.int64) if once else self._grid.prod(axis=1)
        self._cells = np.empty((0, 3))
        if spec.layout == "cells":
            self._cells = _cells_inside(index, self._sizes, self._sides)
            counts = np.bincount(self._cells[:, 0].astype(np.int64), minlength=len(index))
        self._first = np.concatenate([[0], np.cumsum(counts)])
        self._by_source = _patches_by_source(index, counts)
        self._source_of_image = index.source
        self._epoch: tuple[int, NDArray[np.int64]] | None = None

    @property
    def samples_per_epoch(self) -> int:
        """Patches in an epoch."""
        return int(self._first[-1])

    def choose(self, sample: int, rng: np.random.Generator, cache: ImageCache) -> Patch:
        """Choose a training sample's patch: of `candidates` places from `rng` the one that varies most."""
        count = self._spec.candidates if self._spec.layout == "random" and self._spec.unit != "image" else 1
        drawn = [self.patch(sample, rng) for _ in range(count)]
        return drawn[0] if count == 1 else max(drawn, key=lambda patch: patch.variation(cache))

    def patch(self, sample: int, rng: np.random.Generator) -> Patch:
        """Return the patch of the training sample of that number; `rng` places a random one."""
        return self.patch_numbered(self.number(sample), rng)

    def number(self, sample: int) -> int:
        """Return which of the `samples_per_epoch` patches the training sample of that number is."""
        epoch, position = divmod(sample, self.samples_per_epoch)
        return int(self._numbers(epoch)[position])

    def patch_numbered(self, number: int, rng: np.random.Generator) -> Patch:
        """Return the patch of that number; `rng` places a random one."""
        image = int(np.searchsorted(self._first, number, side="right")) - 1
        width, height = (int(length) for length in self._sizes[image])
        if self._spec.unit == "image":
            return Patch(image, 0, 0, width, height)
        side = int(self._sides[image])
        if self._spec.layout == "cells":
            # Cells lie in the order of their images, and so in that of the patches' numbers.
            left, top = np.rint(self._cells[number, 1:] - side / 2).astype(int)
            return Patch(image, min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)
        x, y = self._place(image, number - int(self._first[image]), rng)
        return Patch(image, round(x * (width - side)), round(y * (height - side)), side, side)

    def _place(self, image: int, number: int, rng: np.random.Generator) -> tuple[float, float]:
        """Return where a patch lies in the space it has, 0 (left, top) to 1; a grid spans the image."""
        if self._spec.layout == "random":
            return float(rng.random()), float(rng.random())
        columns, lines = (int(count) for count in self._grid[image])
        line, column = divmod(number, columns)
        return _spread(column, columns), _spread(line, lines)

    def _numbers(self, epoch: int) -> NDArray[np.int64]:
        """Return the patch numbers of an epoch in their order; the last epoch is kept."""
        if self._epoch is None or self._epoch[0] != epoch:
            self._epoch = epoch, self._draw(generator(self._seed, ORDER, epoch))
        return self._epoch[1]

    def _draw(self, rng: np.random.Generator) -> NDArray[np.int64]:
        weights = np.array([len(numbers) for numbers in self._by_source]) ** self._spec.source_exponent
        drawn: list[NDArray[np.int64]] = []
        for numbers, count in zip(self._by_source, _apportion(self.samples_per_epoch, weights), strict=True):
            whole, rest = divmod(int(count), len(numbers))
            drawn += [numbers] * whole
            drawn.append(rng.permutation(numbers)[:rest] if rest else numbers[:0])
        order = rng.permutation(np.concatenate(drawn))
        return order if self._spec.batch_from == "all" else self._together(order, rng)

    def _together(self, order: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Sort patches by source (and image, images in random order), and shuffle whole batches of them."""
        images = np.searchsorted(self._first, order, side="right") - 1
        keys = [self._source_of_image[images]]
        if self._spec.batch_from == "image":
            keys.insert(0, rng.permutation(len(self._sizes))[images])
        order = order[np.lexsort(keys)]
        whole = len(order) // self._spec.batch * self._spec.batch
        batches = rng.permutation(order[:whole].reshape(-1, self._spec.batch))
        return np.concatenate([batches.ravel(), order[whole:]])


def _stored_sides(index: ImageIndex, spec: PatchSpec) -> NDArray[np.int64]:
    """Return (n,) side of a patch of each image in stored pixels, at most the image's shorter side."""
    shorter = np.minimum(index.width, index.height)
    if spec.unit == "image":
        return shorter
    unit = index.scale
    if spec.unit == "um":
        um = index.um_per_px if len(index.um_per_px) else np.full(len(index), np.nan)
        unknown = np.flatnonzero(~(um > 0))
        if len(unknown):
            raise RedDinoError(
                "patches are cut in micrometres, and the size of a pixel is not known: manifest row "
                f"{index.row[unknown[0]]}; fill the column um_per_px or cut them in px"
            )
        unit = index.scale / um
    if spec.unit == "diameters":
        unit = index.cell_diameter
        unknown = np.flatnonzero(~(unit > 0))
        if len(unknown):
            raise RedDinoError(
                f"patches are cut in cell diameters, of which source '{index.source_name(unknown[0])}' has "
                f"none: manifest row {index.row[unknown[0]]}; fill the column cell_diameter or cut them in px"
            )
    return np.clip(np.rint(spec.side * unit).astype(np.int64), 1, shorter)


def _cells_inside(
    index: ImageIndex, sizes: NDArray[np.int64], sides: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the cells (m, 3) around which a patch of their image's side does not leave the image."""
    image = index.cells[:, 0].astype(np.int64)
    half = sides[image, None] / 2
    inside = ((index.cells[:, 1:] >= half) & (index.cells[:, 1:] <= sizes[image] - half)).all(axis=1)
    if not inside.any():
        raise RedDinoError(
            f"the manifest marks {len(image)} cells, and a patch fits around none: data.layout=cells; find "
            "cells with `reddino cells`, make data.patch_side smaller, or set data.layout=random"
        )
    return index.cells[inside]


def _spread(number: int, count: int) -> float:
    return 0.5 if count == 1 else number / (count - 1)


def _patches_by_source(index: ImageIndex, counts: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Return the numbers of the patches of each source that has any, rising."""
    kind = (
        np.uint16 if len(index.source_names) <= 2**16 else np.int64
    )  # short ones are sorted by their digits
    source_of_patch = np.repeat(index.source.astype(kind), counts)
    order = np.argsort(source_of_patch, kind="stable")
    ends = np.cumsum(np.bincount(source_of_patch, minlength=len(index.source_names)))
    return [numbers for numbers in np.split(order, ends[:-1]) if len(numbers)]


def _apportion(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Split `total` into whole numbers in proportion to `weights` (largest remainders)."""
    exact = total * weights / weights.sum()
    counts = np.floor(exact + 1e-6).astype(np.int64)
    largest = np.argsort(counts - exact, kind="stable")
    counts[largest[: total - int(counts.sum())]] += 1
    return np.asarray(counts)
