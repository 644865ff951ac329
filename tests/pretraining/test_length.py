"""A run may be lengthened when it is resumed; its data go on, its schedules are those of the new length."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from micro_run import checkpoint_digest, draw_images, micro_recipe, run_micro

from reddino.foundations.errors import RedDinoError
from reddino.networks.folder import read_card
from reddino.pretraining.run.folder import RunFolder, read_metrics
from reddino.pretraining.run.recipe import read_recipe
from reddino.pretraining.schedules import values_at

DATA = "0123456789abcdef"
#: Schedules without a course: a step is the same, whatever the length of the run.
FLAT = [
    "optim.lr=1e-4", f"optim.lr_end={1e-4 * (4 / 1024) ** 0.5}", "optim.warmup=0", "optim.weight_decay=0.1",
    "optim.weight_decay_end=0.1", "optim.ema_start=0.99", "optim.ema_end=0.99",
    "temperature.teacher_start=0.05", "temperature.teacher_end=0.05", "runtime.log_every=1",
]  # fmt: skip


def test_lengthened_run__goes_on_with_the_next_sample(tmp_path: Path) -> None:
    images = draw_images(tmp_path / "images")
    run_micro(images, tmp_path / "once", [*FLAT, "run.samples=24"])
    assert run_micro(images, tmp_path / "twice", FLAT).steps == 3
    outcome = run_micro(images, tmp_path / "twice", [*FLAT, "run.samples=24"])
    assert (outcome.steps, outcome.planned, outcome.finished) == (6, 6, True)
    assert checkpoint_digest(tmp_path / "twice") == checkpoint_digest(tmp_path / "once")


def test_lengthened_run__has_the_rates_of_its_new_length_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)  # commands switch it off
    images = draw_images(tmp_path / "images")
    run_micro(images, tmp_path / "run", ["runtime.log_every=1"])
    with caplog.at_level(logging.WARNING, logger="reddino"):
        run_micro(images, tmp_path / "run", ["runtime.log_every=1", "run.samples=24"])
    short, long = micro_recipe(), micro_recipe(["run.samples=24"])
    rates = [record["lr"] for record in read_metrics(tmp_path / "run")]
    wanted = [values_at(step, short if step < 3 else long).lr for step in range(6)]
    assert rates == pytest.approx(wanted)
    (remark,) = [record.getMessage() for record in caplog.records if "lengthened" in record.getMessage()]
    assert f"the learning rate goes from {values_at(3, short).lr:.2g} to {wanted[3]:.2g}" in remark
    assert "not that of a run of 24 samples from the start" in remark


def test_lengthened_run__records_it_with_the_run_and_the_model(tmp_path: Path) -> None:
    images = draw_images(tmp_path / "images")
    run_micro(images, tmp_path / "run")
    assert "lengthened" not in read_card(tmp_path / "run" / "model").training
    run_micro(images, tmp_path / "run", ["run.samples=16"])
    run_micro(images, tmp_path / "run", ["run.samples=20"])
    wanted = [
        {"step": 3, "from_samples": 12, "to_samples": 16},
        {"step": 4, "from_samples": 16, "to_samples": 20},
    ]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["lengthened"] == wanted
    card = read_card(tmp_path / "run" / "model").training
    assert card["lengthened"] == wanted
    assert card["samples"] == card["recipe"]["run"]["samples"] == 20
    assert read_recipe(tmp_path / "run" / "recipe.yaml").run.samples == 20


def test_run__cannot_be_shortened(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    with pytest.raises(RedDinoError, match="holds a run of 12 samples, and the recipe has 8: a run can be"):
        RunFolder(tmp_path).begin(micro_recipe(["run.samples=8"]), DATA, threads=1)


def test_run__that_is_lengthened_may_change_in_nothing_else(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(micro_recipe(), DATA, threads=1)
    with pytest.raises(RedDinoError, match="recipe differs in 'run'"):
        RunFolder(tmp_path).begin(micro_recipe(["run.samples=24", "run.batch=8"]), DATA, threads=1)


def test_lengthening__that_was_killed_before_the_recipe_was_written_is_none(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.begin(micro_recipe(), DATA, threads=1)
    description = json.loads((tmp_path / "run.json").read_text())
    description["lengthened"] = [{"step": 2, "from_samples": 12, "to_samples": 24}]
    (tmp_path / "run.json").write_text(json.dumps(description))
    assert run.lengthenings() == []
    run.begin(micro_recipe(["run.samples=24"]), DATA, threads=1, step=3)
    assert run.lengthenings() == [{"step": 3, "from_samples": 12, "to_samples": 24}]


def test_run__without_a_step_is_simply_longer(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.begin(micro_recipe(), DATA, threads=1)
    assert run.begin(micro_recipe(["run.samples=24"]), DATA, threads=1) == []
    assert run.lengthenings() == []
    assert read_recipe(tmp_path / "recipe.yaml").run.samples == 24
