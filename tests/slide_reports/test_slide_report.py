"""Slide reports end to end: predictions and their classifier to a page, tables and FHIR."""

from __future__ import annotations

import csv
import json
import re
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from labelled_smears import draw_fields, noisy_table

import reddino
from reddino import cli
from reddino.classification.classifier import open_classifier
from reddino.classification.fit import fit_on_table
from reddino.figures.prediction_file import read_prediction_file
from reddino.foundations.errors import RedDinoError
from reddino.slide_reports.cells import cells_of
from reddino.slide_reports.slide import compared_with_training
from reddino.smears.manifest import Manifest, write_manifest

GRADES = """
name: ours
source: our laboratory
least_cells: 10
features:
  - feature: dark cells
    classes: [dark]
    bands: [{grade: 1+, above: 1}, {grade: 2+, above: 90}]
    source: our handbook
    verified: true
  - feature: ellipses
    classes: [ellipse]
    bands: [{grade: 1+, above: 1}]
    least_cells: 10000
    source: our handbook
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of 14 fields, and predictions of 8 others on two slides of four fields."""
    folder = tmp_path_factory.mktemp("slides")
    reddino.fit(draw_fields(folder / "learn", fields=14), folder / "c", model="morphology")
    bare = draw_fields(folder / "new", fields=8)
    table = bare.table
    place = table.column_names.index("slide")
    names = [f"<b>{int(str(name)[5:]) // 4}</b>" for name in table.column("slide").to_pylist()]
    two = Manifest(table.set_column(place, "slide", pa.array(names)), bare.root)
    write_manifest(two, folder / "new" / "manifest.csv")
    reddino.predict(folder / "c", folder / "new" / "manifest.csv", folder / "p.parquet", kinds=False)
    (folder / "grades.yaml").write_text(GRADES)
    return folder


def test_report__refuses_a_slide_under_two_names(made: Path, tmp_path: Path) -> None:
    for suffix in (".parquet", ".json"):
        copyfile(made / f"p{suffix}", tmp_path / f"p{suffix}")
    note = json.loads((tmp_path / "p.json").read_text())
    # Two VMS slides may have files of one text, which names the pictures that lie next to each.
    for one, other, refused in (
        ("a.svs::x0-y0-w9-h9", "b.svs::x0-y0-w9-h9", True),
        ("a.svs::x0-y0-w9-h9", "b.svs::x9-y0-w9-h9", False),
        ("p/a.vms::x0-y0-w9-h9", "q/a.vms::x0-y0-w9-h9", False),
    ):
        note["pictures"] = {one: "0123", other: "0123"}
        (tmp_path / "p.json").write_text(json.dumps(note))
        with pytest.raises(RedDinoError, match=r"b\.svs is the slide a\.svs") if refused else nullcontext():
            cells_of(read_prediction_file(tmp_path / "p.parquet"), None)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_fit__keeps_the_classes_of_held_out_cells(made: Path) -> None:
    training = open_classifier(made / "c").training
    assert training is not None and training.held_out is not None
    held = training.held_out
    assert held.truth is not None and held.probabilities is not None and held.of_slides
    best = held.probabilities.argmax(axis=1)
    assert ((best == held.truth) == held.correct).mean() > 0.99


@pytest.mark.parametrize(("column", "whole"), [(None, True), ("path", False)])
def test_fit__notes_whether_groups_are_whole_slides(column: str | None, whole: bool, tmp_path: Path) -> None:
    table = noisy_table(300)
    halves = [f"{name}-{row // 20 % 2}" for row, name in enumerate(table.strings("path"))]
    place = table.table.column_names.index("path")
    table = replace(table, table=table.table.set_column(place, "path", pa.array(halves)))
    fit_on_table(table, tmp_path / "c", group_column=column, folds=2)
    training = open_classifier(tmp_path / "c").training
    assert training is not None and training.held_out is not None
    assert training.held_out.of_slides is whole


def test_slides__the_table_begins_with_the_columns_that_others_rely_on(made: Path, tmp_path: Path) -> None:
    report = reddino.slides(
        made / "p.parquet", tmp_path / "r", classifier=made / "c", grades=made / "grades.yaml"
    )
    header = (tmp_path / "r" / "slides.csv").read_text().splitlines()[0]
    assert header.startswith("slide,class,cells,fraction,low,high,grade,")
    rows = rows_of(tmp_path / "r" / "slides.csv")
    assert len(rows) == 2 * 3
    for slide in {row["slide"] for row in rows}:
        own = [row for row in rows if row["slide"] == slide]
        assert sum(int(row["cells"]) for row in own) == int(own[0]["red_cells"]) == 48
        assert sum(float(row["fraction"]) for row in own) == pytest.approx(1, abs=1e-4)
        assert all(float(row["low"]) <= float(row["fraction"]) <= float(row["high"]) for row in own)
        assert all(row["adjusted"] for row in own)
        # A third of the cells is of each kind, and one label in ten was drawn at random.
        assert all(float(row["low"]) <= 1 / 3 <= float(row["high"]) for row in own)
    grades = {row["class"]: row["grade"] for row in rows}
    assert grades == {"dark": "1+", "ellipse": "not graded: 9,952 cells missing", "disc": ""}
    assert report.slides[0].why_plain == ""


def test_slides__the_page_says_that_it_is_no_diagnosis_and_escapes_names(made: Path, tmp_path: Path) -> None:
    reddino.slides(
        made / "p.parquet",
        tmp_path / "r",
        classifier=made / "c",
        images=made / "new" / "manifest.csv",
        um_per_px=0.35,
        reference=["<b>0</b>"],
        fhir=True,
    )
    page = (tmp_path / "r" / "report.html").read_text()
    assert "no diagnosis" in page and 'class="every-page"' in page
    assert "<b>0</b>" not in page and "&lt;b&gt;0&lt;/b&gt;" in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    shapes = rows_of(tmp_path / "r" / "shapes.csv")
    diameter = next(row for row in shapes if row["measure"] == "diameter" and row["slide"] == "<b>1</b>")
    # Two kinds are discs of 20 px, one is an ellipse of half the area.
    assert diameter["unit"] == "µm" and float(diameter["value"]) == pytest.approx(0.35 * 18.5, rel=0.12)
    assert diameter["reference_median"]
    bundle = json.loads((tmp_path / "r" / "slides.fhir.json").read_text())
    first = bundle["entry"][0]["resource"]
    assert (bundle["resourceType"], first["resourceType"], first["status"]) == (
        "Bundle",
        "Observation",
        "preliminary",
    )
    assert "no diagnosis" in first["note"][0]["text"]
    quantity = next(one for one in first["component"] if "valueQuantity" in one)["valueQuantity"]
    assert quantity["system"] == "http://unitsofmeasure.org" and 0 <= quantity["value"] <= 100
    assert all("valueRange" in one or "interval" not in one["code"]["text"] for one in first["component"])
    note = json.loads((tmp_path / "r" / "slides.json").read_text())
    assert note["provenance"]["version"] and note["provenance"]["data"] and note["provenance"]["model"]
    assert "no diagnosis" in note["no_diagnosis"]


def test_slides__without_a_classifier_counts_are_plain_and_the_report_says_so(
    made: Path, tmp_path: Path
) -> None:
    reddino.slides(made / "p.parquet", tmp_path / "r")
    rows = rows_of(tmp_path / "r" / "slides.csv")
    assert all(row["fraction"] == row["plain"] and not row["adjusted"] for row in rows)
    assert all("--classifier" in row["note"] for row in rows)
    assert "No fraction is adjusted" in (tmp_path / "r" / "report.html").read_text()


def test_slides__a_folder_of_an_earlier_version_gives_plain_counts(made: Path, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    old = tmp_path / "old"
    old.mkdir()
    for file in (made / "c").iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    with safe_open(old / "training-cells.safetensors", "np") as file:
        described = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    described.pop("content")
    described.pop("held_out_groups")
    arrays = {name: value for name, value in arrays.items() if name not in ("truth", "probabilities")}
    save_file(arrays, old / "training-cells.safetensors", described)
    report = reddino.slides(made / "p.parquet", tmp_path / "r", classifier=old)
    assert "earlier version" in report.slides[0].why_plain


def test_slides__a_risk_leaves_cells_without_an_answer_and_counts_them(made: Path, tmp_path: Path) -> None:
    every = reddino.slides(made / "p.parquet", tmp_path / "a", classifier=made / "c")
    some = reddino.slides(made / "p.parquet", tmp_path / "b", classifier=made / "c", risk=0.3, set_error=0.1)
    assert every.slides[0].unnamed == 0
    slide = some.slides[0]
    assert sum(one.cells for one in slide.classes) + slide.unnamed == slide.cells == every.slides[0].cells
    assert slide.undecided is not None
    assert all((one.within or 0) <= (one.among or 0) for one in slide.classes)


def test_slides__probabilities_that_were_adjusted_are_not_used_twice(made: Path, tmp_path: Path) -> None:
    priors = {"dark": 0.98, "disc": 0.01, "ellipse": 0.01}
    new = made / "new" / "manifest.csv"
    reddino.predict(made / "c", new, tmp_path / "p.parquet", priors=priors, kinds=False)
    given = reddino.slides(tmp_path / "p.parquet", tmp_path / "a", classifier=made / "c")
    plain = reddino.slides(made / "p.parquet", tmp_path / "b", classifier=made / "c")
    assert [one.cells for one in given.slides[0].classes] == [one.cells for one in plain.slides[0].classes]
    with pytest.raises(RedDinoError, match="--adjust-priors"):
        reddino.slides(tmp_path / "p.parquet", tmp_path / "c", classifier=made / "c", set_error=0.1)


def test_slides__refuses_what_does_not_fit_and_leaves_nothing(made: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    reddino.fit(draw_fields(tmp_path / "s", fields=13), other, model="morphology")
    predictions = made / "p.parquet"
    with pytest.raises(RedDinoError, match="of another classifier"):
        reddino.slides(predictions, tmp_path / "r", classifier=other)
    with pytest.raises(RedDinoError, match="has no column 'ward'"):
        reddino.slides(predictions, tmp_path / "r", by="ward")
    with pytest.raises(RedDinoError, match="no slide is called 'x'"):
        reddino.slides(predictions, tmp_path / "r", reference=["x"])
    with pytest.raises(RedDinoError, match="--classifier"):
        reddino.slides(predictions, tmp_path / "r", risk=0.1)
    with pytest.raises(RedDinoError, match="no size of a pixel"):
        reddino.slides(predictions, tmp_path / "r", um_per_px=0.0)
    with pytest.raises(RedDinoError, match="is below"):
        reddino.slides(predictions, tmp_path / "r", images=tmp_path)
    with pytest.raises(RedDinoError, match="is another picture than"):
        reddino.slides(predictions, tmp_path / "r", images=tmp_path / "s")
    assert not (tmp_path / "r").exists() or not any((tmp_path / "r").iterdir())


def _edited(made: Path, folder: Path, column: str, values: list[object]) -> Path:
    """Write the predictions with a column replaced or added, beside their note."""
    table = pq.read_table(made / "p.parquet")
    if column in table.column_names:
        table = table.drop_columns([column])
    pq.write_table(table.append_column(column, pa.array(values)), folder / "p.parquet")
    (folder / "p.json").write_text((made / "p.json").read_text())
    return folder / "p.parquet"


def test_slides__refuses_classes_that_were_corrected_by_hand(made: Path, tmp_path: Path) -> None:
    table = pq.read_table(made / "p.parquet")
    names = [str(name) for name in table.column("predicted").to_pylist()]
    first = "disc" if names[0] != "disc" else "dark"
    edited = _edited(made, tmp_path, "predicted", [first, *names[1:]])
    table = pq.read_table(edited)
    order = [*(name for name in table.column_names if not name.startswith("p"))]
    order += ["path", "predicted", "probability", *(f"p_{name}" for name in ("dark", "disc", "ellipse"))]
    pq.write_table(table.select(order), edited)
    for classifier in (made / "c", None):
        with pytest.raises(RedDinoError, match="row 1: 1 cell of another class than the most probable"):
            reddino.slides(edited, tmp_path / "r", classifier=classifier)
    misspelt = table.select(order).set_column(
        order.index("predicted"), "predicted", pa.array(["Disc", *names[1:]])
    )
    pq.write_table(misspelt, edited)
    with pytest.raises(RedDinoError, match="row 1: 'Disc' is no class of those"):
        reddino.slides(edited, tmp_path / "r")
    kept = [name for name in order if not name.startswith("p_")]
    pq.write_table(table.select(kept), edited)
    assert sum(slide.cells for slide in reddino.slides(edited, tmp_path / "r").slides) == len(names)


@pytest.mark.parametrize("size", [0.0, "0,17", -0.1, float("inf")])
def test_slides__refuses_sizes_of_pixels_that_are_none(size: object, made: Path, tmp_path: Path) -> None:
    rows = pq.read_table(made / "p.parquet").num_rows
    sizes = [size] * rows if not isinstance(size, str) else ["0.17", *[size] * (rows - 1)]
    edited = _edited(made, tmp_path, "um_per_px", list(sizes))
    with pytest.raises(RedDinoError, match=r"column 'um_per_px': '.*' is no size of a pixel"):
        reddino.slides(edited, tmp_path / "r", images=made / "new" / "manifest.csv")


def test_slides__refuses_predictions_without_cells(made: Path, tmp_path: Path) -> None:
    pq.write_table(pq.read_table(made / "p.parquet").slice(0, 0), tmp_path / "p.parquet")
    with pytest.raises(RedDinoError, match="holds no cells"):
        reddino.slides(tmp_path / "p.parquet", tmp_path / "r")


def test_slides__classes_of_one_feature_are_not_graded_apart(made: Path, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(GRADES.replace("[dark]", "[dark, disc]"))
    reddino.slides(made / "p.parquet", tmp_path / "r", grades=tmp_path / "g.yaml", classifier=made / "c")
    grades = {row["class"]: row["grade"] for row in rows_of(tmp_path / "r" / "slides.csv")}
    assert grades["dark"] == grades["disc"] == "not graded: thresholds are for dark, disc together"
    page = (tmp_path / "r" / "report.html").read_text()
    assert "several classes show one feature: dark cells." in page and "9,952 cells missing" in page


def test_slides__every_grade_by_unverified_thresholds_is_marked(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    high = GRADES.replace("above: 1}", "above: 95}").replace("above: 90}", "above: 99}")
    (tmp_path / "g.yaml").write_text(high.replace("verified: true", "verified: false"))
    tokens = ["slides", f"{made}/p.parquet", "--out", f"{tmp_path}/r", "--classifier", f"{made}/c"]
    assert cli.main([*tokens, "--grades", f"{tmp_path}/g.yaml"]) == 0
    assert "none (unverified)" in (tmp_path / "r" / "report.html").read_text()
    assert "thresholds of dark cells, ellipses were not compared" in " ".join(capsys.readouterr().err.split())


def test_slides__a_slide_outside_of_what_was_learned_is_not_graded(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("p.parquet", "p.json"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    note = json.loads((tmp_path / "p.json").read_text())
    source = note["domain"]["units"][0]["source"]
    note["domain"] = {"note": "", "units": [{"source": source, "slide": "<b>1</b>", "verdict": "outside"}]}
    (tmp_path / "p.json").write_text(json.dumps(note))
    tokens = ["slides", f"{tmp_path}/p.parquet", "--out", f"{tmp_path}/r", "--classifier", f"{made}/c"]
    assert cli.main([*tokens, "--grades", f"{made}/grades.yaml"]) == 0
    grades = {(row["slide"], row["class"]): row["grade"] for row in rows_of(tmp_path / "r" / "slides.csv")}
    assert grades["<b>1</b>", "dark"] == "not graded: outside of what the classifier learned from"
    assert grades["<b>1</b>", "disc"] == ""
    assert grades["<b>0</b>", "dark"] == "1+"
    assert "outside" in capsys.readouterr().out
    assert "the slide lies outside of what the classifier" in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize(
    ("pictures", "verdict"),
    [
        (["within"] * 10, "within"),
        (["outside", *["within"] * 9], "at the edge"),
        (["at the edge"] * 4 + ["within"] * 6, "within"),
        (["at the edge"] * 5 + ["within"] * 5, "at the edge"),
        (["outside"] * 5 + ["within"] * 5, "outside"),
        (["too few cells"] * 3, "of the source"),
        ([], "of the source"),
    ],
)
def test_verdict__of_a_slide_without_one_is_made_of_its_pictures(pictures: list[str], verdict: str) -> None:
    domain = {("lab", f"{number}.png"): (one, "") for number, one in enumerate(pictures)}
    domain |= {("lab", ""): ("of the source", "why"), ("lab", "named"): ("its own", "")}
    paths = [f"{number}.png" for number in range(max(1, len(pictures)))]
    assert compared_with_training(domain, ("lab", "smear"), paths)[0] == verdict
    assert compared_with_training(domain, ("lab", "named"), paths)[0] == "its own"
    assert compared_with_training({}, ("lab", "smear"), paths) == ("", "")


def test_slides__blurred_fields_are_left_out_unless_kept(made: Path, tmp_path: Path) -> None:
    import cv2

    smears = tmp_path / "s"
    manifest = draw_fields(smears, fields=8)
    blurred = cv2.GaussianBlur(cv2.imread(str(smears / "f3.png")), (0, 0), 3)
    cv2.imwrite(str(smears / "f3.png"), blurred)
    whole = manifest.with_column("ward", ["one"] * len(manifest))
    write_manifest(whole, smears / "manifest.csv")
    reddino.predict(made / "c", smears / "manifest.csv", tmp_path / "p.parquet", kinds=False)
    images = smears / "manifest.csv"
    found = reddino.slides(tmp_path / "p.parquet", tmp_path / "a", by="ward", images=images).slides[0]
    assert [(field.path, field.why.split(" ")[0]) for field in found.left_out] == [("f3.png", "blurred")]
    assert found.cells == 7 * 12
    kept = reddino.slides(tmp_path / "p.parquet", tmp_path / "b", by="ward", images=images, keep_fields=True)
    assert kept.slides[0].cells == 8 * 12
    fields = rows_of(tmp_path / "a" / "fields.csv")
    assert [row["used"] for row in fields].count("false") == 1


def test_slides__a_slide_without_counted_cells_is_reported_as_such(made: Path, tmp_path: Path) -> None:
    table = pq.read_table(made / "p.parquet")
    counted = np.array([name != "<b>0</b>" for name in table.column("slide").to_pylist()])
    table = table.set_column(table.column_names.index("counted"), "counted", pa.array(counted))
    pq.write_table(table, tmp_path / "p.parquet")
    note = json.loads((made / "p.json").read_text())
    (tmp_path / "p.json").write_text(json.dumps({**note, "file": "p.parquet"}))
    report = reddino.slides(tmp_path / "p.parquet", tmp_path / "r", classifier=made / "c", fhir=True)
    assert report.slides[0].cells == 0 and report.slides[0].why_plain == "no cell is counted"
    rows = rows_of(tmp_path / "r" / "slides.csv")
    assert all(row["fraction"] == "" for row in rows if row["slide"] == "<b>0</b>")
    bundle = json.loads((tmp_path / "r" / "slides.fhir.json").read_text())
    assert any("dataAbsentReason" in one for one in bundle["entry"][0]["resource"]["component"])


def test_command__prints_a_row_for_each_slide(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = ["slides", f"{made}/p.csv", "--out", f"{tmp_path}/r", "--classifier", f"{made}/c"]
    reddino.predict(made / "c", made / "new" / "manifest.csv", made / "p.csv", kinds=False)
    assert cli.main([*tokens, "--grades", f"{made}/grades.yaml", "--sets", "0.1"]) == 0
    shown = capsys.readouterr()
    assert "<b>1</b>" in shown.out and "dark cells 1+" in shown.out and "no diagnosis" in shown.out
    assert (tmp_path / "r" / "report.html").is_file()
    assert cli.main(["slides", f"{tmp_path}/none.csv", "--out", f"{tmp_path}/n"]) == 1
    assert "none.csv" in capsys.readouterr().err
