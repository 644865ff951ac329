"""Projections: exact components, and a UMAP that follows from its seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import cdist, pdist

from reddino.figures.choices import Method
from reddino.figures.projection import layout, pca_2d, reduce_dimensions, umap_2d
from reddino.foundations.errors import RedDinoError


def test_pca_2d__equals_the_singular_vectors_up_to_sign() -> None:
    draw = np.random.default_rng(0)
    for shape in [(80, 12), (6, 40)]:
        vectors = (draw.normal(size=shape) * np.linspace(5, 1, shape[1])).astype(np.float32)
        centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
        left, scale, _ = np.linalg.svd(centred, full_matrices=False)
        expected = left[:, :2] * scale[:2]
        found = pca_2d(vectors)
        for axis in range(2):
            sign = np.sign(found[0, axis] * expected[0, axis])
            assert found[:, axis] == pytest.approx(sign * expected[:, axis], abs=1e-6)


def test_reduce_dimensions__keeps_the_distances_that_its_components_span() -> None:
    draw = np.random.default_rng(0)
    # Three directions hold everything, so that three components lose nothing.
    vectors = (draw.normal(size=(60, 3)) @ draw.normal(size=(3, 20)) + 5).astype(np.float32)
    reduced = reduce_dimensions(vectors, 3)
    assert reduced.shape == (60, 3)
    assert pdist(reduced) == pytest.approx(pdist(vectors.astype(np.float64)), rel=1e-4)


def test_reduce_dimensions__takes_the_directions_of_largest_variance() -> None:
    vectors = np.random.default_rng(1).normal(size=(80, 12)).astype(np.float32)
    reduced = reduce_dimensions(vectors, 4).astype(np.float64)
    centred = vectors - vectors.mean(axis=0, dtype=np.float64)
    assert (reduced**2).sum(axis=0) == pytest.approx(np.linalg.svd(centred)[1][:4] ** 2, rel=1e-4)


def test_umap_2d__is_the_same_for_a_seed_and_parts_what_is_far_apart() -> None:
    draw = np.random.default_rng(0)
    group = np.repeat([0, 1], 30)
    vectors = draw.normal(size=(60, 70)).astype(np.float32) + 20 * group[:, None].astype(np.float32)
    first, second = umap_2d(vectors, seed=3, epochs=60), umap_2d(vectors, seed=3, epochs=60)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, umap_2d(vectors, seed=4, epochs=60))
    near = cdist(first, first).argsort(axis=1)[:, 1:6]
    assert (group[near] == group[:, None]).all()


def test_umap_2d__refuses_what_it_cannot_lay_out() -> None:
    with pytest.raises(RedDinoError, match="at least 4 vectors"):
        umap_2d(np.zeros((3, 5), np.float32))
    broken = np.zeros((9, 5), np.float32)
    broken[2, 2] = np.nan
    with pytest.raises(RedDinoError, match="not finite"):
        umap_2d(broken)


def test_layout__draws_equal_vectors_on_one_point_apart_from_the_others() -> None:
    draw = np.random.default_rng(0)
    vectors = np.concatenate([np.ones((1000, 8)), 3 * draw.normal(size=(5, 8))]).astype(np.float32)
    made = layout(vectors, "umap")
    assert made.method == "umap"
    assert np.isfinite(made.xy).all()
    assert len(np.unique(made.xy, axis=0)) == 6
    assert len(np.unique(made.xy[:1000], axis=0)) == 1
    assert made.notes == (
        "1000 of 1005 vectors are equal to another (6 are different): copies of pictures, or a network that "
        "sees no difference; equal vectors are drawn on one point",
    )


@pytest.mark.parametrize("method", ["umap", "pca"])
@pytest.mark.parametrize(
    ("vectors", "different"),
    [
        (np.full((5, 4), 2.0), 1),
        (np.zeros((9, 4)), 1),
        (np.ones((1, 4)), 1),
        (np.eye(2, 4), 2),
        (np.repeat(np.eye(3, 4), 2, axis=0), 3),
        (np.arange(7.0).reshape(7, 1), 7),
        (np.eye(6, 9) * 1e20, 6),
        (np.eye(6, 9) * 1e-20, 6),
        (np.pad(np.arange(12.0).reshape(12, 1), ((0, 0), (3, 3))), 12),
    ],
)
@pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")
def test_layout__is_finite_whatever_the_vectors(
    method: Method, vectors: npt.NDArray[np.float64], different: int
) -> None:
    made = layout(vectors.astype(np.float32), method)
    assert made.xy.shape == (len(vectors), 2)
    assert np.isfinite(made.xy).all()
    assert len(np.unique(made.xy, axis=0)) == different
    assert made.method == ("pca" if different < 4 else method)
    assert any("a UMAP needs 4 different" in note for note in made.notes) == (
        method == "umap" and different < 4
    )
