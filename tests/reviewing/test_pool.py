"""Cells as arrays: components, strangeness and neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pools import answers, clustered_cells, clustered_pool
from stored_tables import store, write_stored

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.embedding.table_on_disk import open_table
from reddino.foundations.errors import RedDinoError
from reddino.reviewing.pool import CellVectors, Labelled, Pool


def test_pool__of_a_table_takes_pictures_as_fields_and_the_named_column_as_groups() -> None:
    table = pa.table(
        {
            "path": ["a.png", "a.png", "b.png", "c.png"],
            "source": ["lab"] * 4,
            "slide": ["1", "1", "1", "2"],
            "group": [""] * 4,
            "patient": [""] * 4,
        }
    )
    emb = Embeddings(np.eye(4, 8, dtype=np.float32), table, {})
    pool = CellVectors.of(emb, group_by="slide").pool()
    assert pool.fields.tolist() == [0, 0, 1, 2] and pool.groups.tolist() == [0, 0, 0, 1]
    assert list(pool.sources) == ["lab"] * 4
    with pytest.raises(RedDinoError, match="no column 'ward'"):
        CellVectors.of(emb, group_by="ward")


def test_features__are_principal_components_of_unit_size_in_any_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cells, _ = clustered_cells()
    pool = cells.pool()
    covariance = np.cov(pool.features.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02
    assert (pool.features**2).mean() == pytest.approx(1, rel=0.02)
    monkeypatch.setattr("reddino.reviewing.pool.AT_ONCE", 100)
    np.testing.assert_allclose(pool.projection.of(cells.vectors), pool.features, atol=1e-4)


def test_features__ignore_the_scale_of_a_number_and_numbers_that_never_change() -> None:
    cells, _ = clustered_cells()
    pool = cells.pool()
    scaled = cells.vectors * np.float32(10.0) ** np.linspace(-2, 2, 12, dtype=np.float32)
    constant = np.concatenate([scaled, np.full((len(pool), 1), 7, np.float32)], axis=1)
    other = CellVectors(constant, pool.fields, pool.groups).pool()
    far, same = (np.linalg.norm(one.features[0] - one.features[1:50], axis=1) for one in (pool, other))
    # A further component of zeros makes the unit smaller by a constant factor.
    np.testing.assert_allclose(same / far, np.full(49, (same / far).mean()), rtol=2e-3)


def test_strangeness__is_high_for_far_cells_and_measured_within_a_source() -> None:
    cells, classes = clustered_cells()
    pool = cells.pool()
    assert np.median(pool.strangeness) == pytest.approx(1)
    assert pool.strangeness[classes == 3].min() > np.quantile(pool.strangeness, 0.9)
    two = CellVectors(
        np.concatenate([cells.vectors, cells.vectors + 40]),
        np.tile(pool.fields, 2),
        np.tile(pool.groups, 2),
        ["near"] * len(pool) + ["far"] * len(pool),
    ).pool()
    assert np.median(two.strangeness[: len(pool)]) == pytest.approx(1, abs=0.01)
    assert np.median(two.strangeness[len(pool) :]) == pytest.approx(1, abs=0.01)


def test_strangeness__of_one_cell_or_of_equal_ones_is_ordinary() -> None:
    place = np.zeros(1, np.int64)
    assert CellVectors(np.ones((1, 4), np.float32), place, place).pool().strangeness.tolist() == [1.0]
    many = np.zeros(20, np.int64)
    assert CellVectors(np.ones((20, 4), np.float32), many, many).pool().strangeness.tolist() == [1.0] * 20


def test_nearest__equals_brute_force_and_leaves_the_given_rows_out() -> None:
    pool, _ = clustered_pool()
    given = [3, 70]
    far = np.linalg.norm(pool.features[:, None] - pool.features[given], axis=2).min(axis=1)
    far[given] = np.inf
    assert pool.nearest(given, 15).tolist() == np.argsort(far, kind="stable")[:15].tolist()
    assert len(pool.nearest(given, 10_000)) == len(pool) - 2
    assert pool.nearest(given, 0).tolist() == []


def test_nearest__among_some_are_the_nearest_of_these() -> None:
    pool, _ = clustered_pool()
    among = np.arange(len(pool)) % 3 == 0
    every = pool.nearest([3], len(pool))
    assert pool.nearest([3], 9, among).tolist() == every[among[every]][:9].tolist()
    assert pool.nearest([3], 9, np.zeros(len(pool), np.bool_)).tolist() == []


def test_of_table__equals_the_pool_of_vectors_in_memory(tmp_path: Path) -> None:
    write_stored(tmp_path, images=40, dim=12, dtype="float16")
    stored = open_table(tmp_path)
    streamed = Pool.of_table(stored)
    whole = CellVectors.of(read_embeddings(tmp_path)).pool()
    np.testing.assert_allclose(streamed.features, whole.features, atol=1e-5)
    np.testing.assert_allclose(streamed.projection.axes, whole.projection.axes, atol=1e-6)
    np.testing.assert_allclose(streamed.strangeness, whole.strangeness, rtol=1e-4)
    for name in ("fields", "groups"):
        assert getattr(streamed, name).tolist() == getattr(whole, name).tolist()
    assert list(streamed.sources) == list(whole.sources)


def test_of_table__refuses_vectors_that_are_not_finite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emb = Embeddings(np.ones((130, 4), np.float32), pa.table({"path": [f"{n}.png" for n in range(130)]}), {})
    emb.vectors[100, 2] = np.nan
    stored = open_table(store(tmp_path, emb))
    # The row with it is none of those that the components are found on.
    monkeypatch.setattr("reddino.reviewing.pool.drawn_rows", lambda rows, most=0: np.arange(50))
    with pytest.raises(RedDinoError, match=r"100\.png"):
        Pool.of_table(stored)


def test_labelled__of_answers_knows_counts_and_what_is_open() -> None:
    pool, classes = clustered_pool()
    labelled = Labelled.of({4: "oval", 2: "disc", 9: "oval"}, passed={7})
    assert labelled.names == ("disc", "oval") and labelled.counts.tolist() == [1, 2]
    assert labelled.rows.tolist() == [4, 2, 9] and len(labelled) == 3
    assert not {2, 4, 7, 9} & set(labelled.open_rows(pool).tolist())
    assert answers(classes, np.arange(5)).only(np.array([0, 2])).rows.tolist() == [0, 2]
    named = Labelled.of({}, ["b", "a"])
    assert named.counts.tolist() == [0, 0] and len(named.open_rows(pool)) == len(pool)


def test_only__keeps_everything_of_some_cells(tmp_path: Path) -> None:
    cells, _ = clustered_cells()
    cells = CellVectors(cells.vectors, cells.fields, cells.groups, [str(row) for row in range(len(cells))])
    some = cells.only(np.arange(len(cells)) % 2 == 1)
    assert some.sources[:2] == ["1", "3"] and some.fields.tolist() == cells.fields[1::2].tolist()
    assert len(some) == len(cells) // 2


def test_pool__of_a_table_with_a_vector_that_is_not_finite_is_refused_by_name(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    vectors[7, 0] = np.nan
    table = pa.table({"path": [f"{row}.png" for row in range(40)], "source": ["lab"] * 40})
    store(tmp_path / "t", Embeddings(vectors, table, {}))
    with pytest.raises(RedDinoError, match=r"not finite \(the first is of 7.png\)"):
        Pool.of_table(open_table(tmp_path / "t"))
