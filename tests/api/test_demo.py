"""The demo in miniature: what it leaves behind, what it takes over, and what it refuses."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from reddino import cli
from reddino.api.demo_steps import (
    SHIPPED,
    TRAINED,
    UNTRAINED,
    Advance,
    DemoReport,
    DemoScale,
    draw_smears,
    run_demo,
)
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.pretraining.run.recipe import read_recipe

MINIATURE = DemoScale(
    recipe="vit-tiny-scratch",
    overrides=(
        *("run.samples=32", "run.batch=8", "model.depth=1", "head.hidden=16", "head.prototypes=16"),
        *(
            "crops.global_size=56",
            "crops.local_size=28",
            "crops.local_count=1",
            "runtime.workers=0",
            "runtime.threads=1",
            "runtime.log_every=2",
        ),
        *("runtime.tensorboard=false", "online.every=0", "runtime.device=cpu"),
    ),
    sources=("lilac", "night"),
    train_patients=3,
    train_fields=1,
    test_patients=3,
    folds=2,
    least_cells=8,
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> DemoReport:
    """A finished miniature."""
    done = run_demo(tmp_path_factory.mktemp("demo") / "demo", MINIATURE, say=lambda sentence: None)
    assert done is not None
    return done


def test_demo__test_patients_and_the_unseen_source_are_never_trained_on(tmp_path: Path) -> None:
    train, test = draw_smears(tmp_path, MINIATURE)
    assert not set(train.strings("patient")) & set(test.strings("patient"))
    assert set(train.strings("source")) == {"drawn-lilac", "drawn-night"}
    assert set(test.strings("source")) == {"drawn-lilac", "drawn-night", "drawn-phone"}


def test_demo__scores_networks_and_baselines_on_both_tasks(report: DemoReport) -> None:
    saved = json.loads((report.folder / "results.json").read_text())["results"]
    models = [result["model"] for result in saved]
    assert models[: len(models) // 2] == models[len(models) // 2 :]
    assert {SHIPPED, TRAINED, UNTRAINED, "colour histogram", "cell size"} <= set(models)
    by_patient, by_source = saved[0], saved[-1]
    assert (by_patient["protocol"], by_patient["group_by"]) == ("grouped-kfold", "patient")
    assert (by_source["protocol"], by_source["group_by"]) == ("fixed", "patient")
    assert by_patient["groups"] == 2 * MINIATURE.test_patients


def test_demo__the_unseen_source_is_all_that_the_second_task_tests(report: DemoReport) -> None:
    table = read_embeddings(report.folder / "tables" / "cell-size")
    result = json.loads((report.folder / "results.json").read_text())["results"][-1]
    cells = Counter(
        source == "drawn-phone"
        for source, label in zip(table.strings("source"), table.strings("label"), strict=True)
        if label in result["classes"]
    )
    assert (result["folds"][0]["test"], result["folds"][0]["train"]) == (cells[True], cells[False])


def test_demo__leaves_tables_model_and_figures(report: DemoReport) -> None:
    assert (report.model / "model.safetensors").is_file()
    assert len(report.figures) == 4
    assert all(figure.stat().st_size > 5000 for figure in report.figures)
    table = (report.folder / "results.md").read_text()
    for word in (TRAINED, UNTRAINED, "20-NN", "macro F1", "never seen", "±", "seen: drawn-phone."):
        assert word in table


def test_demo__the_untrained_network_is_the_same_network(report: DemoReport) -> None:
    trained = read_embeddings(report.folder / "tables" / "reddino-demo")
    untrained = read_embeddings(report.folder / "tables" / "the-same-untrained")
    assert trained.vectors.shape == untrained.vectors.shape
    assert not np.allclose(trained.vectors, untrained.vectors)
    assert trained.meta["preprocessing"] == untrained.meta["preprocessing"]


def test_demo__summary_holds_the_figures_of_the_table(report: DemoReport) -> None:
    saved = json.loads((report.folder / "results.json").read_text())["results"]
    first = {result["model"]: result for result in reversed(saved)}
    trained, untrained = (first[name]["scores"]["20-NN"]["mean"]["macro_f1"] for name in (TRAINED, UNTRAINED))
    assert f"{trained:.3f} trained, {untrained:.3f} untrained" in report.summary()
    assert f"({100 * (trained - untrained):+.1f} points)" in report.summary()


def test_demo__a_second_call_takes_over_and_says_the_same(report: DemoReport) -> None:
    kept = [*report.folder.glob("smears/*/*/*"), *report.folder.glob("tables/*/*.parquet")]
    written = [file.stat().st_mtime_ns for file in kept]
    weights = (report.model / "model.safetensors").read_bytes()
    said: list[str] = []
    again = run_demo(report.folder, MINIATURE, say=said.append)
    held = "its pretraining held other cells of drawn-lilac, drawn-night, drawn-phone, unlabelled"
    assert any(SHIPPED in sentence and held in sentence for sentence in said)
    assert again is not None
    assert len(kept) > 10
    assert [file.stat().st_mtime_ns for file in kept] == written
    assert (report.model / "model.safetensors").read_bytes() == weights
    assert again.summary() == report.summary()


def test_demo__goes_on_when_the_package_brings_other_weights(
    report: DemoReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copytree(report.folder, tmp_path / "demo")
    copytree(report.model, tmp_path / DEFAULT_MODEL)  # a folder of that name comes before the package's
    monkeypatch.chdir(tmp_path)
    assert run_demo(tmp_path / "demo", MINIATURE, say=lambda sentence: None) is not None
    assert len([*(tmp_path / "demo" / "tables").glob("reddino-tiny-(shipped)-*")]) == 2


def test_demo__refuses_a_folder_of_other_settings(report: DemoReport) -> None:
    with pytest.raises(RedDinoError, match="other settings \\(seed, folds\\)"):
        run_demo(report.folder, replace(MINIATURE, folds=3, seed=7), say=lambda sentence: None)


def test_demo__stops_when_asked(tmp_path: Path) -> None:
    @contextmanager
    def interrupting(what: str) -> Iterator[Advance]:
        yield (
            lambda done, total: signal.raise_signal(signal.SIGINT) if what == "steps" and done == 1 else None
        )

    assert run_demo(tmp_path / "demo", MINIATURE, say=lambda sentence: None, watch=interrupting) is None
    (table,) = (tmp_path / "demo" / "tables").iterdir()
    assert table.name.startswith("reddino-tiny-(shipped)-")


def test_scale__minutes_change_the_samples_in_proportion() -> None:
    scale = DemoScale(minutes=4.0)
    before = read_recipe(scale.recipe).run
    after = read_recipe("demo", scale.lasting(2.0).overrides).run
    assert after.samples == pytest.approx(before.samples / 2, abs=before.batch)
    assert after.samples % after.batch == 0
    with pytest.raises(RedDinoError, match="more than 0"):
        scale.lasting(0)


def test_command__prints_tables_and_ends_with_where_everything_is(
    report: DemoReport, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reddino.api.demonstration.run_demo", lambda folder, scale, **options: report)
    assert cli.main(["demo", "--out", str(report.folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("Patients never seen" in line for line in lines)
    assert lines[-2] == report.summary()
    assert lines[-1].startswith(f"Everything is in {report.folder}")


def test_command__says_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reddino.api.demonstration.run_demo", lambda folder, scale, **options: None)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err.strip() == "reddino: stopped; the same command continues."
