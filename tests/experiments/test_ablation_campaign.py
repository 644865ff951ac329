"""A campaign of two arms from end to end: what it writes, skips, continues and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ablation_plans import EXPERIMENTS

import reddino
from ablation.campaign import Campaign
from ablation.one_run import run_job
from ablation.plan import read_plan
from ablation.table import read_finished
from reddino.foundations.errors import RedDinoError

RECIPE = """
seed: 0
model: {backbone: vit_tiny_patch14, depth: 1, layer_scale: 1.0, drop_path: 0.0}
data: {patch_side: 2.0, patch_unit: diameters, layout: cells}
crops: {global_size: 28, local_size: 14, local_count: 1}
augmentation: {operations: [Blur, CLAHE], choose: 1}
loss: {ibot: 0.0}
head: {hidden: 16, bottleneck: 8, prototypes: 16}
run: {samples: 8, batch: 4}
runtime: {workers: 0, threads: 1, tensorboard: false}
online: {every: 0}
"""
TASKS = """
tasks:
  shapes:
    data: scored
    classes: {join: {round: [normal], other: [target, spherocyte, ovalocyte, elliptocyte]}, others: drop}
    view: cells
    side: 1.6
    unit: diameters
    keep_border: true
    protocol: leave-one-source-out
  parasites: {data: absent, view: cells, keep_border: true}
"""
PLAN = """
base: recipe.yaml
tasks: tasks.yaml
reference: A
scoring: {image_size: 28, cells: 200, least: 5, resamples: 20}
folds: {one: {pretrain: [seen], tasks: [shapes, parasites]}}
arms: {A: {}, KoLeo: {set: [loss.koleo=0.1]}}
networks: {sizes: cell-size, none: nowhere}
turned: [A]
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan with its data, and a campaign of which one run failed: log.txt is what it printed."""
    folder = tmp_path_factory.mktemp("campaign")
    for name, text in (("recipe", RECIPE), ("tasks", TASKS), ("plan", PLAN)):
        (folder / f"{name}.yaml").write_text(text)
    few = {"patients_per_source": 2, "fields_per_patient": 1, "field_um": 60}
    reddino.synthesise(folder / "seen", sources=["lilac"], seed=1, **few)
    reddino.synthesise(folder / "scored", sources=["olive", "mint"], seed=2, **few)
    done = ablate(folder, "--only", "A", "KoLeo", "sizes", "none", "--jobs", "2")
    (folder / "log.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 1, done.stdout + done.stderr
    return folder


def ablate(work: Path, *options: str) -> subprocess.CompletedProcess[str]:
    data = [f"{name}={work / name / 'manifest.csv'}" for name in ("seen", "scored")]
    command = [sys.executable, str(EXPERIMENTS / "ablate.py"), str(work / "plan.yaml")]
    return subprocess.run(
        [*command, "--out", str(work / "out"), "--data", *data, *options],
        env={**os.environ, "PYTHONPATH": str(EXPERIMENTS.parent / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_campaign__writes_a_result_a_run_and_keeps_no_tables(work: Path) -> None:
    runs = work / "out" / "runs" / "one"
    assert sorted(path.name for path in runs.iterdir()) == ["a", "koleo", "none", "sizes"]
    arm = json.loads((runs / "koleo" / "seed-0" / "result.json").read_text())
    training, shapes = arm["training"], arm["tasks"]["shapes"]
    assert (arm["arm"], training["samples"], training["recipe"]["loss"]["koleo"]) == ("KoLeo", 8, 0.1)
    assert set(arm["tasks"]) == {"shapes"}
    assert set(shapes["seen_in_pretraining"].values()) == {"unseen"}
    assert {"1-NN macro F1", "outlier AUROC", "effective rank", "iLISI"} <= set(shapes["values"])
    left = {path.name for path in (work / "out").rglob("*") if path.is_dir()}
    assert not left & {"tables", "checkpoints", "answers", "cache"}
    assert len(list((work / "out" / "packs").glob("*/pack.json"))) == 1
    log = (work / "log.txt").read_text()
    assert "one: 'parasites' is not scored, its data were not given" in log
    assert (work / "out" / "table.md").is_file()


def test_campaign__finished_runs_are_skipped(work: Path) -> None:
    plan = read_plan(work / "plan.yaml")
    said: list[str] = []
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    before = {path: path.stat().st_mtime_ns for path in (work / "out" / "runs").rglob("result.json")}
    only = ["A", "KoLeo", "sizes"]
    assert Campaign(plan, work / "out", paths, only=only, say=said.append).compute() == []
    assert said[-1] == "3 runs, 3 of them finished before"
    assert before == {path: path.stat().st_mtime_ns for path in (work / "out" / "runs").rglob("result.json")}


def test_campaign__a_finished_run_on_other_data_is_refused(work: Path) -> None:
    other = work / "scored" / "manifest.csv"
    paths = {"seen": other, "scored": other}
    campaign = Campaign(read_plan(work / "plan.yaml"), work / "out", paths, only=["A"], say=lambda line: None)
    with pytest.raises(RedDinoError, match="was pretrained on other data than those of this command"):
        campaign.compute()


def test_campaign__opens_what_it_scores_before_it_trains(work: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.csv").write_text("path,x\na.png,1;5\n")
    paths = {"seen": work / "seen" / "manifest.csv", "scored": tmp_path / "broken.csv"}
    with pytest.raises(RedDinoError, match=r"broken\.csv"):
        Campaign(read_plan(work / "plan.yaml"), tmp_path, paths, say=lambda line: None).compute()
    assert not (tmp_path / "runs").exists()


def test_campaign__other_cells_are_refused(work: Path) -> None:
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    other = Campaign(read_plan(work / "plan.yaml", cells=50), work / "out", paths, say=lambda line: None)
    with pytest.raises(RedDinoError, match="was scored otherwise"):
        other.compute()


def test_campaign__results_of_another_task_of_the_same_name_are_refused(work: Path) -> None:
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    (work / "changed.yaml").write_text(TASKS.replace("side: 1.6", "side: 1.4"))
    (work / "plan-changed.yaml").write_text(PLAN.replace("tasks: tasks.yaml", "tasks: changed.yaml"))
    campaign = Campaign(read_plan(work / "plan-changed.yaml"), work / "out", paths, say=lambda line: None)
    with pytest.raises(RedDinoError, match="'shapes' was scored before the task file was changed"):
        campaign.compute()


def test_campaign__a_run_that_fails_is_named_and_the_others_go_on(work: Path) -> None:
    log = (work / "log.txt").read_text()
    (failed,) = (line for line in log.splitlines() if line.startswith("failed: "))
    assert failed.startswith("failed: one / none / seed 0: ")
    assert "nowhere" in failed
    assert "[2/4] one / none / seed 0: failed" in log
    assert "[4/4] one / KoLeo / seed 0: trained " in log


def test_campaign__turned_views_are_of_the_arms_own_model(work: Path) -> None:
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    campaign = Campaign(read_plan(work / "plan.yaml"), work / "out", paths, only=["turned A"])
    (run,) = campaign.runs()
    model = work / "out" / "runs" / "one" / "a" / "seed-0" / "run" / "model"
    assert (model / "config.json").is_file()
    assert campaign.job(run).network == f"turned:{model}"
    assert campaign.job(run).recipe is None


def test_campaign__another_recipe_is_refused(work: Path) -> None:
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    plan = read_plan(work / "plan.yaml", overrides=("optim.lr=0.5",))
    campaign = Campaign(plan, work / "out", paths)
    (run,) = (one for one in campaign.runs() if one.arm == "KoLeo")
    with pytest.raises(RedDinoError, match="a finished run of another recipe or other data"):
        run_job(campaign.job(run).model_copy(update={"parent": 0}))


@pytest.mark.parametrize("change", ["recipe", "network"])
def test_campaign__results_of_another_recipe_or_network_are_refused_and_named(
    work: Path, change: str
) -> None:
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    text = PLAN if change == "recipe" else PLAN.replace("sizes: cell-size", "sizes: morphology")
    (work / f"plan-{change}.yaml").write_text(text)
    changed = ("optim.lr=0.5",) if change == "recipe" else ()
    plan = read_plan(work / f"plan-{change}.yaml", overrides=changed)
    arm = "KoLeo" if change == "recipe" else "sizes"
    with pytest.raises(RedDinoError, match="of another recipe or network than the plan's"):
        Campaign(plan, work / "out", paths, only=[arm], say=lambda line: None).compute()
    (note,) = (line for line in read_finished(plan, work / "out").notes if "another recipe" in line)
    assert f"one / {arm}" in note
    assert ("one / A" in note) == (change == "recipe")


def test_run_job__stops_when_its_campaign_was_killed(work: Path, tmp_path: Path) -> None:
    paths = {name: work / name / "manifest.csv" for name in ("seen", "scored")}
    campaign = Campaign(read_plan(work / "plan.yaml", seeds=(7,)), tmp_path, paths)
    (run,) = (one for one in campaign.runs() if one.arm == "KoLeo")
    orphan = campaign.job(run).model_copy(update={"parent": 1 << 30})
    with pytest.raises(KeyboardInterrupt):
        run_job(orphan)
    assert not (orphan.folder / "trained.json").exists()
    run_job(campaign.job(run).model_copy(update={"parent": 0}))
    assert (orphan.folder / "result.json").is_file()


def test_campaign__missing_data_and_unknown_names_are_refused_first(work: Path) -> None:
    plan = read_plan(work / "plan.yaml")
    scored = {"scored": work / "scored" / "manifest.csv"}
    with pytest.raises(RedDinoError, match="pretrains on 'seen'"):
        Campaign(plan, work / "out", scored).compute()
    with pytest.raises(RedDinoError, match="the plan has no arm 'B', only: A, KoLeo, sizes, none, turned A"):
        Campaign(plan, work / "out", scored, only=["B"]).compute()
    with pytest.raises(RedDinoError, match="there is no such file"):
        Campaign(plan, work / "out", {"seen": work / "no.csv", **scored}).compute()
    said: list[str] = []
    misspelt = {"seen": work / "seen" / "manifest.csv", "scord": scored["scored"]}
    Campaign(plan, work / "out", misspelt, say=said.append).check()
    assert said[0] == "--data scord: no fold or task of the plan has data of that name"
