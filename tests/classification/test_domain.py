"""Verdicts on slides and sources: what decides, in one sentence, and what a classifier keeps for them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from labelled_smears import draw_fields, noisy_table

import reddino
from reddino.classification.classifier import open_classifier
from reddino.classification.domain import Appearance, judge
from reddino.classification.fit import fit_on_table
from reddino.classification.looks import ALL_MEASURES, sampled
from reddino.classification.novelty import Novelty
from reddino.classification.training_cells import (
    STRIP,
    TRAINING_CELLS,
    TrainingCells,
    open_training_cells,
    save_training_cells,
)
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest

LOOK = np.array([5.4, 0.0, 0.0, 0.4, -0.2, -0.2, 2.8, 0.9, np.log(40)])
PICTURES = Appearance(("lab", "other"), np.array([0, 0, 1]), np.stack([LOOK, LOOK, LOOK + 1.0]))


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    reddino.fit(draw_fields(folder / "smears", fields=16), folder / "c", model="morphology")
    return folder


def stained(smears: Manifest) -> Manifest:
    """The same fields with their colours turned about and out of focus."""
    for path in set(smears.strings("path")):
        image = cv2.imread(str(smears.root / path))
        assert image is not None
        cv2.imwrite(str(smears.root / path), cv2.GaussianBlur(image[..., ::-1] // 2, (0, 0), 2.5))
    return smears


@pytest.mark.parametrize(
    ("far", "moved", "verdict", "said"),
    [
        (0.05, {}, "within", "it looks most like lab"),
        (0.4, {}, "at the edge", "40 % of its cells lie farther off"),
        (0.9, {}, "outside", "90 % of its cells lie farther off"),
        (
            0.05,
            {"background blue": 0.3},
            "at the edge",
            "background blue is 0.30, compared with 0.00 in lab",
        ),
        (0.05, {"scale": np.log(3)}, "at the edge", "3.00 times as many pixels across"),
        (0.9, {"sharpness": -1.2}, "outside", "0.30 times as sharp as those of lab (8.0 spreads)"),
    ],
)
def test_judge__names_the_measure_that_decides(
    far: float, moved: dict[str, float], verdict: str, said: str
) -> None:
    look = LOOK + np.array([moved.get(name, 0.0) for name in ALL_MEASURES])
    novelty = np.where(np.arange(100) < 100 * far, 1.0, 0.5)
    unit = judge("new", "", novelty, look, PICTURES, cells=100)
    assert unit.verdict == verdict
    assert said in unit.sentence
    assert unit.nearest == "lab" and unit.far == pytest.approx(far)


def test_judge__compares_with_the_training_source_that_looks_most_alike() -> None:
    assert judge("new", "", np.zeros(50), LOOK + 1.0, PICTURES, cells=50).nearest == "other"


def test_judge__a_few_cells_are_not_judged() -> None:
    unit = judge("new", "s", np.ones(4), None, None, cells=4)
    assert unit.verdict == "too few cells" and "4 cells" in unit.sentence


def test_judge__a_few_training_cells_are_nothing_to_compare_with() -> None:
    unit = judge("new", "", np.zeros(500), LOOK, PICTURES, cells=500, learned_cells=12)
    assert unit.verdict == "too few cells" and "12 training cells are too few" in unit.sentence
    assert judge("new", "", np.zeros(500), LOOK, PICTURES, cells=500, learned_cells=30).verdict == "within"


def test_predict__smears_like_the_training_ones_are_within(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=9)
    found = reddino.predict(fitted / "c", smears, tmp_path / "p.parquet")
    domain = json.loads((tmp_path / "p.json").read_text())["domain"]
    units = {(unit["source"], unit["slide"]): unit for unit in domain["units"]}
    assert units["lab", ""]["verdict"] == "within"
    assert set(units) == {("lab", ""), *(("lab", f"slide{i}") for i in range(9))}
    assert found.domain is not None and domain == found.domain.as_dict()
    rows = pq.read_table(tmp_path / "p.parquet")
    assert np.median(rows.column("novelty").to_numpy()) == pytest.approx(0.5, abs=0.2)
    assert "abstained" not in rows.column_names
    picture = cv2.imread(str(tmp_path / "p.domain.png"))
    assert picture is not None and picture.shape[1] > 1000


def test_predict__a_foreign_stain_is_not_within(fitted: Path, tmp_path: Path) -> None:
    smears = stained(draw_fields(tmp_path / "new", fields=6))
    found = reddino.predict(fitted / "c", smears)
    assert found.domain is not None
    (source,) = found.domain.sources()
    assert source.verdict in ("at the edge", "outside")
    assert source.looks["background brightness"]["verdict"] == "outside"


def test_predict__at_a_named_risk_leaves_cells_without_answer_and_counts_them(tmp_path: Path) -> None:
    classifier = fit_on_table(noisy_table(800, signal=2.0), tmp_path / "c")
    assert classifier.training is not None
    from_disk = open_classifier(tmp_path / "c")
    assert from_disk.training is not None and from_disk.training.held_out is not None
    table = noisy_table(300, seed=1, signal=2.0)
    predicted = reddino.classification.predict.predict_embeddings(from_disk, table)
    rule = reddino.classification.trusted.require_answerable(from_disk, 0.15)
    trusted = reddino.classification.trusted.with_trust(predicted, from_disk, rule)
    kept = ~trusted.abstained()
    truth = np.array(table.strings("label"))
    named = np.array(trusted.classes)[trusted.numbers()]
    assert 0.1 < kept.mean() < 1
    assert (named != truth)[kept].mean() < 0.15 < (named != truth).mean()
    counts = trusted.counts()
    assert sum(counts.column("abstained").to_numpy().tolist()) == (~kept).sum()
    for row in counts.to_pylist():
        assert row["cells"] == row["abstained"] + sum(row[f"n_{name}"] for name in trusted.classes)
        assert (
            sum(row[f"share_{name}"] for name in trusted.classes) == pytest.approx(1) or not row["n_class 0"]
        )
    assert trusted.rows().column("abstained").to_pylist() == (~kept).tolist()
    assert trusted.domain is not None and "without pictures" in trusted.domain.note


def test_predict__refuses_a_risk_that_too_few_groups_show(fitted: Path, tmp_path: Path) -> None:
    reddino.fit(draw_fields(tmp_path / "few", fields=6), tmp_path / "c", model="morphology", folds=3)
    with pytest.raises(RedDinoError, match="10 groups were held out, and there are 6"):
        reddino.predict(tmp_path / "c", draw_fields(tmp_path / "new", fields=2), risk=0.1)


def test_predict__a_classifier_of_an_earlier_version_says_what_it_lacks(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "smears", fields=8)
    reddino.fit(smears, tmp_path / "c", model="morphology")
    (tmp_path / "c" / TRAINING_CELLS).unlink()
    found = reddino.predict(tmp_path / "c", smears)
    assert found.novelty is None and found.domain is not None
    assert found.domain.note.startswith("the classifier keeps nothing of its training cells")
    with pytest.raises(RedDinoError, match="keeps no held-out cells, so no risk can be named"):
        reddino.predict(tmp_path / "c", smears, risk=0.1)


def test_open_classifier__refuses_training_cells_of_another(fitted: Path, tmp_path: Path) -> None:
    reddino.fit(draw_fields(tmp_path / "smears", fields=8), tmp_path / "c", model="morphology")
    (tmp_path / "c" / TRAINING_CELLS).write_bytes((fitted / "c" / TRAINING_CELLS).read_bytes())
    with pytest.raises(RedDinoError, match="belongs to another classifier"):
        open_classifier(tmp_path / "c")
    (tmp_path / "c" / TRAINING_CELLS).write_bytes(b"nothing")
    with pytest.raises(RedDinoError, match="cannot be read"):
        open_classifier(tmp_path / "c")


def test_open_training_cells__refuses_numbers_of_which_one_changed(tmp_path: Path) -> None:
    novelty = Novelty(np.ones((4, 3), np.float16), 1.0, np.linspace(0.1, 1.0, 5))
    save_training_cells(tmp_path, TrainingCells(novelty), "me")
    assert open_training_cells(tmp_path, "me") is not None
    file = tmp_path / TRAINING_CELLS
    content = bytearray(file.read_bytes())
    content[-9] ^= 1
    file.write_bytes(content)
    with pytest.raises(RedDinoError, match="do not fit their checksum; fit the classifier again"):
        open_training_cells(tmp_path, "me")


def test_fit__keeps_a_strip_of_training_cells(fitted: Path) -> None:
    strip = cv2.imread(str(fitted / "c" / STRIP))
    assert strip is not None and strip.shape == (56, 16 * 56, 3)


def test_sampled__takes_some_pictures_of_each_unit_and_some_rows_of_each() -> None:
    units = [f"u{i % 3}" for i in range(900)]
    paths = [f"u{i % 3}-{i // 30}.png" for i in range(900)]
    rows = sampled(units, paths, 4, 5, 0)
    assert len(rows) == 3 * 4 * 5
    assert len({paths[row] for row in rows.tolist()}) == 12
    assert sampled(units, paths, 4, 5, 0).tolist() == rows.tolist()
