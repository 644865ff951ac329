"""`reddino review simulate`: the file that others rely on, and refusals."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import reddino
from reddino.cli import main


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells of drawn smears, embedded by their colours."""
    folder = tmp_path_factory.mktemp("simulate")
    reddino.synthesise(
        folder / "s", sources=["lilac"], patients_per_source=6, fields_per_patient=1, field_um=70
    )
    reddino.embed(folder / "s" / "manifest.csv", "morphology", folder / "t")
    return folder / "t"


def test_simulate__writes_a_row_for_each_strategy_seed_and_batch(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sim.csv"
    command = f"review simulate {table} --strategies random default --budget 50 --seeds 3 --group-by patient"
    assert main([*command.split(), "--out", str(out)]) == 0
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0])[:4] == ["strategy", "seed", "labels", "macro_f1"]
    assert [(row["strategy"], row["seed"], row["labels"]) for row in rows] == [
        (strategy, str(seed), str(labels))
        for seed in range(3)
        for strategy in ("random", "default")
        for labels in (20, 40, 50)
    ]
    assert all(0 <= float(row["macro_f1"]) <= 1 for row in rows)
    assert {path.name for path in tmp_path.iterdir()} >= {"sim.found.csv", "sim.json", "sim.png"}
    assert "gain over random" in capsys.readouterr().out


def test_simulate__the_same_command_writes_the_same_file(table: Path, tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        reddino.simulate(table, strategies=["default"], budget=40, seeds=1, out=tmp_path / name)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--budget 0", "budget must be 1 or more, not 0"),
        ("--seeds 0", "seeds must be 1 or more, not 0"),
        ("--out sim.txt", "scores of a simulation are written as .csv"),
        ("--group-by source", "a simulation needs two groups"),
        ("--group-by ward", "no column 'ward'"),
        ("--label patient --drop none", "none"),
    ],
)
def test_simulate__refuses_in_a_sentence(
    table: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["review", "simulate", str(table), *options.split()]) == 1
    assert message in capsys.readouterr().err


def test_simulate__refuses_an_unknown_strategy(table: Path) -> None:
    with pytest.raises(reddino.RedDinoError, match="no strategy 'best': choose from default, random"):
        reddino.simulate(table, strategies=["best"])  # type: ignore[list-item]
