"""The commands batch, fit and predict on drawn smears."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import cv2
import pytest

from reddino import cli
from reddino.embedding.runtimes.check import synthetic_cells
from reddino.synthetic.write import write_smears


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cells under two sources, and the table of their hand-crafted features."""
    made = tmp_path_factory.mktemp("commands")
    write_smears(
        made / "smears",
        sources=("lilac", "night"),
        patients_per_source=6,
        fields_per_patient=1,
        every_source=True,
        field_um=60,
    )
    command = ["embed", f"{made}/smears/manifest.csv", "--model", "morphology", "--out", f"{made}/table"]
    assert cli.main(command) == 0
    return made


def test_batch__prints_measures_with_their_meaning_and_writes_them(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["batch", f"{folder}/table", "--folds", "2", "--out", f"{folder}/batch.json"]
    assert cli.main(command) == 0
    shown = capsys.readouterr().out
    assert "source told" in shown
    assert "a batch effect." in shown
    written = json.loads((folder / "batch.json").read_text())
    named = {one["name"] for one in written["reports"][0]["measures"]}
    assert {"source told", "iLISI", "kBET", "variance by source", "source / class distance"} <= named
    assert written["provenance"]["data"]
    assert "source silhouette" in (folder / "batch.md").read_text()


def test_fit_and_predict__from_a_table_to_counts_and_overlays(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = sorted({"normal", "target"})
    drawn = (folder / "smears" / "manifest.csv").read_text().splitlines()
    have = {line.split(",")[9] for line in drawn[1:]}
    dropped = sorted(have - set(labels))
    fit = ["fit", f"{folder}/table", "--out", f"{folder}/c", "--folds", "2", "--drop", *dropped]
    assert cli.main(fit) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    first = shown.splitlines()[0]
    assert "a probe classifier of 2 classes. macro F1 " in first and "held-out cells." in first
    order = [shown.index(words) for words in ("classes, over all", "true \\ predicted", "Calibration: ")]
    assert order == sorted(order)
    assert "| target |" in (folder / "c" / "report.md").read_text()
    assert max(len(line) for line in shown.splitlines() if str(folder) not in line) <= 100
    out = folder / "p.csv"
    predict = ["predict", f"{folder}/c", f"{folder}/smears/manifest.csv", "--out", str(out)]
    assert cli.main([*predict, "--overlays", f"{folder}/o", "--most-overlays", "1"]) == 0
    shown = capsys.readouterr().out
    said = (
        "with the training cells",
        "how far to trust each class",
        "cells by class",
        "not a diagnosis",
    )
    assert [shown.index(words) for words in said] == sorted(shown.index(words) for words in said)
    assert len(out.read_text().splitlines()) == len(drawn)
    assert len(list((folder / "o").iterdir())) == 1
    assert cli.main(fit) == 1
    assert "already holds a classifier" in capsys.readouterr().err
    both = [f"{folder}/smears/{lab}" for lab in ("lilac", "night")]
    assert cli.main(["predict", f"{folder}/c", *both, "--out", f"{folder}/both.csv"]) == 0
    found = (folder / "both.csv").read_text()
    assert "lilac/" in found
    assert "night/" in found
    assert cli.main(["predict", f"{folder}/c", f"{folder}/table", both[0], "--out", f"{folder}/x.csv"]) == 1
    assert "is an embedding table, which cannot be joined: give it alone" in capsys.readouterr().err


def test_fit_and_predict__list_what_could_not_even_be_opened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    smears = tmp_path / "smears"
    (smears / "folder.png").mkdir(parents=True)
    with tarfile.open(smears / "shard.tar", "w") as shard:
        for number, picture in enumerate(synthetic_cells(24, 40)):
            kind = number % 2
            picture[..., kind] //= 2
            encoded = bytes(cv2.imencode(".png", picture)[1])
            for name, content in ((f"{number}.png", encoded), (f"{number}.cls", b"ab"[kind : kind + 1])):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    fit = ["fit", str(smears), "--model", "colour-histogram", "--image-size", "16", "--folds", "2"]
    assert cli.main([*fit, "--out", str(tmp_path / "c")]) == 0, capsys.readouterr().err
    complaint = capsys.readouterr().err
    assert "1 entry was left out" in complaint
    assert str(tmp_path / "c" / "failures.csv") in complaint
    assert "folder.png" in (tmp_path / "c" / "failures.csv").read_text()
    predict = ["predict", str(tmp_path / "c"), str(smears), "--out", str(tmp_path / "p.csv")]
    assert cli.main(predict) == 0, capsys.readouterr().err
    assert "p.failures.csv" in capsys.readouterr().err
    assert "folder.png" in (tmp_path / "p.failures.csv").read_text()


def test_fit_and_predict__call_a_score_that_tells_slides_apart_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["path,source,label"]
    for number, picture in enumerate(synthetic_cells(24, 240)):
        (tmp_path / f"{number}.png").write_bytes(bytes(cv2.imencode(".png", picture // (1 + number % 2))[1]))
        rows.append(f"{number}.png,lab,disease {number % 2}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    fit = ["fit", f"{tmp_path}/m.csv", "--model", "colour-histogram", "--image-size", "16", "--folds", "2"]
    assert cli.main([*fit, "--out", f"{tmp_path}/c"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr()
    assert "NO EVIDENCE" in shown.out.splitlines()[0]
    (why,) = (line for line in shown.err.splitlines() if "NO EVIDENCE" in line)
    assert why.endswith("no row names its slide or patient.") and "Where a class" not in shown.err
    assert "Where a class comes from about one slide" in (tmp_path / "c" / "report.md").read_text()
    kept = json.loads((tmp_path / "c" / "classifier.json").read_text())["report"]
    assert kept["evidence"] is False
    assert [doubt["kind"] for doubt in kept["doubts"]] == ["slides", "whole pictures"]
    assert cli.main(["predict", f"{tmp_path}/c", f"{tmp_path}/m.csv", "--out", f"{tmp_path}/p.csv"]) == 0
    assert "no evidence that it separates its classes" in capsys.readouterr().err


def test_predict__says_what_it_adjusted_to_other_fractions_of_the_classes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn = (folder / "smears" / "manifest.csv").read_text().splitlines()
    dropped = sorted({line.split(",")[9] for line in drawn[1:]} - {"normal", "target"})
    fit = ["fit", f"{folder}/table", "--out", f"{tmp_path}/c", "--folds", "2", "--drop", *dropped]
    assert cli.main(fit) == 0, capsys.readouterr().err
    predict = ["predict", f"{tmp_path}/c", f"{folder}/table", "--out", f"{tmp_path}/p.csv"]
    assert cli.main([*predict, "--priors", "normal=98", "target=2"]) == 0
    shown = capsys.readouterr()
    assert "fractions of the classes that were given" in shown.err
    assert "target, not adjusted" in shown.out
    assert cli.main([*predict, "--adjust-priors"]) == 0
    said = capsys.readouterr().err
    assert "cells of source 'drawn-lilac' by EM" in said or "'drawn-lilac' was not adjusted" in said
    assert cli.main([*predict, "--priors", "normal"]) == 1
    assert "--priors takes class=number" in capsys.readouterr().err
    assert cli.main([*predict, "--priors", "normal=1", "normal=2"]) == 1
    assert "names 'normal' twice" in capsys.readouterr().err
