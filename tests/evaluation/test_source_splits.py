"""Splits between sources: who teaches whom, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from reddino.evaluation.source_splits import cross_source, leave_one_source_out
from reddino.foundations.errors import RedDinoError


def cells(seed: int, sources: int) -> tuple[list[str], list[str]]:
    draw = np.random.default_rng(seed)
    names = [f"lab {i}" for i in range(sources)]
    source = [*names, *names, *draw.choice(names, 60)]
    label = [*["a"] * sources, *["b"] * sources, *draw.choice(["a", "b", "c"], 60)]
    return label, source


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sources", [2, 4])
def test_cross_source__each_source_teaches_each_other(seed: int, sources: int) -> None:
    labels, source = cells(seed, sources)
    of = np.array(source)
    splits = cross_source(labels, source)
    assert [split.name for split in splits] == sorted(set(source))
    pairs = set()
    for split in splits:
        assert np.array_equal(split.train, np.flatnonzero(of == split.name))
        for name, rows in split.tests:
            assert np.array_equal(rows, np.flatnonzero(of == name))
            pairs.add((split.name, name))
    assert pairs == {(a, b) for a in set(source) for b in set(source) if a != b}


@pytest.mark.parametrize("seed", range(3))
def test_leave_one_source_out__tests_each_source_once_by_all_others(seed: int) -> None:
    labels, source = cells(seed, 3)
    of = np.array(source)
    splits = leave_one_source_out(labels, source)
    assert len(splits) == 3
    for split in splits:
        ((name, rows),) = split.tests
        assert np.array_equal(rows, np.flatnonzero(of == name))
        assert np.array_equal(split.train, np.flatnonzero(of != name))


@pytest.mark.parametrize("protocol", [cross_source, leave_one_source_out])
def test_sources__one_is_not_enough_and_none_is_said(protocol: type) -> None:
    with pytest.raises(RedDinoError, match="at least two sources, but all cells are of 'lab'"):
        protocol(["a", "b"] * 3, ["lab"] * 6)
    with pytest.raises(RedDinoError, match="2 labelled cells name no source"):
        protocol(["a", "b"] * 2, ["lab", "lab", "", ""])


def test_cross_source__refuses_a_source_of_one_class() -> None:
    with pytest.raises(RedDinoError, match="'lab 2' has cells of one class only"):
        cross_source(["a", "b", "a", "a"], ["lab 1", "lab 1", "lab 2", "lab 2"])
