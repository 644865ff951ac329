"""What is no red cell counts for no class: pointers, clumps, nuclei; but what the user listed stays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import reddino
from reddino.classification.abstention import AnswerRule
from reddino.classification.overlay import draw_overlays, marks_of
from reddino.classification.predict import Predictions
from reddino.classification.predicted_kinds import kinds_among
from reddino.embedding.kinds import CellKinds
from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.manifest import Manifest
from reddino.synthetic.write import write_smears


def predictions(*, found: bool, root: Path | None = None) -> Predictions:
    """Six views of two slides: red cells, an unknown one, a clump and an artefact."""
    columns = {
        "path": ["f.png"] * 6,
        "source": ["lab"] * 6,
        "slide": ["a", "a", "a", "a", "b", "b"],
        "kind": ["of the manifest"] * 6,
        **{name: [10.0 * i for i in range(6)] for name in ("x", "y", "view_x", "view_y")},
        **{name: [9.0] * 6 for name in ("w", "h", "cell_diameter", "view_side")},
    }
    names = ("red cell", "unknown", "clump", "red cell", "artefact", "artefact")
    chances = np.array([[0.9, 0.1]] * 3 + [[0.2, 0.8]] * 3)
    kinds = CellKinds(names, np.full(6, 0.99))
    return Predictions(("round", "long"), chances, pa.table(columns), root, found, 0, "", kinds=kinds)


def test_counts__leave_out_what_is_surely_no_red_cell() -> None:
    rows = predictions(found=True).counts().to_pylist()
    assert [row["cells"] for row in rows] == [3, 0]
    assert (rows[0]["n_round"], rows[0]["n_long"]) == (2, 1)
    assert rows[0]["share_round"] == pytest.approx(2 / 3)
    assert (rows[0]["kind_red cell"], rows[0]["kind_unknown"], rows[0]["kind_clump"]) == (2, 1, 1)
    # a slide of nothing but artefacts has no fractions, and no division by its cells
    assert (rows[1]["kind_artefact"], rows[1]["share_round"], rows[1]["share_long"]) == (2, 0, 0)


def test_counts__keep_every_cell_that_the_user_listed() -> None:
    rows = predictions(found=False).counts().to_pylist()
    assert [row["cells"] for row in rows] == [4, 2]
    assert rows[1]["kind_artefact"] == 2


def test_counts__keep_the_kinds_that_the_classifier_has_classes_for() -> None:
    own = replace(predictions(found=True), classes=("round", "Clumped cells"))
    assert [row["cells"] for row in own.counts().to_pylist()] == [4, 0]
    assert kinds_among(("WBC", "Platelets", "RBC")) == {"white cell", "platelet"}
    assert kinds_among(("Neutrophil", "artifact")) == {"white cell", "artefact"}
    assert not kinds_among(
        ("normal", "spherocyte", "Stomatocyte", "uncategorised", "trophozoite", "burr cell")
    )


def test_rows__hold_the_kinds_next_to_the_manifests_own_column() -> None:
    rows = predictions(found=True).rows()
    assert rows.column("kind").to_pylist()[2] == "clump"
    assert rows.column("kind_").to_pylist() == ["of the manifest"] * 6
    assert rows.column("kind_probability").to_pylist() == [0.99] * 6


def test_overlays__mark_what_is_left_out(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "f.png"), np.full((80, 80, 3), 200, np.uint8))
    kept = draw_overlays(predictions(found=False, root=tmp_path), tmp_path / "kept")
    out = draw_overlays(predictions(found=True, root=tmp_path), tmp_path / "out")
    # the legend names the kinds, and is wider for it
    assert decode_image(kept[0]).shape[1] < decode_image(out[0]).shape[1]


def test_marks__name_why_a_cell_counts_for_no_class() -> None:
    made = predictions(found=True)
    rule = AnswerRule(0.1, 0.85, 0.95, 0.5, 10, 1, 10, 0.09)
    table = made.table.append_column("at_border", pa.array([False, True, True, False, False, False]))
    made = replace(made, rule=rule, novelty=np.zeros(6), table=table)
    marks, names = marks_of(made)
    assert [names[mark] for mark in marks.tolist()] == [
        "round",
        "(cut by the border)",
        "(clump, left out)",
        "(no answer)",
        "(artefact, left out)",
        "(artefact, left out)",
    ]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Synthetic fields with a thick pointer through each, as microscopes have."""
    folder = tmp_path_factory.mktemp("fields")
    smears = write_smears(
        folder, sources=("lilac",), patients_per_source=3, fields_per_patient=1, seed=911, field_um=80
    )
    for path in smears.paths():
        image = cv2.imread(str(path))
        assert image is not None
        height, width = image.shape[:2]
        tip = np.array([width / 2, height / 2])
        shape = np.array([tip - 4, tip + 4, [width + 60, height], [width, height + 60]], np.int32)
        cv2.fillPoly(image, [shape], (25, 20, 25), cv2.LINE_AA)
        cv2.imwrite(str(path), image)
    return smears


@pytest.fixture(scope="module")
def labelled(fields: Manifest) -> Manifest:
    """Two classes that mean nothing, in groups that can be folded."""
    return fields.with_column("label", ["ab"[row % 2] for row in range(len(fields))])


@pytest.fixture(scope="module")
def classifier(labelled: Manifest) -> Path:
    folder = labelled.root / "classifier"
    reddino.fit(labelled, folder, folds=3)
    return folder


def bare(fields: Manifest) -> Manifest:
    first = np.unique(fields.images()[1], return_index=True)[1]
    table = fields.table.take(first)
    return Manifest(table.select(["path", "source", "slide", "patient"]), fields.root)


def test_predict__reads_kinds_where_cells_are_found(
    classifier: Path, fields: Manifest, tmp_path: Path
) -> None:
    found = reddino.predict(classifier, bare(fields), tmp_path / "p.parquet", keep_border=True)
    assert found.kinds is not None
    rows = pq.read_table(tmp_path / "p.parquet").to_pylist()
    names = [row["kind"] for row in rows]
    assert names.count("red cell") > 0.7 * len(names)
    counts = found.counts().to_pylist()
    assert sum(row["cells"] for row in counts) == len(found) - int(found.left_out().sum())
    assert sum(row["kind_red cell"] for row in counts) == names.count("red cell")
    note = json.loads((tmp_path / "p.json").read_text())
    assert note["kinds"]["left_out"] == int(found.left_out().sum())
    without = reddino.predict(classifier, bare(fields), kinds=False, keep_border=True)
    assert without.kinds is None
    assert sum(row["cells"] for row in without.counts().to_pylist()) == len(found)


def test_predict__reads_the_same_kinds_whatever_network_the_classifier_has(
    classifier: Path, labelled: Manifest, fields: Manifest, tmp_path: Path
) -> None:
    reddino.fit(labelled, tmp_path / "other", model="morphology", side=64, unit="px", folds=3)
    theirs = reddino.predict(tmp_path / "other", bare(fields)).kinds
    mine = reddino.predict(classifier, bare(fields)).kinds
    assert mine is not None
    assert theirs is not None
    assert len(mine) == len(theirs)
    assert np.mean([a == b for a, b in zip(mine.names, theirs.names, strict=True)]) > 0.9


def test_explore__leaves_out_what_is_no_red_cell_or_says_why_not(fields: Manifest, tmp_path: Path) -> None:
    reddino.embed(bare(fields), "reddino-tiny", tmp_path / "t", find_cells=True, runtime="torch")
    overview = reddino.explore(tmp_path / "t", tmp_path / "e", method="pca", formats=["png"], kinds=True)
    assert set(overview.table.strings("kind")) <= {"red cell", "unknown"}
    whole = reddino.explore(tmp_path / "t", tmp_path / "f", method="pca", formats=["png"])
    assert len(whole.table) >= len(overview.table)
    reddino.embed(bare(fields), "morphology", tmp_path / "m", find_cells=True)
    with pytest.raises(RedDinoError, match="embed again with --kinds"):
        reddino.explore(tmp_path / "m", tmp_path / "g", method="pca", kinds=True)
