"""Labels leave a review as files that other commands and programs take, and come back in."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reddino
from reddino import cli
from reddino.reviewing.database import ReviewDatabase, default_database
from reddino.reviewing.exported import exported
from reddino.reviewing.imported import import_labels
from reddino.reviewing.records import Suggestion
from reddino.smears.manifest import Manifest, read_manifest, write_manifest

#: Of the cells that are drawn, the two shapes that readers tell; the rest they leave.
SHAPES = ("normal", "target")


class Slides:
    """Drawn smears, the table of their cells without labels, and what the cells are."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.table = folder, folder / "table"
        drawn = reddino.synthesise(
            folder / "smears", sources=["lilac"], patients_per_source=6, fields_per_patient=1, field_um=60
        )
        self.truth = drawn.strings("label")
        bare = Manifest(drawn.table.drop_columns(["label"]), drawn.root)
        write_manifest(bare, folder / "smears" / "cells.csv")
        reddino.embed(folder / "smears" / "cells.csv", "morphology", self.table)
        read = reddino.read_embeddings(self.table).manifest()
        self.cells = Manifest(read.table, drawn.root)
        assert self.cells.strings("path") == drawn.strings("path")

    def review(self) -> ReviewDatabase:
        return ReviewDatabase.open(default_database(self.table), self.cells)

    def rows(self, shape: str) -> list[int]:
        return [row for row, name in enumerate(self.truth) if name == shape]


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Slides:
    return Slides(tmp_path_factory.mktemp("slides"))


@pytest.fixture
def reviewed(slides: Slides) -> Iterator[Slides]:
    """Two readers have labelled the shapes; they differ on one cell, and one is an artefact."""
    default_database(slides.table).unlink(missing_ok=True)
    with slides.review() as review:
        for shape in SHAPES:
            number = review.add_class(shape, reader="Ada").number
            review.record("Ada", "label", slides.rows(shape), class_number=number, seconds=2.0)
            review.record("Ben", "label", slides.rows(shape)[1:], class_number=number)
        others = [row for row, name in enumerate(slides.truth) if name not in SHAPES]
        first = review.classes()[0].number
        shown = {others[0]: Suggestion("refit 1", "target", 0.8)}
        review.record("Ada", "artefact", others[:1], suggestions=shown)
        review.record("Ada", "label", others[1:2], class_number=first)
        review.record("Ben", "none", others[1:2])
        review.record("Ben", "note", others[1:2], note="=folded?")
    yield slides


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_labels__are_a_manifest_that_fit_predict_and_evaluate_take(
    reviewed: Slides, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "labels.csv"
    assert cli.main(["labels", str(reviewed.table), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "agreement of readers" in shown.out and "Ada, Ben" in shown.out and "[artefact]" in shown.out
    assert "1 artefact, 1 disputed" in shown.err
    written = rows_of(out)
    both = len(reviewed.rows("normal")) + len(reviewed.rows("target"))
    assert len(written) == both + 2
    assert [row["verdict"] for row in written if not row["label"]] == ["artefact", "disputed"]
    assert all(
        (row["reader"], row["consensus"]) == ("Ada; Ben", "agreed") for row in written[1:5] if row["label"]
    )
    assert all(row["time"] for row in written)
    manifest = read_manifest(out, check_files=True)
    assert {name for name in manifest.strings("label") if name} == set(SHAPES)
    fit = ["fit", str(out), "--out", str(tmp_path / "c"), "--model", "morphology", "--folds", "2"]
    assert cli.main(fit) == 0, capsys.readouterr().err
    predict = ["predict", str(tmp_path / "c"), str(out), "--out", str(tmp_path / "p.csv"), "--no-kinds"]
    assert cli.main(predict) == 0, capsys.readouterr().err
    evaluate = [
        "evaluate",
        "--data",
        str(out),
        "--models",
        "morphology",
        "--tables",
        str(tmp_path / "tables"),
    ]
    assert cli.main([*evaluate, "--folds", "2"]) == 0, capsys.readouterr().err


def test_labels__come_from_either_database(slides: Slides, database_url: str, tmp_path: Path) -> None:
    with ReviewDatabase.open(database_url, slides.cells) as review:
        ring = review.add_class("=ring", reader="Ada").number
        review.record("Ada", "label", [3, 5], class_number=ring)
        review.record("Ben", "unsure", [5])
    done = reddino.labels(database_url, tmp_path / "l.csv")
    assert done.counts == {"=ring": 1, "[disputed]": 1} and len(done.agreement) == 1
    again = read_manifest(tmp_path / "l.csv", check_files=True)
    assert again.strings("label") == ["=ring", ""] and again.strings("reader") == ["Ada", "Ada; Ben"]
    assert again.numbers("x").tolist() == slides.cells.numbers("x")[[3, 5]].tolist()
    add = reddino.labels(database_url, add=[tmp_path / "l.csv"], reader="Cleo", table=slides.table)
    assert next(iter(add.imported.values())).taken == 1 and add.counts["=ring"] == 1


def test_labels__others_get_the_label_that_is_given_for_them(reviewed: Slides, tmp_path: Path) -> None:
    done = reddino.labels(reviewed.table, tmp_path / "l.parquet", others={"artefact": "dirt", "none": "x"})
    assert done.written is not None and done.written.without_label == {"disputed": 1}
    assert read_manifest(tmp_path / "l.parquet").strings("label").count("dirt") == 1
    with pytest.raises(reddino.RedDinoError, match="no such answer: 'skip'"):
        reddino.labels(reviewed.table, tmp_path / "l.csv", others={"skip": "x"})


def test_labels__of_one_reader_and_of_each(reviewed: Slides, tmp_path: Path) -> None:
    reddino.labels(reviewed.table, tmp_path / "ben.csv", reader="Ben")
    ben = rows_of(tmp_path / "ben.csv")
    assert {row["reader"] for row in ben} == {"Ben"} and "disputed" not in {row["verdict"] for row in ben}
    reddino.labels(reviewed.table, tmp_path / "each.csv", what="readers")
    each = rows_of(tmp_path / "each.csv")
    with reviewed.review() as review:
        assert len(each) == sum(len(said) for said in review.state().verdicts.values())
    assert {row["seconds"] for row in each if row["reader"] == "Ada" and row["label"] == "target"} == {
        "2.000"
    }
    assert [row["note"] for row in each if row["note"]] == ["'=folded?"]  # no spreadsheet computes it
    with pytest.raises(reddino.RedDinoError, match="no such reader: 'Cleo'; the review has: Ada, Ben"):
        reddino.labels(reviewed.table, tmp_path / "c.csv", reader="Cleo")


def test_labels__of_a_table_that_has_labels_stand_beside_them(slides: Slides, tmp_path: Path) -> None:
    cells = slides.cells.with_column("label", slides.truth).with_column("note", ["old"] * len(slides.cells))
    with ReviewDatabase.open(tmp_path / "r.sqlite", cells) as review:
        wrong = review.add_class("wrong", reader="Ada").number
        review.record("Ada", "label", [0, 1], class_number=wrong)
    for _ in range(2):  # the second time of a table that was made of labels
        reddino.labels(tmp_path / "r.sqlite", tmp_path / "l.csv")
        (tmp_path / "r.sqlite").unlink()
        again = read_manifest(tmp_path / "l.csv")
        with ReviewDatabase.open(tmp_path / "r.sqlite", again) as review:
            review.record("Ada", "label", [0], class_number=review.add_class("right", reader="Ada").number)
    assert again.strings("label")[0] == "right" and again.strings("table_label")[0] == slides.truth[0]
    assert again.strings("table_table_label")[0] == "wrong" and again.strings("table_note")[0] == "old"


def test_labels__events_are_all_that_was_done(reviewed: Slides, tmp_path: Path) -> None:
    with reviewed.review() as review:
        review.undo("Ben")
    reddino.labels(reviewed.table, tmp_path / "events.csv", what="events")
    rows = rows_of(tmp_path / "events.csv")
    assert [row["act"] for row in rows[-2:]] == ["note", "undo"]
    assert rows[-1]["concerns"] == rows[-2]["event"] and rows[-2]["note"] == "'=folded?"
    shown = [row for row in rows if row["suggested"]]
    assert [(row["suggested"], row["probability"], row["classifier"]) for row in shown] == [
        ("target", "0.8000", "refit 1")
    ]


def test_labels__written_and_taken_in_again_are_the_same_review(reviewed: Slides, tmp_path: Path) -> None:
    reddino.labels(reviewed.table, tmp_path / "each.csv", what="readers")
    with reviewed.review() as review:
        before = review.state()
    again = tmp_path / "again.sqlite"
    for taken in (len(rows_of(tmp_path / "each.csv")), 0):
        done = reddino.labels(
            again,
            add=[tmp_path / "each.csv"],
            table=reviewed.table,
            images=reviewed.folder / "smears" / "cells.csv",
        )
        assert done.imported[str(tmp_path / "each.csv")].taken == taken
    with ReviewDatabase.open_existing(again) as review:
        after = review.state()
        assert {event.origin for event in review.events()} == {"import"}
    assert {
        cell: {who: one.answer for who, one in said.items()} for cell, said in after.verdicts.items()
    } == {cell: {who: one.answer for who, one in said.items()} for cell, said in before.verdicts.items()}


def test_import__leaves_verdicts_of_the_page_and_reports_what_it_left(
    reviewed: Slides, tmp_path: Path
) -> None:
    target, normal = reviewed.rows("target"), reviewed.rows("normal")
    given = reviewed.cells.select([target[0], normal[0]]).with_column("label", ["normal", ""])
    far = given.with_column("path", ["elsewhere.png"] * 2)
    rows = reddino.join_manifests([given, far])
    write_manifest(rows, reviewed.folder / "smears" / "given.csv")
    done = reddino.labels(reviewed.table, add=[reviewed.folder / "smears" / "given.csv"], reader="Ada")
    (report,) = done.imported.values()
    assert (report.taken, report.kept, report.empty, report.unknown) == (0, 1, 1, 2)
    with pytest.raises(reddino.RedDinoError, match="not known whose labels"):
        reddino.labels(reviewed.table, add=[reviewed.folder / "smears" / "given.csv"])
    write_manifest(far, reviewed.folder / "smears" / "far.csv")
    with pytest.raises(reddino.RedDinoError, match="none of the 2 rows is a cell of the table"):
        reddino.labels(reviewed.table, add=[reviewed.folder / "smears" / "far.csv"], reader="Ada")


def test_import__cells_listed_twice_get_a_label_each_and_contradictions_none(
    slides: Slides, tmp_path: Path
) -> None:
    first = slides.cells.select([0, 0, 1])  # of which a collection lists one twice, with two labels
    labels = first.with_column("label", ["a", "b", "a"])
    with ReviewDatabase.open(tmp_path / "twice.sqlite", first) as review:
        report = import_labels(review, first, labels, reader="Ada")
        assert report.taken == 3 and review.state().labels() == {0: "a", 1: "b", 2: "a"}
    once = slides.cells.select([0, 1])
    with ReviewDatabase.open(tmp_path / "once.sqlite", once) as review:
        report = import_labels(review, once, labels, reader="Ada")
        assert (report.taken, report.contradicting) == (1, 2) and review.state().labels() == {1: "a"}
        report = import_labels(review, once, labels.with_column("label", ["c"] * 3), reader="Ben")
        assert (report.taken, report.kept, report.contradicting) == (2, 1, 0)


@pytest.mark.smears
def test_import__labels_of_real_collections_come_out_as_they_went_in(smears: Path, tmp_path: Path) -> None:
    for name in ("draaslan_bcd", "uganda_sickle", "txl_pbc"):  # two of them list cells twice
        cells = read_manifest(smears / name / "manifest.csv")
        with ReviewDatabase.open(tmp_path / f"{name}.sqlite", cells) as review:
            assert import_labels(review, cells, cells, reader="collection").taken == len(cells)
            found = exported(review)
        assert found.manifest.strings("label") == cells.strings("label")


def test_import__predictions_are_a_first_sorting_and_no_verdict(reviewed: Slides, tmp_path: Path) -> None:
    reddino.labels(reviewed.table, tmp_path / "labels.csv")
    reddino.fit(tmp_path / "labels.csv", tmp_path / "c", model="morphology", folds=2)
    for name in ("p.csv", "p.parquet"):
        predicted = reddino.predict(tmp_path / "c", reviewed.table, tmp_path / name, kinds=False)
        fresh = tmp_path / f"{name}.sqlite"
        done = reddino.labels(
            fresh,
            predictions=[tmp_path / name],
            table=reviewed.table,
            images=reviewed.folder / "smears" / "cells.csv",
        )
        assert [report.taken for report in done.imported.values()] == [len(reviewed.cells)]
        with ReviewDatabase.open_existing(fresh) as review:
            sorting = review.first_sorting()
            assert review.state().verdicts == {}
            assert {one.name for one in review.classes()} <= set(SHAPES)
        best = predicted.probabilities.argmax(axis=1)
        assert [sorting[row].label for row in range(len(best))] == [predicted.classes[one] for one in best]
        assert np.allclose(
            [sorting[row].probability for row in range(len(best))], predicted.probabilities.max(axis=1)
        )
        assert {one.classifier for one in sorting.values()} == {"p"}
    with pytest.raises(reddino.RedDinoError, match="no predictions"):
        reddino.labels(reviewed.table, predictions=[reviewed.folder / "smears" / "cells.csv"])


def test_coco__is_read_back_with_the_same_boxes_and_labels(reviewed: Slides, tmp_path: Path) -> None:
    out = reviewed.folder / "smears" / "labels.json"
    done = reddino.labels(reviewed.table, out)
    assert done.written is not None
    labels = done.written.labelled()
    back = reddino.manifest("coco", reviewed.folder / "smears", tmp_path / "back.csv")
    out.unlink()
    boxed = back.select(back.is_cell())

    def described(manifest: Manifest) -> list[Any]:
        boxes = [manifest.numbers(name).round(2).tolist() for name in ("x", "y", "w", "h")]
        names = [path.name for path in manifest.paths()]
        return sorted(zip(names, *boxes, manifest.strings("label"), strict=True))

    assert described(boxed) == described(labels) and len(boxed) == len(labels)


def test_label_studio__has_boxes_in_per_cent_and_a_configuration(reviewed: Slides, tmp_path: Path) -> None:
    with reviewed.review() as review:
        review.rename_class(review.classes()[1].number, 'a "target" & <more>', reader="Ada")
    out = reviewed.folder / "tasks.json"
    done = reddino.labels(reviewed.table, out, format="label-studio")
    assert done.written is not None
    labels = done.written.labelled()
    tasks = json.loads(out.read_text())
    assert len(tasks) == len(labels.images()[0])
    results = [one for task in tasks for one in task["annotations"][0]["result"]]
    assert len(results) == len(labels)
    first = results[0]
    assert first["value"]["x"] * first["original_width"] / 100 == pytest.approx(
        labels.numbers("x")[0], abs=1e-3
    )
    assert first["value"]["height"] * first["original_height"] / 100 == pytest.approx(
        labels.numbers("h")[0], abs=1e-3
    )
    assert tasks[0]["data"]["image"] == f"/data/local-files/?d=smears/{labels.images()[0][0]}"
    assert "&lt;more&gt;" in (reviewed.folder / "tasks.config.xml").read_text()


def test_labels__what_cannot_be_written_is_refused(reviewed: Slides, tmp_path: Path) -> None:
    for out, options in (("l.txt", {}), ("l.json", {"what": "events"}), ("l.csv", {"format": "coco"})):
        with pytest.raises(reddino.RedDinoError, match=r"l\.(txt|json|csv)"):
            reddino.labels(reviewed.table, tmp_path / out, **options)  # type: ignore[arg-type]
    with pytest.raises(reddino.RedDinoError, match="there is no review database"):
        reddino.labels(tmp_path / "none.sqlite", tmp_path / "l.csv")
    ReviewDatabase.open(tmp_path / "new.sqlite", reviewed.cells).close()
    with pytest.raises(reddino.RedDinoError, match="nothing to export"):
        reddino.labels(tmp_path / "new.sqlite", tmp_path / "l.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.sqlite"]


def test_kappas__are_written_for_programs(reviewed: Slides, tmp_path: Path) -> None:
    done = reddino.labels(reviewed.table, kappas=tmp_path / "kappas.csv")
    rows = rows_of(tmp_path / "kappas.csv")
    assert len(rows) == len(done.agreement) and rows[0]["readers"] == "Ada; Ben"
    assert float(rows[0]["kappa"]) == pytest.approx(done.agreement[0].kappa, abs=1e-3)
