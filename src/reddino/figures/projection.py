"""From vectors to the plane: principal components, and a seeded UMAP after them; equal vectors are one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA

from reddino.embedding.equal_vectors import EqualVectors, equal_vectors
from reddino.embedding.view_encoder import Vectors
from reddino.figures.choices import Method
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage

Points = npt.NDArray[np.float64]

#: Directions that are kept before UMAP: neighbours hardly change, and their search takes a fraction.
COMPONENTS = 50
#: Different vectors that a UMAP needs.
LEAST_FOR_UMAP = 4
#: Vectors whose largest number is smaller, or larger than one over it, are scaled.
LEAST_SCALE = 1e-6


@dataclass(frozen=True)
class MapLayout:
    """Points (n, 2) of a map.

    Attributes:
        xy: finite; equal vectors have one point.
        method: by which it was made in the end.
        notes: for the reader of the map.
        place: returns the points (m, 2) of further vectors (m, d) on the same map; those of a UMAP are not
            exactly reproducible in batches of other vectors.
    """

    xy: Points
    method: Method
    notes: tuple[str, ...]
    place: Callable[[Vectors], Points]


def layout(vectors: Vectors, method: Method, seed: int = 0) -> MapLayout:
    """Lay out a map of vectors (n, d), whatever they are: few, equal, of one number.

    Equal vectors are laid out once. Of fewer than four different vectors, principal components are the map.
    """
    equal = equal_vectors(vectors)
    notes = [f"{sentence}; equal vectors are drawn on one point"] if (sentence := equal.sentence()) else []
    different = len(equal.first)
    if method == "umap" and different < LEAST_FOR_UMAP:
        method = "pca"
        notes.append(
            f"a UMAP needs {LEAST_FOR_UMAP} different vectors, and there are {different}: the map shows "
            "principal components"
        )
    if method == "umap":
        with stage("laying out the map (UMAP)"):
            made = fit_umap(vectors[equal.first], seed=seed)
        if np.isfinite(made.points).all():
            return MapLayout(made.points[equal.group], method, tuple(notes), made.place)
        notes.append("UMAP found no finite place for some vectors: the map shows principal components")
    points, place = _components_of(vectors, equal)
    return MapLayout(points[equal.group], "pca", tuple(notes), place)


def _components_of(vectors: Vectors, equal: EqualVectors) -> tuple[Points, Callable[[Vectors], Points]]:
    """Return principal components (m, 2) of the different vectors, 0 where there are fewer; and of others."""
    if len(equal.first) == 1:
        return np.zeros((1, 2)), lambda others: np.zeros((len(others), 2))
    if min(vectors.shape) >= 2:
        points, place = _fit_pca(vectors)
        return points[equal.first], place
    mean = vectors.mean(dtype=np.float64)

    def centred(others: Vectors) -> Points:
        moved = others.astype(np.float64) - mean
        return np.hstack([moved, np.zeros_like(moved)])

    return centred(vectors[equal.first]), centred


def pca_2d(vectors: Vectors) -> Points:
    """Return the first two principal components (n, 2) of vectors (n, d), exact: no seed is needed."""
    return _fit_pca(vectors)[0]


def _fit_pca(vectors: Vectors) -> tuple[Points, Callable[[Vectors], Points]]:
    """Return the first two principal components (n, 2) of vectors, and a function that returns others'."""
    if min(vectors.shape) < 2:
        raise ValueError(f"a map needs at least two vectors of two numbers, not {vectors.shape}")
    solver = "covariance_eigh" if len(vectors) >= vectors.shape[1] else "full"
    fitted = PCA(2, svd_solver=solver)
    points: Points = fitted.fit_transform(vectors.astype(np.float64))

    def place(others: Vectors) -> Points:
        found: Points = fitted.transform(others.astype(np.float64))
        return found

    return points, place


@dataclass(frozen=True)
class LinearReduction:
    """Principal components of vectors, or the centred vectors.

    Attributes:
        mean: (d,) of the vectors.
        basis: (d, c) of the components; None: vectors are centred alone.
    """

    mean: Points
    basis: Points | None

    def of(self, vectors: Vectors) -> Vectors:
        """Return vectors (n, d) so reduced."""
        if self.basis is None:
            return np.asarray(vectors - self.mean.astype(np.float32), dtype=np.float32)
        basis = self.basis
        return np.concatenate(
            [((block - self.mean) @ basis).astype(np.float32) for block in _blocks(vectors)]
        )


def reduce_dimensions(vectors: Vectors, components: int = COMPONENTS) -> Vectors:
    """Return principal components (n, c) of vectors (n, d) if that is fewer numbers, else centred."""
    return find_reduction(vectors, components).of(vectors)


def find_reduction(vectors: Vectors, components: int = COMPONENTS) -> LinearReduction:
    """Return what `reduce_dimensions` does to vectors (n, d).

    Works in float64 sums over blocks, so that 240,000 vectors need little further memory.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    if vectors.shape[1] <= components or len(vectors) <= components:
        return LinearReduction(mean, None)
    covariance = np.zeros((vectors.shape[1], vectors.shape[1]))
    for block in _blocks(vectors):
        centred = block - mean
        covariance += centred.T @ centred
    basis = np.linalg.eigh(covariance)[1][:, ::-1][:, :components]
    # An eigenvector's sign is arbitrary: the largest entry is made positive, on every machine.
    basis *= np.sign(basis[np.abs(basis).argmax(axis=0), np.arange(components)])
    return LinearReduction(mean, basis)


@dataclass(frozen=True)
class FittedUmap:
    """A UMAP that places further vectors.

    Attributes:
        points: (n, 2) of the vectors that it was fitted on.
        reduction: of vectors, before it.
        scale: by which the reduced ones are divided.
        mapper: umap-learn's.
    """

    points: Points
    reduction: LinearReduction
    scale: float
    mapper: Any

    def place(self, vectors: Vectors) -> Points:
        """Return the points (m, 2) of further vectors (m, d)."""
        reduced = (self.reduction.of(vectors) / self.scale).astype(np.float32)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            points: Points = self.mapper.transform(reduced).astype(np.float64)
        return points


def umap_2d(
    vectors: Vectors, *, seed: int = 0, neighbours: int = 15, min_dist: float = 0.1, epochs: int | None = None
) -> Points:
    """Return the points (n, 2) that `fit_umap` finds for vectors (n, d)."""
    return fit_umap(vectors, seed=seed, neighbours=neighbours, min_dist=min_dist, epochs=epochs).points


def fit_umap(
    vectors: Vectors, *, seed: int = 0, neighbours: int = 15, min_dist: float = 0.1, epochs: int | None = None
) -> FittedUmap:
    """Compute a UMAP (n, 2) of vectors (n, d), reproducible by seed (McInnes, Healy & Melville 2018).

    The vectors are first reduced to their principal components; the layout starts from the first two, which
    keeps the large distances meaningful where it can (Kobak & Linderman 2021).

    Args:
        vectors: at least 4 of them.
        seed: of the search for neighbours and of the layout.
        neighbours: of each point in the graph; fewer where there are fewer points.
        min_dist: how closely points may be packed.
        epochs: of the layout; None: umap-learn's choice (500, or 200 beyond 10,000 points).

    Raises:
        RedDinoError: too few vectors, or numbers that are not finite.
    """
    if len(vectors) < LEAST_FOR_UMAP:
        raise RedDinoError(f"a UMAP needs at least {LEAST_FOR_UMAP} vectors, and there are {len(vectors)}")
    if not np.isfinite(vectors).all():
        raise RedDinoError("the vectors hold numbers that are not finite; embed again in fp32")
    umap = _umap()

    reduction = find_reduction(vectors)
    reduced = reduction.of(vectors)
    largest, scale = float(np.abs(reduced).max()), 1.0
    if not LEAST_SCALE < largest < 1 / LEAST_SCALE:
        # Only the shape matters to UMAP, whose float32 squares would overflow or vanish.
        scale = largest or 1.0
        reduced = (reduced / scale).astype(np.float32)
    mapper = umap.UMAP(
        n_neighbors=min(neighbours, len(vectors) - 1),
        min_dist=min_dist,
        n_epochs=epochs,
        init=_start(reduced, seed),
        random_state=seed,
        n_jobs=1,
        low_memory=True,
    )
    with warnings.catch_warnings():
        # It warns that one seed means one thread, which is intended; and divisions that fail are
        # looked for in its result.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        points: Points = mapper.fit_transform(reduced).astype(np.float64)
    return FittedUmap(points, reduction, scale, mapper)


def _start(reduced: Vectors, seed: int) -> Vectors:
    """Return where a layout starts (n, 2): the first two components, each of which varies a little."""
    start = pca_2d(reduced) if min(reduced.shape) > 1 else np.repeat(reduced, 2, axis=1).astype(np.float64)
    start *= 10.0 / max(float(np.abs(start).max()), 1e-12)
    flat = np.ptp(start, axis=0) < 1e-3
    start[:, flat] += np.random.default_rng(seed).normal(scale=1e-2, size=(len(start), int(flat.sum())))
    return start.astype(np.float32)


def _umap() -> Any:
    """Import umap, whose machine code is kept between processes: compiling takes longer than a map."""
    import umap
    from numba.core.dispatcher import Dispatcher
    from umap import distances, layouts, umap_, utils

    for module in (distances, layouts, umap_, utils):
        for function in vars(module).values():
            if isinstance(function, Dispatcher) and function.py_func.__module__ == module.__name__:
                # Where no folder can be written to, it is compiled each time.
                with suppress(RuntimeError, OSError):
                    function.enable_caching()
    return umap


def _blocks(vectors: Vectors, rows: int = 16_384) -> list[Vectors]:
    return [vectors[first : first + rows] for first in range(0, len(vectors), rows)]
