"""Simulated reviews: what was tested is never shown, and a better order shows as such."""

from __future__ import annotations

import numpy as np
import pytest
from pools import NAMES, clustered_cells

from reddino.foundations.errors import RedDinoError
from reddino.reviewing import simulate as module
from reddino.reviewing.choices import Strategy
from reddino.reviewing.learning import fit_probe
from reddino.reviewing.pool import CellVectors, Labelled, Numbers, Pool
from reddino.reviewing.simulate import simulate


def labels_of(classes: Numbers) -> list[str]:
    return [NAMES[one] for one in classes]


def test_simulate__has_a_step_for_each_strategy_seed_and_batch() -> None:
    cells, classes = clustered_cells()
    sim = simulate(cells, labels_of(classes), ["random", "default"], budget=50, batch=20, seeds=2)
    assert [(one.strategy, one.seed, one.labels) for one in sim.steps] == [
        (strategy, seed, labels)
        for seed in (0, 1)
        for strategy in ("random", "default")
        for labels in (20, 40, 50)
    ]
    assert all(0 <= one.macro_f1 <= 1 for one in sim.steps)
    again = simulate(cells, labels_of(classes), ["random", "default"], budget=50, batch=20, seeds=2)
    assert again == sim


def test_simulate__finds_the_rare_class_earlier_than_random() -> None:
    cells, classes = clustered_cells()
    sim = simulate(cells, labels_of(classes), ["random", "default"], budget=100, batch=20, seeds=2)
    rare = {(one.strategy, one.seed): one for one in sim.found if one.name == "ring"}
    for seed in (0, 1):
        own = rare["default", seed]
        assert own.first is not None and own.first <= 20
        assert 4 <= own.cells <= 12 and own.pool == 608
    means = {
        name: np.mean([one.macro_f1 for one in sim.steps if one.strategy == name])
        for name in ("random", "default")
    }
    assert means["default"] > means["random"]


def test_simulate__counts_when_the_first_and_the_tenth_were_labelled(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, classes = clustered_cells()

    def in_order(strategy: Strategy, pool: Pool, labelled: Labelled, *, count: int, **_: object) -> Numbers:
        return labelled.open_rows(pool)[:count]

    monkeypatch.setattr(module, "rank", in_order)
    (tested, *_) = module._tested(cells, 1)
    shown = np.setdiff1d(np.arange(len(cells)), tested)
    sim = simulate(cells, labels_of(classes), ["random"], budget=60, batch=20, seeds=1)
    for one in sim.found:
        places = np.flatnonzero(classes[shown[:60]] == NAMES.index(one.name)) + 1
        assert one.first == (places[0] if len(places) else None)
        assert one.tenth == (places[9] if len(places) > 9 else None)


def test_simulate__never_shows_a_tested_group(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, classes = clustered_cells()
    seen: list[set[int]] = []

    def watched(asked: Pool, labelled: Labelled) -> object:
        seen.append(set(asked.groups[labelled.rows].tolist()))
        return fit_probe(asked, labelled)

    monkeypatch.setattr(module, "fit_probe", watched)
    tested = [set(cells.groups[rows].tolist()) for rows in module._tested(cells, 3)]
    simulate(cells, labels_of(classes), ["coverage"], budget=40, batch=20, seeds=3)
    for seed in range(3):
        assert not tested[seed] & (seen[2 * seed] | seen[2 * seed + 1])
    assert set.union(*tested) == set(cells.groups.tolist())


def test_simulate__two_groups_test_each_other_and_one_is_refused() -> None:
    cells, classes = clustered_cells()
    two = CellVectors(cells.vectors, cells.fields, cells.fields % 2)
    first, second = module._tested(two, 2)
    assert set(two.groups[first].tolist()) | set(two.groups[second].tolist()) == {0, 1}
    one = CellVectors(cells.vectors, cells.fields, np.zeros(len(cells), np.int64))
    with pytest.raises(RedDinoError, match="a simulation needs two groups"):
        simulate(one, labels_of(classes), ["random"])


def test_simulate__ends_when_no_cell_is_left() -> None:
    cells, classes = clustered_cells()
    few = cells.only(np.arange(90))
    sim = simulate(few, labels_of(classes[:90]), ["margin"], budget=500, batch=40, seeds=1)
    assert sim.steps[-1].labels == len(few) - len(next(module._tested(few, 1)))


def test_simulate__looks_for_what_is_sought_and_refuses_what_is_no_class() -> None:
    cells, classes = clustered_cells()
    tenths = []
    for sought in ((), ("target",)):
        sim = simulate(cells, labels_of(classes), ["default"], sought=sought, budget=100, batch=20, seeds=2)
        assert sim.sought == sought
        labelled = [one for one in sim.found if one.name == "target"]
        tenths.append(np.mean([one.tenth or 1000 for one in labelled]))
    assert tenths[1] <= tenths[0]
    with pytest.raises(RedDinoError, match="no cell is labelled 'sickle', which is sought"):
        simulate(cells, labels_of(classes), ["default"], sought=("sickle",))
