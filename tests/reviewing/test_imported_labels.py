"""What comes into a review from files is what readers said, and what is counted as taken in is there."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.agreement import agreement
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.exported import exported
from reddino.reviewing.imported import import_labels, import_predictions
from reddino.smears.manifest import Manifest


@pytest.fixture
def cells(tmp_path: Path) -> Manifest:
    columns = {"path": ["a.png"] * 4, "x": [10.0, 20.0, 30.0, 40.0], "y": [10.0] * 4}
    return Manifest(pa.table(columns), tmp_path)


@pytest.fixture
def decided(cells: Manifest, tmp_path: Path) -> ReviewDatabase:
    """Return a review in which Ada and Ben agree on one cell and differ on another, where Cleo decides."""
    review = ReviewDatabase.open(tmp_path / "decided.sqlite", cells)
    ring, cap = (review.add_class(name, reader="Ada").number for name in ("ring", "cap"))
    review.record("Ada", "label", [0, 1], class_number=ring)
    review.record("Ben", "label", [0], class_number=ring)
    review.record("Ben", "label", [1], class_number=cap)
    review.record("Cleo", "label", [1], class_number=cap, deciding=True)
    return review


def test_import__labels_that_a_reader_took_back_come_in_again(cells: Manifest, tmp_path: Path) -> None:
    labels = cells.select([0, 1]).with_column("label", ["ring", "cap"])
    with ReviewDatabase.open(tmp_path / "review.sqlite", cells) as review:
        import_labels(review, cells, labels, reader="Ada")
        review.record("Ada", "clear", [0])
        report = import_labels(review, cells, labels, reader="Ada")
        assert (report.taken, report.kept) == (1, 1)
        assert review.state().labels() == {0: "ring", 1: "cap"}


def test_import__a_verdict_that_decides_still_does(
    decided: ReviewDatabase, cells: Manifest, tmp_path: Path
) -> None:
    with decided, ReviewDatabase.open(tmp_path / "copy.sqlite", cells) as review:
        import_labels(review, cells, exported(decided, "readers").manifest)
        assert review.state().consensus(1).standing == "decided"
        groups = dict.fromkeys(range(len(cells)), "one slide")
        assert {one.readers for one in agreement(review.state(), groups)} == {("Ada", "Ben")}
    with ReviewDatabase.open(tmp_path / "one.sqlite", cells) as review:  # as labels of one other reader
        labels = cells.select([0]).with_column("label", ["ring"]).with_column("deciding", ["yes"])
        import_labels(review, cells, labels, reader="Dan")
        assert review.state().consensus(0).standing == "single"


def test_import__what_several_agreed_on_is_no_reader_of_that_name(
    decided: ReviewDatabase, cells: Manifest, tmp_path: Path
) -> None:
    with decided, ReviewDatabase.open(tmp_path / "copy.sqlite", cells) as review:
        agreed = exported(decided).manifest
        with pytest.raises(RedDinoError, match=r"several readers agreed on \(Ada; Ben\).*--what readers"):
            import_labels(review, cells, agreed)
        assert import_labels(review, cells, agreed, reader="consensus").taken == 2
        assert review.readers() == ["consensus"]


def test_import__events_are_no_labels(decided: ReviewDatabase, cells: Manifest, tmp_path: Path) -> None:
    with decided, ReviewDatabase.open(tmp_path / "copy.sqlite", cells) as review:
        decided.undo("Ben")
        for reader in (None, "Ada"):
            with pytest.raises(RedDinoError, match="the rows are events"):
                import_labels(review, cells, exported(decided, "events").manifest, reader=reader)


def test_import__takes_nothing_in_where_one_class_cannot_be_called_so(
    cells: Manifest, tmp_path: Path
) -> None:
    labels = cells.select([0, 1]).with_column("label", ["ring", "r" * 300])
    with ReviewDatabase.open(tmp_path / "review.sqlite", cells) as review:
        with pytest.raises(RedDinoError, match="too long a name"):
            import_labels(review, cells, labels, reader="Ada")
        assert review.events() == [] and review.classes() == []


def _predictions(cells: Manifest, labels: list[str], rows: list[int]) -> Manifest:
    said = cells.select(rows).with_column("predicted", labels)
    return said.with_column("probability", ["0.75"] * len(rows))


def test_import__later_predictions_of_the_same_file_name_replace_what_the_page_suggests(
    cells: Manifest, tmp_path: Path
) -> None:
    first, better = (_predictions(cells, labels, [0, 1]) for labels in (["ring", "cap"], ["ring", "ring"]))
    with ReviewDatabase.open(tmp_path / "review.sqlite", cells) as review:
        for predictions, taken in ((first, 2), (first, 0), (better, 2), (better, 0)):
            report = import_predictions(review, cells, predictions, classifier="predictions", reader="import")
            assert (report.taken, report.kept) == (taken, 2 - taken)
        found = review.first_sorting()
        assert {row: one.label for row, one in found.items()} == {0: "ring", 1: "ring"}
        assert {one.classifier for one in found.values()} == {"predictions (2)"}


def test_import__each_row_of_predictions_is_counted_once(cells: Manifest, tmp_path: Path) -> None:
    labels = ["ring", "cap", "", "cap", "ring", "ring"]
    predictions = _predictions(cells, labels, [0, 0, 1, 1, 2, 2])
    with ReviewDatabase.open(tmp_path / "review.sqlite", cells) as review:
        report = import_predictions(review, cells, predictions, classifier="p", reader="import")
        assert (report.taken, report.kept, report.empty, report.contradicting) == (2, 1, 1, 2)
        assert {row: one.label for row, one in review.first_sorting().items()} == {1: "cap", 2: "ring"}
