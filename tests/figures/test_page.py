"""The report as text: one file, whole, within its size, and nothing that is fetched."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import reddino
from reddino.embedding.table import read_embeddings
from reddino.figures.overview import Overview
from reddino.figures.page.document import Document, embedded_json, paragraph, table
from reddino.figures.page.measures import batch_effect_parts, score_parts
from reddino.figures.page.table_report import table_report
from reddino.foundations.errors import RedDinoError

SCORES = {
    "results": [
        {
            "model": model,
            "task": "Shapes",
            "cells": 40,
            "classes": ["a", "b"],
            "protocol": "grouped",
            "group_by": "patient",
            "scores": {
                "probe": {"mean": {"weighted_f1": 0.5, "accuracy": score}, "sd": {"weighted_f1": 0.01}},
                "1-NN": {"mean": {"weighted_f1": 0.25, "accuracy": score}, "sd": None},
            },
            "notes": ["A note."],
        }
        for model, score in (("one", 0.125), ("two", 0.75))
    ]
}


MEASURE = {"name": "iLISI", "value": 1.25, "without": 3.0, "wanted": "high", "meaning": "Sources <mix>."}
BATCH = {"reports": [{"model": "one", "measures": [MEASURE], "notes": ["A note."]}]}


class _Links(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href") and not str(value).startswith(("data:", "#")):
                self.fetched.append(f"{tag} {value}")


def _report(table_folder: Path, **options: Any) -> str:
    images = table_folder.parent / "images"
    out = table_folder.parent / "report.html"
    options = {"images": images, "method": "pca", **options}
    return reddino.report(table_folder, out, **options).read_text(encoding="utf-8")


def test_report__is_one_file_that_fetches_nothing_and_tells_what_was_embedded(report_file: Path) -> None:
    page = report_file.read_text(encoding="utf-8")
    links = _Links()
    links.feed(page)
    assert links.fetched == []
    assert "default-src 'none'" in page
    assert "0123456789abcdef" in page
    assert "fedcba9876543210" in page
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert titles == [
        "Finding",
        "Fields with their cells",
        "Every cell: map and table",
        "Classes",
        "Outliers",
        "Neighbours",
        "Map",
        "Method: what was embedded",
        "Left out",
    ]


def test_report__carries_every_row_and_column(report_file: Path) -> None:
    data = _payload(report_file.read_text(encoding="utf-8"))
    assert data["rows"] == 48
    assert [column["name"] for column in data["columns"]][:4] == ["label", "outlier", "source", "slide"]
    assert "diameter" in [column["name"] for column in data["columns"]]
    assert data["pictures"]["count"] == 48


def test_report__without_images_says_so(table_folder: Path) -> None:
    page = _report(table_folder, images=None)
    assert "the images were not given" in page
    assert _payload(page)["pictures"] is None


def test_report__shows_scores_and_batch_effect_where_given(table_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(json.dumps(SCORES))
    (tmp_path / "batch.json").write_text(json.dumps(BATCH))
    page = _report(
        table_folder, images=None, scores=[tmp_path / "scores.json"], batch_effect=tmp_path / "batch.json"
    )
    assert "0.500 ± 0.010" in page
    assert re.search(r'<h2 id="s\d">Batch effect</h2>', page)
    assert "at best wF1 0.500, by the probe of one" in page.split("<h2")[1]
    assert "1.250" in page
    assert "Sources &lt;mix&gt;." in page


def test_report__lists_what_the_pass_left_out(table_folder: Path) -> None:
    (table_folder / "failures.csv").write_text("path,reason\nlab-9/bad.png,cannot be decoded\n")
    page = _report(table_folder, images=None)
    assert "1 images could not be used" in page
    assert "lab-9/bad.png" in page


def test_report__is_the_same_for_the_same_seed(table_folder: Path, report_file: Path) -> None:
    assert _report(table_folder) == report_file.read_text(encoding="utf-8")


def test_report__refuses_files_that_are_no_results(table_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(RedDinoError, match="holds no results"):
        _report(table_folder, images=None, scores=[tmp_path / "other.json"])
    with pytest.raises(RedDinoError, match="holds no reports"):
        _report(table_folder, images=None, batch_effect=tmp_path / "other.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(RedDinoError, match="does not hold an object"):
        _report(table_folder, batch_effect=tmp_path / "list.json")


def test_explore__writes_maps_sheets_and_the_rows_with_their_places(table_folder: Path) -> None:
    import pyarrow.parquet as pq

    out = table_folder.parent / "figures"
    images = table_folder.parent / "images"
    overview = reddino.explore(table_folder, out, images=images, method="pca", formats=["png", "svg"])
    written = sorted(path.name for path in out.iterdir())
    assert written == ["classes.png", "map.parquet", "map.png", "map.svg", "neighbours.png", "outliers.png"]
    rows = pq.read_table(out / "map.parquet")
    assert rows.column("map_x").to_pylist() == pytest.approx(overview.xy[:, 0].tolist(), abs=1e-5)
    assert rows.column("outlier").to_pylist() == pytest.approx(overview.scores.tolist(), rel=1e-5)
    notes = json.loads(rows.schema.metadata[b"reddino"])
    assert notes["provenance"]["seed"] == 0
    assert list(overview.panels()) == ["by class", "by patient", "by source"]


def test_score_parts__set_models_side_by_side_under_each_classifier() -> None:
    text = "".join(score_parts(SCORES))
    rows = [re.findall(r"<td[^>]*>([^<]*)</td>", row) for row in re.findall(r"<tr>.*?</tr>", text)]
    assert rows[1:] == [
        ["probe", "one", "0.500 ± 0.010", "0.125"],
        ["probe", "two", "0.500 ± 0.010", "0.750"],
        ["1-NN", "one", "0.250", "0.125"],
        ["1-NN", "two", "0.250", "0.750"],
    ]
    assert text.count("A note.") == 1


def test_batch_effect_parts__set_models_side_by_side() -> None:
    other = {"model": "two", "measures": [{**MEASURE, "value": None}], "notes": ["A note."]}
    text = "".join(batch_effect_parts({"reports": [*BATCH["reports"], other]}))
    assert re.findall(r"<td[^>]*>([^<]*)</td>", text) == [
        *("iLISI", "high", "3.000", "1.250", "-"),
        "Sources &lt;mix&gt;.",
    ]
    assert re.findall(r"<th[^>]*>([^<]*)</th>", text)[3:5] == ["one", "two"]
    assert text.count("A note.") == 1


def test_document__escapes_what_it_is_given() -> None:
    page = Document("<b>", "a & b")
    page.add("Tom & Jerry", paragraph("1 < 2"), table(("<i>",), [("</td>",)]))
    page.add("empty", "")
    text = page.html()
    assert "<h1>&lt;b&gt;</h1>" in text
    assert "Tom &amp; Jerry" in text
    assert "1 &lt; 2" in text
    assert '<td class="break">&lt;/td&gt;</td>' in text
    assert "empty" not in text


def test_embedded_json__cannot_end_its_element() -> None:
    value = {"names": ["</script><script>alert(1)</script>", "<!--"]}
    text = embedded_json("data", value)
    assert text.count("</script>") == 1
    start = len('<script type="application/json" id="data">')
    assert json.loads(text[start : -len("</script>")]) == value


def _payload(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="map-data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    payload: dict[str, Any] = json.loads(found[1])
    return payload


def test_report__shows_what_evaluate_and_batch_write(table_folder: Path, tmp_path: Path) -> None:
    scores, batch = tmp_path / "scores.json", tmp_path / "batch.json"
    (result,) = reddino.evaluate(table_folder, group_by="patient", folds=4, out=scores)
    (measured,) = reddino.batch(table_folder, group_by="patient", out=batch)
    page = _report(table_folder, images=None, scores=[scores], batch_effect=batch)
    for classifier in result.classifiers:
        mean = result.mean(classifier).macro_f1
        between = result.interval(classifier, "macro F1")
        after = rf" \[{between[0]:.3f}, {between[1]:.3f}\]" if between else "<"
        assert re.search(rf"{mean:.3f} ± \d\.\d+{after}", page)
    for measure in measured.measures:
        assert f">{measure.name}<" in page


def test_report__allows_its_own_style_and_scripts_alone(report_file: Path) -> None:
    page = report_file.read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "unsafe" not in policy
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for name, element in (("style-src", "style"), ("script-src", "script")):
        texts = re.findall(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts]
        assert rules[name].split() == [f"'sha256-{digest}'" for digest in digests]
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    tags = re.findall(r"<[a-z][^>]*>", page)
    assert not [tag for tag in tags if re.search(r"\s(style|on[a-z]+)=", tag)]


def test_document__writes_out_what_acts_and_keeps_scripts_readable() -> None:
    page = Document("a\x1b[2J\u202eb", "")
    page.add("names", paragraph("می\u200cخواهم 棘红"), table((), [("caf\udce9",)]))
    text = page.html()
    assert r"a\x1b[2J\u202eb" in text
    assert "می\u200cخواهم 棘红" in text
    assert r"caf\udce9" in text
    text.encode()


def test_document__lists_names_that_its_figures_could_not_draw(
    table_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from reddino.figures import lettering

    monkeypatch.setattr(lettering, "_installed", dict)
    embeddings = read_embeddings(table_folder)
    names = ["棘红细胞" if label == "sickle" else label for label in embeddings.strings("label")]
    place = embeddings.table.column_names.index("label")
    table = embeddings.table.set_column(place, "label", pa.array(names))
    page = table_report(
        Overview.of(dataclasses.replace(embeddings, table=table), method="pca"), {"command": "", "seed": 0}
    )
    assert '<td class="break">#1</td><td class="break">棘红细胞</td>' in page
