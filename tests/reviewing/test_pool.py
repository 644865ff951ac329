"""Cells as arrays: components, strangeness and neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pools import answers, clustered_pool

from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.reviewing.pool import Labelled, Pool


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
    pool = Pool.of(emb, group_by="slide")
    assert pool.fields.tolist() == [0, 0, 1, 2] and pool.groups.tolist() == [0, 0, 0, 1]
    assert list(pool.sources) == ["lab"] * 4
    with pytest.raises(RedDinoError, match="no column 'ward'"):
        Pool.of(emb, group_by="ward")


def test_features__are_principal_components_of_unit_size_in_any_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool, _ = clustered_pool()
    covariance = np.cov(pool.features.T)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 0.02
    assert (pool.features**2).mean() == pytest.approx(1, rel=0.02)
    monkeypatch.setattr("reddino.reviewing.pool.AT_ONCE", 100)
    np.testing.assert_allclose(pool.projection.of(pool.vectors), pool.features, atol=1e-4)


def test_features__ignore_the_scale_of_a_number_and_numbers_that_never_change() -> None:
    pool, _ = clustered_pool()
    scaled = pool.vectors * np.float32(10.0) ** np.linspace(-2, 2, 12, dtype=np.float32)
    constant = np.concatenate([scaled, np.full((len(pool), 1), 7, np.float32)], axis=1)
    other = Pool(constant, pool.fields, pool.groups)
    far, same = (np.linalg.norm(one.features[0] - one.features[1:50], axis=1) for one in (pool, other))
    # A further component of zeros makes the unit smaller by a constant factor.
    np.testing.assert_allclose(same / far, np.full(49, (same / far).mean()), rtol=2e-3)


def test_strangeness__is_high_for_far_cells_and_measured_within_a_source() -> None:
    pool, classes = clustered_pool()
    assert np.median(pool.strangeness) == pytest.approx(1)
    assert pool.strangeness[classes == 3].min() > np.quantile(pool.strangeness, 0.9)
    two = Pool(
        np.concatenate([pool.vectors, pool.vectors + 40]),
        np.tile(pool.fields, 2),
        np.tile(pool.groups, 2),
        ["near"] * len(pool) + ["far"] * len(pool),
    )
    assert np.median(two.strangeness[: len(pool)]) == pytest.approx(1, abs=0.01)
    assert np.median(two.strangeness[len(pool) :]) == pytest.approx(1, abs=0.01)


def test_strangeness__of_one_cell_or_of_equal_ones_is_ordinary() -> None:
    place = np.zeros(1, np.int64)
    assert Pool(np.ones((1, 4), np.float32), place, place).strangeness.tolist() == [1.0]
    many = np.zeros(20, np.int64)
    assert Pool(np.ones((20, 4), np.float32), many, many).strangeness.tolist() == [1.0] * 20


def test_nearest__equals_brute_force_and_leaves_the_given_rows_out() -> None:
    pool, _ = clustered_pool()
    given = [3, 70]
    far = np.linalg.norm(pool.features[:, None] - pool.features[given], axis=2).min(axis=1)
    far[given] = np.inf
    assert pool.nearest(given, 15).tolist() == np.argsort(far, kind="stable")[:15].tolist()
    assert len(pool.nearest(given, 10_000)) == len(pool) - 2
    assert pool.nearest(given, 0).tolist() == []


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
    pool, _ = clustered_pool()
    pool = Pool(pool.vectors, pool.fields, pool.groups, [str(row) for row in range(len(pool))])
    some = pool.only(np.arange(len(pool)) % 2 == 1)
    assert some.sources[:2] == ["1", "3"] and some.fields.tolist() == pool.fields[1::2].tolist()
    assert len(some) == len(pool) // 2
