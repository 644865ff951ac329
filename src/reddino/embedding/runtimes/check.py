"""Check whether two runtimes compute the same vectors, and choose the views for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.scales import Diameters, by_source
from reddino.views.spec import ViewSpec

Vectors = NDArray[np.float32]
#: Mean centred cosine that a runtime must keep against float32 torch.
FAITHFUL = 0.999


@dataclass(frozen=True)
class Agreement:
    """Centred cosine of two sets of vectors: its mean over the rows, and its least."""

    mean: float
    least: float

    @property
    def faithful(self) -> bool:
        """Whether the vectors may stand for one another."""
        return bool(self.mean >= FAITHFUL)


def agreement(vectors: Vectors, reference: Vectors) -> Agreement:
    """Return the cosine of each row with its reference, after the reference's mean is subtracted from both.

    Embeddings have a large part in common, which would make any two of them similar.

    Args:
        vectors: (n, d); or patch tokens (n, tokens, d), of which each counts as a row.
        reference: of the same shape, n of 2 or more.
    """
    vectors, reference = (found.reshape(-1, found.shape[-1]) for found in (vectors, reference))
    middle = reference.mean(axis=0, dtype=np.float64)
    a, b = vectors - middle, reference - middle
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    same = np.abs(vectors - reference).max(axis=1) == 0
    products = (a * b).sum(axis=1)
    cosines = np.where(same, 1.0, products / np.where(lengths > 0, lengths, np.inf))
    return Agreement(float(cosines.mean()), float(cosines.min()))


#: Images that views are cut from, spread over a manifest.
_LOOKED_AT = 8


def sample_views(
    manifest: Manifest, spec: ViewSpec, diameters: Diameters | None, count: int = 32
) -> NDArray[np.uint8]:
    """Cut views of a few images spread over the manifest, (n, s, s, 3); synthetic cells if too few.

    Args:
        manifest: of the pass that is to come.
        spec: its views.
        diameters: of the red cells, as for `ViewsByImage`.
        count: views, at most.
    """
    if spec.kind == "cells" and not manifest.is_cell().any():
        return synthetic_cells(count, spec.output)  # they are yet to be found
    if spec.kind == "cells":
        manifest = manifest.select(manifest.is_cell())
    views, failures = (
        ViewsByImage(_spread(manifest), spec, diameters=by_source(diameters) or None),
        Failures(),
    )
    squares, _ = views.place_all(failures)
    if len(squares):
        squares = squares[np.unique(np.linspace(0, len(squares) - 1, count).astype(int))]
    found = [pixels for _, pixels in views.cut_all(squares, failures)]
    sample = np.concatenate(found) if found else np.empty((0, spec.output, spec.output, 3), np.uint8)
    if len(sample) < 8:
        return synthetic_cells(count, spec.output)
    return sample


def planned_views(manifest: Manifest, spec: ViewSpec, diameters: Diameters | None) -> int:
    """Return about how many views a pass will have.

    Patches are counted in a few images spread over the manifest; cells that are yet to be found are estimated
    at: a field shows about a hundred.
    """
    images = len(manifest.images()[0])
    if spec.kind == "cells":
        return int(manifest.is_cell().sum()) or 100 * images
    if spec.kind != "patches":
        return images * (spec.per_image if spec.kind == "random" else 1)
    views, failures = (
        ViewsByImage(_spread(manifest), spec, diameters=by_source(diameters) or None),
        Failures(),
    )
    squares, _ = views.place_all(failures)
    return round(images * len(squares) / max(1, len(views) - failures.count))


def _spread(manifest: Manifest) -> Manifest:
    """Return the rows of a few images spread over a manifest."""
    images, codes = manifest.images()
    chosen = np.unique(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(int))
    return manifest.select(np.isin(codes, chosen))


def synthetic_cells(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """Draw discs of many sizes and colours on pale ground, (count, size, size, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size
    squares = np.empty((count, size, size, 3), np.uint8)
    for square in squares:
        picture = np.full((size, size, 3), rng.uniform(180, 240, 3))
        for _ in range(int(rng.integers(1, 7))):
            (cx, cy), radius = rng.uniform(0.1, 0.9, 2), rng.uniform(0.05, 0.35)
            inside = (x - cx) ** 2 + (y - cy) ** 2 < radius**2
            picture[inside] = rng.uniform(30, 220, 3)
        square[:] = np.clip(picture + rng.normal(0, 4, picture.shape), 0, 255)
    return squares
