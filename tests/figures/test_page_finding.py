"""The finding that a report opens with: counts, how far to trust them, and what is shown without any."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from prediction_files import write_prediction_file

import reddino
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.table import read_embeddings
from reddino.figures.clusters import groups_of_one_source
from reddino.figures.fractions import fraction_interval
from reddino.figures.overview import GROUP, Overview
from reddino.figures.page.finding import finding
from reddino.figures.page.recognition import recognised
from reddino.figures.page.slides import LEFT_OUT, slides_of
from reddino.figures.page.table_report import table_report
from reddino.figures.prediction_file import read_prediction_file, with_predictions
from reddino.foundations.errors import RedDinoError


def report(folder: Path, of: Path, **options: Any) -> str:
    out = folder / "out.html"
    return reddino.report(of, out, images=folder / "images", method="pca", **options).read_text("utf-8")


def opening(page: str) -> str:
    """Return the text of the page's first section."""
    section = re.search(r"<section>(.*?)</section>", page, re.DOTALL)
    assert section is not None
    return re.sub(r"<[^>]+>", " ", section[1]).replace("\xa0", " ")


def rows_of(page: str) -> list[list[str]]:
    section = page.split("</section>", maxsplit=1)[0]
    found = [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>.*?</tr>", section)]
    return [[cell.replace("\xa0", " ") for cell in row] for row in found]


def test_finding__opens_the_report_with_counts_of_every_slide(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent)
    page = report(table_folder.parent, table_folder, predictions=file)
    text = opening(page)
    assert page.index(">Finding<") < page.index(">Fields with their cells<") < page.index(">Method:")
    assert "48 cells were counted on 4 slides (4 fields, 2 sources)" in text
    assert "lab-0 (2 slides): 33 %" in text
    header, *rows = rows_of(page)
    assert header[:4] == ["slide", "source", "fields", "cells counted"]
    assert [row[0] for row in rows] == ["s0", "s2", "s1", "s3"]
    assert rows[0][3:5] == ["12 (few)", "33 % (14–61)"]
    assert "is not known" in text and "25 % of the counted cells" in text


def test_finding__names_what_lies_outside_and_gives_no_fractions_of_it(table_folder: Path) -> None:
    units = [
        {"source": "lab-0", "slide": "", "verdict": "outside", "sentence": "80 % of its cells <lie> far off"},
        {"source": "lab-1", "slide": "s1", "verdict": "at the edge", "sentence": "its stain is stronger"},
        {"source": "lab-1", "slide": "s3", "verdict": "within", "sentence": ""},
    ]
    file = write_prediction_file(table_folder.parent, units=units)
    page = report(table_folder.parent, file)
    text = opening(page)
    assert "lab-0 (2 slides): outside what the classifier learned from, so no fractions" in text
    overview = Overview.of(
        read_embeddings(table_folder), method="pca", predictions=read_prediction_file(file)
    )
    assert overview.verdicts() == (
        ["outside"] * 12 + ["at the edge"] * 12 + ["outside"] * 12 + ["within"] * 12
    )
    assert re.search(r"outside\s+2 slides \(s0, s2\): do not use their fractions", text)
    assert "80 % of its cells &lt;lie&gt; far off" in text
    assert re.search(r"at the edge\s+1 slide \(s1\)", text)
    rows = rows_of(page)[1:]
    assert [row[-1] for row in rows] == ["at the edge", "within", "outside", "outside"]
    assert all("%" in row[4] for row in rows[:2]) and all(row[4:7] == ["-"] * 3 for row in rows[2:])


def test_finding__marks_a_source_at_the_edge_where_its_fractions_stand(table_folder: Path) -> None:
    units = [{"source": f"lab-{i}", "slide": "", "verdict": ("at the edge", "within")[i]} for i in range(2)]
    file = write_prediction_file(table_folder.parent, units=units)
    first, second = opening(report(table_folder.parent, file)).split("lab-1 (2 slides)")[:2]
    assert "(at the edge of what the classifier learned from: check)" in first
    assert "learned from: check)" not in second.split("How far")[0]


def test_finding__leaves_border_cells_other_kinds_and_abstentions_out_of_the_counts(
    table_folder: Path,
) -> None:
    numbers = np.arange(48)
    file = write_prediction_file(
        table_folder.parent,
        at_border=numbers % 12 == 0,
        kind=["white cell" if i % 12 == 1 else "red cell" for i in numbers],
        abstained=numbers % 12 == 2,
        novelty=(numbers / 48).tolist(),
    )
    page = report(table_folder.parent, file)
    assert "36 cells were counted" in opening(page)
    assert "left out of the counts: 4 at the border, 4 no red cell, 4 without an answer" in opening(page)
    header, *rows = rows_of(page)
    assert [name for name in header if name in LEFT_OUT] == list(LEFT_OUT)
    assert all(row[header.index(LEFT_OUT[0]) :][:3] == ["1", "1", "1"] for row in rows)
    (slide, *_) = slides_of(read_prediction_file(file))
    assert (slide.cells, slide.counted) == (12, 9)
    image = replace(slide, name="/smears/lab/day 1/0007.png", named=False)
    assert (slide.shown(9), image.shown(9), image.shown(40)) == ("s0", "…0007.png", image.name)
    grey = re.findall(r'<circle [^>]*stroke="#BBBBBB"[^>]*>', page)
    assert len(grey) == 12


@pytest.mark.parametrize(
    ("held_out", "said"),
    [
        (
            {"cells": 900, "balanced_accuracy": 0.784, "evidence": True},
            "On 900 held-out cells .* 78 % of a\\s+class",
        ),
        (
            {
                "cells": 12,
                "balanced_accuracy": 0.6,
                "evidence": True,
                "never_found": {"pale": 3, "target": 2},
            },
            r"no held-out cell of pale \(0 of 3\), target \(0 of 2\): no fraction of such",
        ),
        ({"cells": 900, "balanced_accuracy": 0.95, "evidence": False}, "is unknown: its training cells"),
    ],
)
def test_finding__says_how_the_classifier_did_on_cells_held_out(
    table_folder: Path, held_out: dict[str, Any], said: str
) -> None:
    file = write_prediction_file(table_folder.parent, held_out=held_out)
    assert re.search(said, opening(report(table_folder.parent, file)))


TESTED = {
    "cells": 330,
    "balanced_accuracy": 0.43,
    "evidence": True,
    "classes": [
        {"name": "normal", "cells": 300, "groups": 30, "recall": 0.9, "recall_interval": [0.85, 0.94]},
        {"name": "sickle", "cells": 20, "groups": 4, "recall": 0.4, "taken_for": "normal"},
        {"name": "target", "cells": 10, "groups": 4, "recall": 0.0, "taken_for": "normal"},
    ],
    "never_found": {"target": 10},
}


def test_finding__says_first_how_far_each_class_can_be_trusted(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent, held_out=TESTED)
    page = report(table_folder.parent, file)
    text = opening(page)
    assert text.index("How far to trust it") < text.index("What was counted") < text.index("lab-0 (2 slides)")
    rows = {row[0]: row[1:] for row in rows_of(page)}
    assert rows["normal"] == ["16", "90 % of 300 (85-94)", "-"]
    assert rows["sickle"] == ["16", "40 % of 20 (4 groups)", "normal"]
    assert rows["target"] == ["16", "none of 10", "normal"]
    assert re.search(r"less than half of the held-out\s+cells of sickle \(40 %\)", text)


def test_recognised__takes_nothing_of_a_note_that_is_no_number() -> None:
    one = {"name": "a", "cells": 20, "groups": 12, "recall": 0.5}
    assert recognised({**one, "recall_interval": [0.25, 0.75]}) == "50 % of 20 (25-75)"
    intervals: tuple[Any, ...] = (None, "ab", ["a", "b"], [0.1], {})
    for odd in intervals:
        assert recognised({**one, "recall_interval": odd}) == "50 % of 20 (12 groups)"
    assert recognised(None) == recognised({**one, "cells": 0}) == "not tested"


def test_finding__gives_no_fraction_of_a_class_that_was_never_recognised(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent, held_out=TESTED)
    page = report(table_folder.parent, file)
    counted = opening(page).split("What was counted")[1]
    assert re.search(r"lab-0 \(2 slides\): 33 % \(\S+\) normal, 33 % \(\S+\) sickle\s*\.", counted)
    header = next(row for row in rows_of(page) if row[0] == "slide")
    assert header[4:6] == ["normal", "sickle"] and "target" not in header
    assert "other classes" in counted and "in no held-out cell have no fraction here: target" in counted


def test_finding__takes_the_verdict_of_each_picture_and_says_that_a_risk_does_not_hold(
    table_folder: Path,
) -> None:
    file = write_prediction_file(table_folder.parent)
    table = pq.read_table(file)
    nameless = table.set_column(table.column_names.index("slide"), "slide", pa.nulls(48, pa.string()))
    pq.write_table(nameless, file)
    paths, sources = (list(map(str, table.column(name).to_pylist())) for name in ("path", "source"))
    first, *others = sorted(set(paths))
    source = dict(zip(paths, sources, strict=True))
    units = [{"source": name, "slide": "", "verdict": "within"} for name in set(source.values())]
    pictures = [{"source": source[first], "picture": first, "verdict": "outside", "sentence": "far off"}]
    note = {"domain": {"units": units, "pictures": pictures}, "abstention": {"risk": 0.1}}
    file.with_suffix(".json").write_text(json.dumps(note))
    text = opening(report(table_folder.parent, file))
    assert "48 cells were counted on 4 images (2 sources)" in text
    assert re.search(rf"outside\s+1 image \({re.escape(first)}\): do not use their fractions", text)
    assert re.search(r"error rate of 0.1 .* it does not hold for 1 image outside or at the edge", text)
    assert "on 1 of its images, as the others lie outside" in text and len(others) == 3


def test_counted_classes__of_sheets_are_of_cells_that_count_and_are_not_outside(table_folder: Path) -> None:
    units = [{"source": f"lab-{i}", "slide": "", "verdict": ("outside", "within")[i]} for i in range(2)]
    file = read_prediction_file(
        write_prediction_file(table_folder.parent, units=units, abstained=[i % 12 == 0 for i in range(48)])
    )
    overview = Overview.of(read_embeddings(table_folder), method="pca", predictions=file)
    sources = overview.table.strings("source")
    counts = [bool(name) for name in overview.counted_classes()]
    assert counts == [i % 12 != 0 for i in range(48)]
    listed = [bool(name) for name in overview.counted_classes(outside=False)]
    assert listed == [one and source == "lab-1" for one, source in zip(counts, sources, strict=True)]


def test_report__of_predictions_alone_maps_probabilities_and_shows_no_outliers(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent)
    page = report(table_folder.parent, file)
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert "Outliers" not in titles and "Neighbours" not in titles and "Classes" in titles
    assert reddino.report(file, images=table_folder.parent / "images", method="pca") == file.with_suffix(
        ".html"
    )
    assert "48 cells of 4 slides, by class" in page


def test_read_prediction_file__reads_csv_as_parquet_and_finds_it_in_its_folder(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent, abstained=[i % 2 == 0 for i in range(48)])
    read = read_prediction_file(file)
    assert read_prediction_file(file.parent).path == file
    table = pq.read_table(file)
    slides = pa.array([f"00{i % 2}" for i in range(48)])
    table = table.set_column(table.column_names.index("slide"), "slide", slides)
    pa_csv.write_csv(table, file.with_name("other.csv"))
    other = read_prediction_file(file.with_name("other.csv"))
    assert set(other.strings("slide")) == {"000", "001"}
    assert other.classes == read.classes
    assert (other.counted() == read.counted()).all()
    with pytest.raises(RedDinoError, match="is no file of `reddino predict`"):
        read_prediction_file(file.with_name("cells.slides.parquet"))
    with pytest.raises(RedDinoError, match=r"give its \.parquet or \.csv"):
        read_prediction_file(table_folder / "nothing.parquet")


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [("view_x", "left", "does not hold numbers"), ("p_sickle", 2.5, "2.5 is no probability")],
)
def test_read_prediction_file__refuses_numbers_that_are_none(
    table_folder: Path, column: str, value: object, fault: str
) -> None:
    file = write_prediction_file(table_folder.parent)
    table = pq.read_table(file)
    values = [value, *map(type(value), table.column(column).to_pylist()[1:])]
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array(values)), file)
    with pytest.raises(RedDinoError, match=rf"column '{column}'.*{fault}"):
        read_prediction_file(file)


def test_with_predictions__of_several_cells_at_one_place_each_takes_its_own(table_folder: Path) -> None:
    read = read_embeddings(table_folder)
    same = read.table.column("view_x").to_numpy().copy()
    same[:] = 7.0
    table = read.table
    for name in ("view_x", "view_y"):
        table = table.set_column(table.column_names.index(name), name, pa.array(same))
    made = read_prediction_file(write_prediction_file(table_folder.parent))
    placed = made.table
    for name in ("view_x", "view_y"):
        placed = placed.set_column(placed.column_names.index(name), name, pa.array(same))
    joined, notes = with_predictions(replace(read, table=table), replace(made, table=placed))
    assert joined.strings("predicted") == made.strings("predicted")
    assert not any("no prediction" in note for note in notes)


def test_with_predictions__joins_by_image_and_place_and_counts_the_others(table_folder: Path) -> None:
    file = read_prediction_file(write_prediction_file(table_folder.parent, rows=range(40, 0, -1)))
    joined, notes = with_predictions(read_embeddings(table_folder), file)
    wanted = ["normal", "sickle", "target"] * 16
    assert joined.strings("predicted") == ["", *wanted[1:41], *[""] * 7]
    assert notes[-1] == "8 of 48 cells have no prediction"
    moved = file.table.set_column(
        file.table.column_names.index("path"), "path", pa.array(["elsewhere.png"] * 40)
    )
    with pytest.raises(RedDinoError, match="no cell of the table is among the predictions"):
        with_predictions(read_embeddings(table_folder), type(file)(file.path, moved, file.classes, {}))


def test_report__refuses_predictions_of_predictions(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent)
    with pytest.raises(RedDinoError, match="holds predictions itself"):
        reddino.report(file, table_folder.parent / "x.html", predictions=file, method="pca")


def test_explore__maps_by_predicted_class(table_folder: Path) -> None:
    file = write_prediction_file(table_folder.parent)
    out = table_folder.parent / "figures"
    overview = reddino.explore(table_folder, out, method="pca", formats=["png"], predictions=file)
    assert "by predicted class" in overview.panels()
    assert "predicted" in pq.read_table(out / "map.parquet").column_names


def _unlabelled(folder: Path) -> Embeddings:
    table = read_embeddings(folder)
    rows = table.table
    for name in ("label", "patient", "slide"):
        rows = rows.set_column(rows.column_names.index(name), name, pa.nulls(48, pa.string()))
    rows = rows.set_column(rows.column_names.index("source"), "source", pa.array(["one"] * 48))
    return Embeddings(table.vectors, rows, table.meta)


def test_overview__of_unlabelled_cells_is_no_grey_panel(table_folder: Path) -> None:
    overview = Overview.of(_unlabelled(table_folder), images=table_folder.parent / "images", method="pca")
    ((title, values),) = overview.panels().items()
    assert "group of similar cells" in title and len(set(values)) > 1
    assert overview.shown[0] == GROUP
    assert list(overview.sheets()) == ["groups", "outliers", "neighbours"]
    # The one direction in which the vectors differ much divides the groups.
    large = [values[row] for row in range(48) if row % 3 == 1]
    assert not set(large) & {values[row] for row in range(48) if row % 3 != 1}


def test_report__of_unlabelled_cells_calls_groups_no_classes(table_folder: Path) -> None:
    overview = Overview.of(_unlabelled(table_folder), images=table_folder.parent / "images", method="pca")
    page = table_report(overview, {})
    assert "a vermilion frame is not a mistake" in page and "they keep together proves nothing" in page
    assert "the same class" not in page and "Classes should separate" not in page
    titles = [text.get_text() for text in overview.sheets()["groups"].texts]
    assert any("mean picture of a group" in title for title in titles)


def test_finding__names_groups_that_are_a_laboratory(table_folder: Path) -> None:
    table = _unlabelled(table_folder)
    column = table.table.column_names.index("source")
    groups = Overview.of(table, method="pca").groups
    sources = ["phone" if group == "group 2" else "lab" for group in groups]
    rows = table.table.set_column(column, "source", pa.array(sources))
    text = " ".join(finding(Overview.of(Embeddings(table.vectors, rows, table.meta), method="pca")))
    assert "of one source" in text and "group 2 (100 % phone)" in text
    assert "of one source" not in " ".join(finding(Overview.of(table, method="pca")))


def test_groups_of_one_source__leave_out_mixed_groups_and_the_common_source() -> None:
    groups = ["a"] * 20 + ["b"] * 20 + [""] * 10
    assert groups_of_one_source(groups, ["x"] * 19 + ["y"] * 31) == [("a", "x", 0.95), ("b", "y", 1.0)]
    assert groups_of_one_source(groups, ["x"] * 18 + ["y"] * 32) == [("b", "y", 1.0)]
    assert groups_of_one_source(groups, ["x"] * 5 + ["y"] * 45) == []


def test_finding__says_that_pretraining_held_the_sources(table_folder: Path) -> None:
    table = read_embeddings(table_folder)
    meta = {**table.meta, "seen": {"lab 0": "seen", "lab 1": "unseen"}}
    text = " ".join(finding(Overview.of(Embeddings(table.vectors, table.table, meta), method="pca")))
    assert "at least one picture): lab 0. How it does on smears that it has never seen may be worse" in text


def test_overview__leaves_border_cells_out_of_outliers_and_sheets(table_folder: Path) -> None:
    table = read_embeddings(table_folder)
    cut = np.arange(48) < 10
    rows = table.table.append_column("at_border", pa.array(cut))
    overview = Overview.of(
        Embeddings(table.vectors, rows, table.meta), images=table_folder.parent / "images", method="pca"
    )
    assert np.array_equal(np.isnan(overview.scores), cut)
    part = table.select(~cut)
    assert np.array_equal(overview.scores[~cut], Overview.of(part, method="pca").scores)
    asked: list[int] = []
    assert overview.pictures is not None
    whole = overview.pictures.cut

    class Watch:
        def cut(self, rows: np.ndarray, side: int) -> np.ndarray:
            asked.extend(rows.tolist())
            return whole(rows, side)

    object.__setattr__(overview, "pictures", Watch())
    overview.sheets()
    assert min(asked) >= 10


def test_fraction_interval__is_wilsons_of_one_field_and_wider_where_fields_differ() -> None:
    fraction, low, high = fraction_interval(np.array([3.0]), np.array([10.0]))
    assert (fraction, low, high) == pytest.approx((0.3, 0.1078, 0.6032), abs=1e-4)
    alike = fraction_interval(np.full(10, 3.0), np.full(10, 10.0))
    unlike = fraction_interval(np.array([10.0] * 3 + [0.0] * 7), np.full(10, 10.0))
    assert alike[0] == unlike[0] == pytest.approx(0.3)
    # Fields that are all or nothing are worth one cell each, but for the correction of a small sample.
    whole = fraction_interval(np.array([2.7]), np.array([9.0]))
    assert unlike[1:] == pytest.approx(whole[1:], abs=1e-9)
    assert alike[2] - alike[1] < unlike[2] - unlike[1]
    assert fraction_interval(np.zeros(3), np.full(3, 5.0))[0] == 0.0
    assert np.isnan(fraction_interval(np.zeros(2), np.zeros(2))).all()
