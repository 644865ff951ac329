"""Smears beside what a classifier or the shipped model learned from, before anything is predicted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest
from labelled_smears import draw_fields

import reddino
from reddino import cli
from reddino.classification.domain_report import DomainReport
from reddino.cli.terminal import exit_code_of
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import write_manifest


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    reddino.fit(draw_fields(folder / "smears", fields=16), folder / "c", model="morphology")
    return folder


def test_compare__a_classifiers_own_kind_of_smears_is_within(fitted: Path, tmp_path: Path) -> None:
    report = reddino.compare(
        draw_fields(tmp_path / "new", fields=6), fitted / "c", picture=tmp_path / "beside.png"
    )
    assert [unit.verdict for unit in report.sources()] == ["within"]
    assert report.note == "" and (tmp_path / "beside.png").is_file()


def test_compare__finds_the_cells_of_bare_fields(fitted: Path, tmp_path: Path) -> None:
    report = reddino.compare(draw_fields(tmp_path / "new", fields=6, marked=False), fitted / "c")
    (source,) = report.sources()
    assert source.cells > 30 and source.far is not None


def test_compare__green_cells_are_not_what_the_shipped_model_was_pretrained_on(tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=6)
    for path in set(smears.strings("path")):
        image = cv2.imread(str(smears.root / path))
        assert image is not None
        cv2.imwrite(str(smears.root / path), image[..., [2, 0, 1]] // 2)
    report = reddino.compare(smears, "reddino-tiny")
    (source,) = report.sources()
    assert source.verdict in ("at the edge", "outside")
    assert "pretraining cells" in source.sentence


def test_compare__a_model_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    report = reddino.compare(draw_fields(tmp_path / "new", fields=2), "morphology")
    assert report.units == () and "'morphology' keeps nothing of its pretraining cells" in report.note


def test_compare__refuses_what_is_neither_model_nor_classifier(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="nowhere"):
        reddino.compare(draw_fields(tmp_path / "new", fields=2), tmp_path / "nowhere")


def test_embed__notes_how_a_table_lies_to_the_models_pretraining(tmp_path: Path) -> None:
    verdicts: list[DomainReport] = []
    smears = draw_fields(tmp_path / "new", fields=3)
    reddino.embed(smears, "reddino-tiny", tmp_path / "t", compared=verdicts.append)
    assert json.loads((tmp_path / "t" / "_domain.json").read_text()) == verdicts[0].as_dict()
    reddino.embed(smears, "reddino-tiny", tmp_path / "small", image_size=64, compared=verdicts.append)
    reddino.embed(smears, "morphology", tmp_path / "m", compared=verdicts.append)
    assert len(verdicts) == 1


def test_check__prints_verdicts_beside_a_classifier(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(draw_fields(tmp_path / "new", fields=6), tmp_path / "new" / "m.csv")
    command = ["check", str(tmp_path / "new" / "m.csv"), "--model", str(fitted / "c")]
    assert exit_code_of(lambda: cli.app(command, result_action="return_zero")) == 0
    shown = capsys.readouterr().out
    assert "compared with the cells that it learned from" in shown and "within" in shown


def test_predict__prints_verdicts_and_abstentions(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(draw_fields(tmp_path / "new", fields=6), tmp_path / "new" / "m.csv")
    command = [
        "predict",
        str(fitted / "c"),
        str(tmp_path / "new" / "m.csv"),
        "--out",
        str(tmp_path / "p.csv"),
    ]
    assert exit_code_of(lambda: cli.app([*command, "--risk", "0.7"], result_action="return_zero")) == 0
    printed = capsys.readouterr()
    assert "without an answer" in printed.out and "compared with the training cells" in printed.out
    assert "answered are cells with a probability of at least" in printed.err
    note = json.loads((tmp_path / "p.json").read_text())
    assert note["abstention"]["risk"] == 0.7 and note["abstention"]["bound"] <= 0.7
    assert exit_code_of(lambda: cli.app([*command, "--risk", "7"], result_action="return_zero")) == 1
    assert "is no error rate" in capsys.readouterr().err
