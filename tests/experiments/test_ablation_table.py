"""The table of a campaign, whole and partial, from result files written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ablation_plans import write_plan

from ablation.plan import Plan, Run, read_plan
from ablation.results import write_result
from ablation.score import RANK, Scored
from ablation.table import CHOOSING, write_table

FOLDS = {
    "one": {"pretrain": ["other"], "tasks": ["shapes", "parasites"]},
    "two": {"pretrain": ["other"], "tasks": ["parasites"]},
}
NAMES = [
    f"{name} {what}" for name in ("probe", "1-NN", "20-NN") for what in ("macro F1", "wF1", "rare recall")
]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return read_plan(write_plan(tmp_path, folds=FOLDS, networks={"net": "efficientnet-lite0"}))


def write_run(out: Path, run: Run, **scores: float) -> None:
    """A result in which every classifier's measures are equal, and vary with the groups alone."""
    around = np.linspace(-0.01, 0.01, 50)
    scored = {
        title: Scored(
            "x",
            {**dict.fromkeys(NAMES, value), RANK: 100 * value},
            dict.fromkeys(NAMES, value + around),
            {"result": {"cells": 9, "groups": 7, "protocol": "kfold"}, "rare_classes": ["odd"]},
        )
        for title, value in scores.items()
    }
    training = {} if run.network else {"seconds": 120.0 + 60 * run.seed, "cpu_seconds": 90.0, "samples": 8}
    about = {"fold": run.fold, "arm": run.arm, "seed": run.seed, "training": training}
    write_result(out / run.folder, about, scored)


def read_table(plan: Plan, out: Path) -> tuple[list[str], dict[str, dict[str, dict[str, dict[str, float]]]]]:
    lines = write_table(plan, out).read_text().splitlines()
    return lines, json.loads((out / "table.json").read_text())["means_over_tasks"]


def test_write_table__each_task_counts_the_same(plan: Plan, tmp_path: Path) -> None:
    for seed, shift in ((0, 0.0), (1, 0.02)):
        write_run(tmp_path, Run("one", "A", seed), shapes=0.6 + shift, parasites=0.7 + shift)
        write_run(tmp_path, Run("two", "A", seed), parasites=0.9 + shift)
        write_run(tmp_path, Run("one", "KoLeo", seed), shapes=0.5 + shift, parasites=0.8 + shift)
        write_run(tmp_path, Run("two", "KoLeo", seed), parasites=0.9 + 3 * shift)
    for fold, scores in (("one", {"shapes": 0.5, "parasites": 0.5}), ("two", {"parasites": 0.5})):
        write_run(tmp_path, Run(fold, "net", 0, network="efficientnet-lite0"), **scores)
    lines, means = read_table(plan, tmp_path)
    whole = means["all folds"]
    assert whole["A"][CHOOSING]["mean"] == pytest.approx((0.61 + (0.71 + 0.91) / 2) / 2)
    assert whole["A"][CHOOSING]["sd"] == pytest.approx(0.02 / np.sqrt(2))
    assert whole["A"][CHOOSING]["difference"] is None
    # -10 on shapes; +10 and, with the second seed's 4 more, +2 on parasites.
    assert whole["KoLeo"][CHOOSING]["difference"] == pytest.approx((-0.10 + (0.10 + 0.02) / 2) / 2)
    assert whole["KoLeo"][CHOOSING]["difference_sd"] == pytest.approx(0.04 / 4 / np.sqrt(2))
    # Both vary alike with the groups, so that nothing is left of it in the difference.
    assert whole["KoLeo"][CHOOSING]["interval"] == pytest.approx([-0.02, -0.02])
    assert whole["net"][CHOOSING]["difference"] == pytest.approx(0.5 - 0.71)
    assert means["two"]["KoLeo"]["probe wF1"]["mean"] == pytest.approx(0.93)
    assert whole["A"][RANK]["mean"] == pytest.approx(71.0)
    assert not any("missing" in line for line in lines)
    row = next(line for line in lines if line.startswith("| KoLeo"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:4] == ["KoLeo", "2", "69.0 (2.1)", "-2.0 (-2.0 to -2.0; sd 0.7)"]
    assert cells[-2:] == ["2.5", "1.5"]


def test_write_table__a_partial_campaign_says_what_is_missing(plan: Plan, tmp_path: Path) -> None:
    write_run(tmp_path, Run("one", "A", 0), shapes=0.6)
    write_run(tmp_path, Run("one", "A", 1), shapes=0.8, parasites=0.7)
    lines, means = read_table(plan, tmp_path)
    assert means["one"]["A"][CHOOSING]["seeds"] == 1  # the seed that has all tasks of the fold
    assert means["one"]["A"][CHOOSING]["mean"] == pytest.approx(0.75)
    missing = [line for line in lines if "missing" in line]
    assert missing == [
        "- missing: one / A / seed 0: not scored on parasites",
        "- missing: one: net (seed 0); KoLeo (seed 0, 1)",
        "- missing: two: net (seed 0); A (seed 0, 1); KoLeo (seed 0, 1)",
    ]
    assert "- two: no run is scored on parasites" in lines


def test_write_table__nothing_finished_is_a_table_too(plan: Plan, tmp_path: Path) -> None:
    lines, means = read_table(plan, tmp_path)
    assert means == {}
    assert sum("missing" in line for line in lines) == 2
