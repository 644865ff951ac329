"""The draw of scored cells, rare classes, and the outlier scores of a class that the reference lacks."""

from __future__ import annotations

import numpy as np
import pytest

from ablation.cells import draw
from ablation.rare import novelty_rows, rare_classes
from reddino.evaluation.class_map import ClassMap
from reddino.evaluation.metrics import auroc
from reddino.figures.outliers import outlier_scores

STRATA = ["a"] * 700 + ["b"] * 250 + ["c"] * 50


def test_draw__natural_shares_but_enough_of_each() -> None:
    rows = draw(STRATA, cells=200, least=20)
    counts = {name: sum(STRATA[row] == name for row in rows.tolist()) for name in "abc"}
    assert counts == {"a": 140, "b": 50, "c": 20}
    assert len(set(rows.tolist())) == len(rows)
    assert rows.tolist() == sorted(rows.tolist())


def test_draw__takes_all_where_there_are_fewer() -> None:
    assert len(draw(STRATA, cells=5000, least=60)) == 1000
    assert sum(STRATA[row] == "c" for row in draw(STRATA, cells=10, least=60).tolist()) == 50


def test_draw__a_smaller_draw_is_part_of_a_larger_one() -> None:
    small, large = draw(STRATA, 100, 5), draw(STRATA, 300, 5)
    assert set(small.tolist()) < set(large.tolist())
    assert draw(STRATA, 100, 5).tolist() == small.tolist()


def test_rare_classes__the_quarter_with_the_fewest_cells_after_joining() -> None:
    labels = [name for place, name in enumerate("abcdefgh") for _ in range(9 - place)]
    assert rare_classes(labels, ClassMap()) == ["g", "h"]
    assert rare_classes(labels, ClassMap(join={"gh": ("g", "h")}, drop=("f",))) == ["e"]
    assert rare_classes(["x", "y", ""], ClassMap()) == ["x"]


def test_novelty_rows__the_reference_lacks_the_class() -> None:
    draw_of = np.random.default_rng(0)
    vectors = draw_of.normal(size=(240, 5)).astype(np.float32)
    # A tight cluster of its own: ordinary among all, novel without it.
    vectors[200:] = 0.3 * vectors[200:] + 6.0
    novel = np.arange(240) >= 200
    sources = ["s"] * 240
    rows = novelty_rows(vectors, sources, np.arange(240), novel)
    assert rows is not None and rows.positive is not None
    assert auroc(rows.truth == 1, rows.positive) == 1.0
    among_all = outlier_scores(vectors, sources)
    usual = auroc(novel, among_all)
    assert usual is not None and usual < 0.7
    # The other cells' scores are those of the package without the class.
    assert rows.positive[:200] == pytest.approx(outlier_scores(vectors[:200], sources[:200]))


def test_novelty_rows__sources_without_the_class_take_no_part() -> None:
    vectors = np.random.default_rng(1).normal(size=(60, 3)).astype(np.float32)
    sources = ["s"] * 30 + ["t"] * 30
    novel = np.arange(60) < 5
    rows = novelty_rows(vectors, sources, np.arange(60), novel)
    assert rows is not None
    assert rows.group.tolist() == list(range(30))
    assert novelty_rows(vectors, sources, np.arange(60), np.zeros(60, np.bool_)) is None
