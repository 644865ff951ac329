"""Predictions: every cell once, slides that add up, pictures, and refusals of what does not fit."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from labelled_smears import CELL, draw_fields, noisy_table
from matplotlib.colors import to_hex
from matplotlib.patches import Ellipse

import reddino
from reddino.classification.classifier import Classifier, open_classifier
from reddino.classification.fit import fit_on_table
from reddino.classification.overlay import overlay_figure
from reddino.classification.predict import predict_embeddings
from reddino.embedding.embeddings import Embeddings
from reddino.figures.palette import PALETTE
from reddino.foundations.errors import RedDinoError
from reddino.rbc.morphology import Morphology
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A probe on hand-crafted features of drawn cells, in squares of 1.6 diameters."""
    folder = tmp_path_factory.mktemp("fitted")
    reddino.fit(draw_fields(folder / "smears", fields=10), folder / "c", model="morphology")
    return folder


def test_predict__says_a_class_of_every_cell_and_is_mostly_right(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=6)
    found = reddino.predict(fitted / "c", smears, tmp_path / "p.parquet")
    rows = pq.read_table(tmp_path / "p.parquet")
    assert rows.num_rows == len(found) == len(smears) == 72
    columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
    probabilities = np.array([columns[f"p_{name}"] for name in found.classes]).T
    assert probabilities.sum(axis=1) == pytest.approx(1)
    assert columns["predicted"] == [found.classes[i] for i in probabilities.argmax(axis=1)]
    assert columns["probability"] == pytest.approx(probabilities.max(axis=1))
    assert np.mean([a == b for a, b in zip(columns["predicted"], columns["label"], strict=True)]) > 0.8
    note = json.loads((rows.schema.metadata or {})[b"reddino"])
    told = json.loads((tmp_path / "p.json").read_text())
    assert list(told.pop("pictures")) == smears.images()[0]
    assert note == told
    assert note["provenance"]["data"] == smears.fingerprint()
    assert not note["found_by_segmentation"]


def test_predict__notes_classes_of_which_no_held_out_cell_was_found(fitted: Path, tmp_path: Path) -> None:
    shutil.copytree(fitted / "c", tmp_path / "c")
    described = json.loads((tmp_path / "c/classifier.json").read_text())
    first = described["report"]["by_class"][0]
    first["recall"] = 0.0
    del described["content_hash"]
    (tmp_path / "c/classifier.json").write_text(json.dumps(described))
    smears = draw_fields(tmp_path / "new", fields=2)
    for classifier, found in ((tmp_path / "c", {first["name"]: first["cells"]}), (fitted / "c", None)):
        reddino.predict(classifier, smears, tmp_path / f"{found is None}.csv")
        note = json.loads((tmp_path / f"{found is None}.json").read_text())
        assert note["classifier"]["held_out"].get("never_found") == found


def test_predict__slides_add_up_to_the_cells(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=6)
    slides = ["a", "a", "b", "b", None, None]
    by_row = [slides[int(path[1])] for path in smears.strings("path")]
    reddino.predict(fitted / "c", smears.with_column("slide", by_row), tmp_path / "p.csv")
    cells, counts = pa_csv.read_csv(tmp_path / "p.csv"), pa_csv.read_csv(tmp_path / "p.slides.csv")
    assert [row["slide"] or row["path"] for row in counts.to_pylist()] == ["f4.png", "f5.png", "a", "b"]
    classes = open_classifier(fitted / "c").classes
    for row in counts.to_pylist():
        assert row["cells"] == sum(row[f"n_{name}"] for name in classes) == (24 if row["slide"] else 12)
        assert sum(row[f"share_{name}"] for name in classes) == pytest.approx(1)
    predicted = cells.column("predicted").to_pylist()
    for name in classes:
        assert sum(counts.column(f"n_{name}").to_numpy().tolist()) == predicted.count(name)


def test_predict__finds_the_cells_of_bare_fields(fitted: Path, tmp_path: Path) -> None:
    marked, bare = draw_fields(tmp_path / "m", fields=3), draw_fields(tmp_path / "m", fields=3, marked=False)
    found = reddino.predict(fitted / "c", bare, tmp_path / "p.parquet")
    assert found.found
    assert 0.7 * len(marked) <= len(found) <= len(marked) + 3
    assert json.loads((tmp_path / "p.json").read_text())["found_by_segmentation"]
    # One square size a picture, that by which `embed --find-cells` cuts it.
    sides = set(zip(found.strings("path"), found.table.column("view_side").to_pylist(), strict=True))
    assert len(sides) == len({path for path, _ in sides}) == 3


def test_predict__goes_on_without_broken_images_and_lists_them(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=3)
    (tmp_path / "new" / "f1.png").write_bytes(b"no picture")
    found = reddino.predict(fitted / "c", smears, tmp_path / "p.csv")
    assert len(found) == 24
    assert "f1.png" in (tmp_path / "p.failures.csv").read_text()


def test_predict__draws_every_field_with_its_cells(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=3)
    reddino.predict(fitted / "c", smears, overlays=tmp_path / "overlays", most_overlays=2)
    drawn = sorted((tmp_path / "overlays").iterdir())
    assert [file.name for file in drawn] == ["f0.png", "f1.png"]
    assert all(min(decode_image(file).shape[:2]) > 100 for file in drawn)


def test_overlay_figure__marks_each_cell_in_the_colour_of_its_class() -> None:
    boxes = np.array([[0, 0, 10, 10], [20, 5, 12, 8], [40, 40, 10, 10], [5, 50, 9, 9]], dtype=float)
    names = [f"class {i}" for i in range(10)]
    figure = overlay_figure(
        np.zeros((64, 64, 3), np.uint8),
        boxes,
        np.array([0, 1, 9, 1]),
        names,
        round_cells=np.array([False, False, True, False]),
    )
    axes = figure.axes[0]
    assert [to_hex(mark.get_edgecolor()).upper() for mark in axes.patches] == [
        PALETTE[i] for i in (0, 1, 1, 1)
    ]
    # The tenth class shares its colour with the second, and not its line.
    assert len({mark.get_linestyle() for mark in axes.patches}) == 2
    ring, legend = axes.patches[2], axes.get_legend()
    assert isinstance(ring, Ellipse) and ring.center == (45, 45)
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "class 0 (1)",
        "class 1 (2)",
        "class 9 (1)",
    ]


@pytest.fixture(scope="module")
def on_table(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return fit_on_table(noisy_table(), tmp_path_factory.mktemp("table") / "c")


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("weights_hash", "fedcba9876543210", "network's weights is 'fedcba9876543210'"),
        ("pooling", "mean", "the pooling is 'mean'"),
        ("view", {"kind": "cells", "side": 80.0, "unit": "px", "output": 32, "border": "pad"}, "side 80.0"),
        (
            "preprocessing",
            {"input_size": 64, "mean": [0.0], "std": [1.0], "channel_order": "RGB"},
            "input_size 64",
        ),
    ],
)
def test_predict_embeddings__refuses_those_of_another_model_or_scale_in_one_sentence(
    on_table: Classifier, key: str, value: object, sentence: str
) -> None:
    emb = noisy_table(20)
    other = Embeddings(emb.vectors, emb.table, {**emb.meta, key: value})
    with pytest.raises(RedDinoError, match=sentence) as refused:
        predict_embeddings(on_table, other)
    assert "\n" not in str(refused.value)
    assert len(predict_embeddings(on_table, emb)) == 20


def test_predict__refuses_another_network(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=2)
    with pytest.raises(RedDinoError, match=r"fitted on a network with weights .* give --model its own"):
        reddino.predict(fitted / "c", smears, model="colour-histogram")


def test_predict__refuses_cells_of_another_size_where_views_are_in_pixels(tmp_path: Path) -> None:
    reddino.fit(draw_fields(tmp_path / "s"), tmp_path / "c", model="morphology", side=32, unit="px")
    assert open_classifier(tmp_path / "c").pixels_a_cell == CELL
    large = draw_fields(tmp_path / "large", fields=2, cell=2 * CELL)
    with pytest.raises(RedDinoError, match=r"red cells are 40 px across here, .* on cells of 20 px"):
        reddino.predict(tmp_path / "c", large)
    with pytest.raises(RedDinoError, match="red cells are"):
        reddino.predict(
            tmp_path / "c", draw_fields(tmp_path / "large", fields=2, cell=2 * CELL, marked=False)
        )


def test_predict__in_diameters_follows_the_size_of_the_cells(tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "s")
    reddino.fit(smears, tmp_path / "c", model="colour-histogram", image_size=32)
    large = draw_fields(tmp_path / "large", fields=4, cell=2 * CELL)
    found = reddino.predict(tmp_path / "c", large)
    predicted = [found.classes[i] for i in found.numbers()]
    assert set(found.table.column("view_side").to_pylist()) == {1.6 * 2 * CELL}
    assert np.mean([a == b for a, b in zip(predicted, found.strings("label"), strict=True)]) > 0.7


def test_predict__takes_an_embedding_table_of_its_own_views(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=3)
    reddino.embed(smears, "morphology", tmp_path / "t")
    from_table = reddino.predict(fitted / "c", tmp_path / "t")
    from_smears = reddino.predict(fitted / "c", smears)
    assert from_table.probabilities == pytest.approx(from_smears.probabilities)
    with pytest.raises(RedDinoError, match="without pictures to draw on"):
        reddino.predict(fitted / "c", tmp_path / "t", overlays=tmp_path / "o")
    with pytest.raises(RedDinoError, match=r"is mask_centre 1\.2, it learned on mask_centre 'unset'"):
        reddino.embed(smears, "morphology", tmp_path / "masked", mask_centre=1.2)
        reddino.predict(fitted / "c", tmp_path / "masked")


def test_fit__on_a_table_is_the_same_as_on_its_smears(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "smears", fields=10)
    reddino.embed(smears, "morphology", tmp_path / "t", name="mine")
    made = reddino.fit(tmp_path / "t", tmp_path / "c")
    assert made.head.fingerprint() == open_classifier(fitted / "c").head.fingerprint()
    assert made.model == "morphology"
    with pytest.raises(RedDinoError, match="is an embedding table"):
        reddino.fit(tmp_path / "t", tmp_path / "d", model="morphology")
    with pytest.raises(RedDinoError, match="so that side and unit and pooling would do nothing"):
        reddino.fit(tmp_path / "t", tmp_path / "d", side=40, unit="px", pooling="mean")


def test_predict__refuses_a_file_of_another_kind(fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match=r"\.parquet or \.csv"):
        reddino.predict(fitted / "c", draw_fields(tmp_path / "s", fields=2), tmp_path / "p.xlsx")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_predict__tells_its_columns_from_those_of_the_smears(
    fitted: Path,
    tmp_path: Path,
    suffix: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    smears = draw_fields(tmp_path / "new", fields=2)
    for name in ("predicted", "probability", "p_disc"):
        smears = smears.with_column(name, [f"own {name}"] * len(smears))
    found = reddino.predict(fitted / "c", smears, tmp_path / f"p{suffix}")
    read = pa_csv.read_csv if suffix == ".csv" else pq.read_table
    rows = read(tmp_path / f"p{suffix}")
    assert len(set(rows.column_names)) == len(rows.column_names)
    assert set(rows.column("predicted").to_pylist()) <= set(found.classes)
    assert rows.column("p_disc").to_pylist() == pytest.approx(found.probabilities[:, 1].tolist())
    for name in ("predicted", "probability", "p_disc"):
        assert set(rows.column(f"{name}_").to_pylist()) == {f"own {name}"}
        assert f"'{name}' as '{name}_'" in caplog.text


def test_predict__lists_cells_without_a_finite_vector_and_counts_them_nowhere(
    fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Morphology.embed

    def failing(self: Morphology, images: np.ndarray, pooling: str = "cls") -> np.ndarray:
        vectors = np.array(plain(self, images, pooling))
        vectors[::5] = np.nan
        return vectors

    smears = draw_fields(tmp_path / "new", fields=2)
    monkeypatch.setattr(Morphology, "embed", failing)
    failures = Failures()
    found = reddino.predict(fitted / "c", smears, tmp_path / "p.csv", failures=failures)
    assert (len(found), failures.count) == (19, 2)
    assert np.isfinite(found.probabilities).all()
    assert sum(pa_csv.read_csv(tmp_path / "p.slides.csv").column("cells").to_numpy().tolist()) == 19
    listed = (tmp_path / "p.failures.csv").read_text().replace('"', "")
    assert "f0.png,3 of its vectors left out, numbers that are not finite" in listed
    failures = Failures()
    reddino.predict(fitted / "c", smears, failures=failures)
    assert failures.count == 5 and "the vector of its view at (" in failures.summary()


def test_predict__refuses_a_table_with_vectors_that_are_not_finite(tmp_path: Path) -> None:
    fit_on_table(noisy_table(), tmp_path / "c")
    emb = noisy_table(50, seed=3)
    emb.vectors[7] = np.nan
    with pytest.raises(RedDinoError, match="1 of 50 vectors of 'made' hold numbers that are not finite"):
        predict_embeddings(open_classifier(tmp_path / "c"), emb)
    with pytest.raises(RedDinoError, match="1 of 50 vectors of 'made'"):
        fit_on_table(emb, tmp_path / "d")


def test_predict__says_what_is_odd_about_the_smears(fitted: Path, tmp_path: Path) -> None:
    smears = draw_fields(tmp_path / "new", fields=2)
    smears = smears.with_column("slide", ["s"] * len(smears))
    said: list[str] = []
    patients = [f"p{row % 2}" for row in range(len(smears))]
    reddino.predict(fitted / "c", smears.with_column("patient", patients), notice=said.append)
    (sentence,) = said
    assert "slide of several patients (1)" in sentence
    reddino.predict(fitted / "c", smears.with_column("patient", ["p"] * len(smears)), notice=said.append)
    assert len(said) == 1


def test_predict__names_pictures_that_list_no_cell_among_those_that_do(fitted: Path, tmp_path: Path) -> None:
    rows = draw_fields(tmp_path / "new", 1)
    bare = draw_fields(tmp_path / "bare", 1, marked=False)
    notes: list[str] = []
    found = reddino.predict(fitted / "c", reddino.join_manifests([rows, bare]), notice=notes.append)
    assert len(found) == len(rows)
    assert any("of 1 picture no cell is listed" in note and "bare" in note for note in notes)
