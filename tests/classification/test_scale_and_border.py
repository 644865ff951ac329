"""Classifiers and the scale of pictures: the same cells get the same class, and cut cells do not count."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_smears import draw_fields

import reddino
from reddino.classification.classifier import open_classifier
from reddino.classification.predict import Predictions
from reddino.embedding.border import cells_at_border
from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest, join_manifests


def unmeasured(manifest: Manifest) -> Manifest:
    """Return the cells by their centres alone: without boxes, and without a diameter."""
    x, y = manifest.centres().T
    table = manifest.table.drop_columns(["x", "y", "w", "h", "cell_diameter"])
    table = table.append_column("x", pa.array(x)).append_column("y", pa.array(y))
    return Manifest(table, manifest.root)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fitted")
    smears = draw_fields(folder / "smears", fields=12)
    reddino.fit(smears, folder / "own", model="morphology")
    reddino.fit(smears, folder / "source", model="morphology", scale="source")
    reddino.fit(unmeasured(smears), folder / "px", model="morphology", side=32, unit="px")
    return folder


def classes(found: Predictions) -> dict[tuple[str, float, float], str]:
    names = [Path(path).name for path in found.strings("path")]
    x, y = (found.table.column(name).to_numpy().tolist() for name in ("view_x", "view_y"))
    predicted = [found.classes[number] for number in found.numbers().tolist()]
    return dict(zip(zip(names, x, y, strict=True), predicted, strict=True))


def small_and_large(folder: Path) -> tuple[Path, Path]:
    """Two folders of pictures, one of 2.2 times the magnification."""
    for name, fields, cell in (("small", 3, 20), ("large", 4, 44)):
        draw_fields(folder / name, fields=fields, marked=False, cell=cell)
        for picture in sorted((folder / name).glob("*.png")):
            picture.rename(folder / name / f"{name}-{picture.name}")
    return folder / "small", folder / "large"


def test_predict__gives_found_cells_the_same_class_alone_and_among_others(
    fitted: Path, tmp_path: Path
) -> None:
    alone = [classes(reddino.predict(fitted / "own", folder)) for folder in small_and_large(tmp_path)]
    together = tmp_path / "together"
    together.mkdir()
    for picture in sorted(tmp_path.glob("*/*.png")):
        (together / picture.name).write_bytes(picture.read_bytes())
    assert classes(reddino.predict(fitted / "own", together)) == {**alone[0], **alone[1]}


def test_predict__at_one_scale_refuses_a_source_of_several(fitted: Path, tmp_path: Path) -> None:
    small_and_large(tmp_path / "lab")
    with pytest.raises(RedDinoError, match=r"has no one scale: red cells measure .* fit it again"):
        reddino.predict(fitted / "source", tmp_path / "lab", subfolders="none")


def test_predict__cuts_marked_cells_as_fit_does(fitted: Path, tmp_path: Path) -> None:
    small = draw_fields(tmp_path / "a", fields=3)
    large = draw_fields(tmp_path / "b", fields=4, cell=44)
    joined = unmeasured(join_manifests([small, large]))
    found = reddino.predict(fitted / "own", joined)
    sides = np.array(found.table.column("view_side").to_pylist())
    large_ones = np.array(["b/" in path for path in found.strings("path")])
    np.testing.assert_allclose(sides[~large_ones], 1.6 * 20, rtol=0.15)
    np.testing.assert_allclose(sides[large_ones], 1.6 * 44, rtol=0.15)
    np.testing.assert_allclose(1.6 * found.table.column("cell_diameter").to_numpy(), sides)


def test_fit__measures_and_keeps_the_cell_diameter_whatever_the_unit(fitted: Path) -> None:
    for name in ("own", "source", "px"):
        assert open_classifier(fitted / name).pixels_a_cell == pytest.approx(20, rel=0.15)


def test_predict__in_pixels_refuses_cells_of_another_size(fitted: Path, tmp_path: Path) -> None:
    near = draw_fields(tmp_path / "near", fields=2)
    assert len(reddino.predict(fitted / "px", unmeasured(near))) == len(near)
    far = draw_fields(tmp_path / "far", fields=2, cell=44)
    with pytest.raises(RedDinoError, match=r"red cells are 4. px across here, where the classifier learned"):
        reddino.predict(fitted / "px", unmeasured(far))
    bare = draw_fields(tmp_path / "bare", fields=2, cell=44, marked=False)
    with pytest.raises(RedDinoError, match=r"red cells are 4. px across here"):
        reddino.predict(fitted / "px", bare)


def test_classifier__of_before_there_was_a_scale_follows_the_source(fitted: Path) -> None:
    path = fitted / "source" / "classifier.json"
    assert "scale" not in json.loads(path.read_text())["view"]
    assert open_classifier(fitted / "source").view.scale == "source"
    assert open_classifier(fitted / "own").view.scale == "picture"


def with_cut_cells(smears: Manifest, every: int = 6) -> Manifest:
    """Move every sixth box so that it reaches past the left border of its picture."""
    x = smears.numbers("x")
    x[::every] = -4.0
    return smears.with_column("x", x)


def test_fit__leaves_cut_cells_out_and_counts_them(tmp_path: Path) -> None:
    smears = with_cut_cells(draw_fields(tmp_path / "s", fields=12))
    made = reddino.fit(smears, tmp_path / "c", model="morphology")
    assert made.report["cells_at_the_border"] == 24 and made.report["cells"] == 120
    kept = reddino.fit(smears, tmp_path / "kept", model="morphology", keep_border=True)
    assert kept.report["cells_at_the_border"] == 0 and kept.report["cells"] == 144
    reddino.embed(smears, "morphology", tmp_path / "t")
    of_table = reddino.fit(tmp_path / "t", tmp_path / "of-table")
    assert of_table.head.fingerprint() == made.head.fingerprint()


def test_predict__classifies_cut_cells_but_counts_them_for_no_slide(fitted: Path, tmp_path: Path) -> None:
    smears = with_cut_cells(draw_fields(tmp_path / "s", fields=3))
    found = reddino.predict(fitted / "own", smears, tmp_path / "p.parquet")
    assert len(found) == 36 and found.at_border == 6
    assert pq.read_table(tmp_path / "p.parquet").column("at_border").to_pylist().count(True) == 6
    slides = pq.read_table(tmp_path / "p.slides.parquet")
    assert slides.column("cells").to_pylist() == [10, 10, 10]
    assert slides.column("at_border").to_pylist() == [2, 2, 2]
    assert json.loads((tmp_path / "p.json").read_text())["cells_at_the_border"] == 6
    kept = reddino.predict(fitted / "own", smears, keep_border=True)
    assert kept.counts().column("cells").to_pylist() == [12, 12, 12]


def test_embed__notes_the_cells_that_the_border_cuts(tmp_path: Path) -> None:
    smears = with_cut_cells(draw_fields(tmp_path / "s", fields=3))
    report = reddino.embed(smears, "morphology", tmp_path / "t")
    table = reddino.read_embeddings(tmp_path / "t")
    assert report.at_border == 6 and int(cells_at_border(table.table).sum()) == 6
    again = reddino.embed(smears, "morphology", tmp_path / "t")
    assert again.at_border == 6 and again.resumed == 36
    fields = reddino.embed(smears, "morphology", tmp_path / "f", per="field")
    assert fields.rows == 3
    assert "at_border" not in reddino.read_embeddings(tmp_path / "f").table.column_names


def test_embed__finds_the_cells_that_predict_finds(fitted: Path, tmp_path: Path) -> None:
    bare = draw_fields(tmp_path / "s", fields=3, marked=False)
    reddino.embed(bare, "morphology", tmp_path / "t", find_cells=True)
    table = reddino.read_embeddings(tmp_path / "t")
    found = reddino.predict(fitted / "own", bare)
    for name in ("path", "x", "y", "w", "h", "cell_diameter", "view_x", "view_y", "view_side", "at_border"):
        assert table.table.column(name).to_pylist() == found.table.column(name).to_pylist(), name
    assert classes(reddino.predict(fitted / "own", tmp_path / "t")) == classes(found)


def test_cells__say_which_of_them_the_border_cuts(tmp_path: Path) -> None:
    bare = draw_fields(tmp_path / "s", fields=2, marked=False)
    found = reddino.cells(bare, tmp_path / "s" / "cells.csv")
    read = reddino.read_manifest(tmp_path / "s" / "cells.csv")
    assert read.strings("at_border") == [str(value).lower() for value in found.table["at_border"].to_pylist()]
    changed = read.with_column("at_border", ["true", *["false"] * (len(read) - 1)])
    reddino.embed(changed, "morphology", tmp_path / "t")
    table = reddino.read_embeddings(tmp_path / "t")
    assert cells_at_border(table.table).tolist() == [True, *[False] * (len(read) - 1)]
