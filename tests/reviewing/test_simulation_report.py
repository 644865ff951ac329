"""What a simulation showed: intervals, labels that random needs, and the files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from reddino.reviewing.simulate import Found, Simulation, Step
from reddino.reviewing.simulation_files import write_simulation
from reddino.reviewing.simulation_report import Average, SimulationReport, curve, expected_labels


def steps(strategy: str, seed: int, *scores: float) -> list[Step]:
    return [Step(strategy, seed, 20 * k, score, 2) for k, score in enumerate(scores, 1)]


def example(seeds: int = 3) -> Simulation:
    made, found = [], []
    for seed in range(seeds):
        made += steps("random", seed, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6)
        made += steps("default", seed, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7)
        found += [
            Found("random", seed, "ring", 19, 1000, 50, None),
            Found("default", seed, "ring", 19, 1000, 5, 50),
            Found("default", seed, "disc", 981, 1000, 1, 11),
        ]
    return Simulation(tuple(made), tuple(found))


def test_average__has_student_s_interval_from_three_seeds_on() -> None:
    values = [0.5, 0.6, 0.8, 0.7]
    own = Average.of(values)
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (own.mean, own.low, own.high) == pytest.approx((0.65, low, high))
    assert Average.of([0.5, 0.7]).shown() == "0.600"
    assert Average(0.5, 0.4, 0.6).shown(2) == "0.50 (0.40 to 0.60)"


def test_expected__labels_of_random_order_equal_the_mean_over_permutations() -> None:
    draw = np.random.default_rng(0)
    spent = [np.sort(draw.permutation(100)[:12])[9] + 1 for _ in range(4000)]
    assert expected_labels(10, Found("random", 0, "a", 12, 100, None, None)) == pytest.approx(
        np.mean(spent), rel=0.02
    )
    assert expected_labels(10, Found("random", 0, "a", 9, 100, None, None)) == float("inf")


def test_report__compares_with_random() -> None:
    random, default = SimulationReport.of(example()).strategies
    assert random.labels_for_random == 1.0 and random.rare_tenth == float("inf")
    # Means of three batches: random reaches 0.6 after 120 labels, default after 20.
    assert default.labels_for_random == pytest.approx(20 / 120)
    assert default.gain is not None and default.gain.mean == pytest.approx(0.1)
    # 10 x 1001 / 20 labels of random order, and 50 of this one; the other class is not rare.
    assert default.rare_tenth == pytest.approx(50 / 500.5)
    rows = SimulationReport.of(example()).rows()
    assert rows[0][-1] == "not reached" and rows[1][-2:] == ["0.17", "0.10"]


def test_report__without_random_compares_nothing() -> None:
    sim = example()
    alone = Simulation(tuple(one for one in sim.steps if one.strategy == "default"), ())
    (only,) = SimulationReport.of(alone).strategies
    assert only.gain is None and only.labels_for_random is None and only.rare_tenth is None
    assert SimulationReport.of(alone).rows() == [["default", "0.700 (0.700 to 0.700)", "", "", ""]]


def test_report__says_where_seeds_ran_out_of_cells_and_draws_no_mean_of_the_rest() -> None:
    sim = Simulation(tuple(steps("random", 0, 0.2, 0.4, 0.9) + steps("random", 1, 0.4, 0.6)), ())
    assert SimulationReport.of(sim).labels_shown == "40 to 60"
    assert curve(sim, "random")[0] == [20, 40]
    assert SimulationReport.of(example()).labels_shown == "120"


def test_curve__is_the_mean_over_seeds_at_each_number_of_labels() -> None:
    sim = Simulation((*steps("random", 0, 0.2, 0.4), *steps("random", 1, 0.4, 0.8)), ())
    labels, averages = curve(sim, "random")
    assert labels == [20, 40] and [one.mean for one in averages] == pytest.approx([0.3, 0.6])


def test_report__gives_the_scores_after_100_300_and_1000_labels_and_at_the_end() -> None:
    sim = Simulation(tuple(steps("random", 0, *np.linspace(0, 1, 51))), ())
    report = SimulationReport.of(sim)
    assert report.milestones() == [100, 300, 1000, 1020]
    assert report.after("random", 300).mean == pytest.approx(14 / 50)


def test_report__of_a_sought_class_counts_it_alone() -> None:
    sim = example()
    names = {one.name for one in sim.found}
    common = Found("default", 0, "common", 400, 1000, 1, 20)
    both = Simulation(sim.steps, (*sim.found, common), ("common",))
    assert "common" not in names
    assert SimulationReport.of(both).strategies[1].rare_tenth == pytest.approx(20 / (10 * 1001 / 401))


def test_files__hold_a_row_for_each_step_and_class(tmp_path: Path) -> None:
    written = write_simulation(tmp_path / "sim.csv", SimulationReport.of(example()), {"version": "1"}, "t")
    assert [one.name for one in written] == ["sim.csv", "sim.found.csv", "sim.json", "sim.png"]
    scores = list(csv.DictReader(written[0].open()))
    assert list(scores[0])[:4] == ["strategy", "seed", "labels", "macro_f1"] and len(scores) == 36
    found = list(csv.DictReader(written[1].open()))
    assert found[0]["labels_to_tenth"] == "" and found[0]["random_to_tenth"] == "500.5"
    summary = json.loads(written[2].read_text())
    assert summary["strategies"][0]["rare_tenth"] is None and summary["provenance"] == {"version": "1"}
    assert written[3].read_bytes().startswith(b"\x89PNG")
