"""What the page shows and records: cells in order, acts, undo, filters, the classifier, and other readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review_tables import PER_FIELD, open_session, write_review_table

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.web.page_requests import ActBody, CellQuery, CellsBody, ClassBody
from reddino.reviewing.web.session import ReviewSession

ROWS = 8 * PER_FIELD
Open = Callable[..., ReviewSession]


@contextmanager
def _opening(folder: Path, database: str | None = None) -> Iterator[Open]:
    sessions: list[ReviewSession] = []

    def open_one(**options: Any) -> ReviewSession:
        sessions.append(open_session(folder, database, **options))
        return sessions[-1]

    yield open_one
    for one in sessions:
        one.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens sessions of one table and one database, and closes them."""
    with _opening(tmp_path) as one:
        yield one


@pytest.fixture
def opened_in_both(tmp_path: Path, database_url: str) -> Iterator[Open]:
    """The same, once with SQLite and once with PostgreSQL."""
    with _opening(tmp_path, database_url) as one:
        yield one


_count = iter(range(10**6))


def _act(session: ReviewSession, kind: str, *rows: int, reader: str = "ada", **given: Any) -> dict[str, Any]:
    return session.act(ActBody(reader, kind, list(rows), f"token {next(_count)}", **given))  # type: ignore[arg-type]


def _rows(
    session: ReviewSession, reader: str = "ada", count: int = 200, named: str | None = None, **asked: Any
) -> list[int]:
    found = session.cells(CellsBody(reader, CellQuery(reader=named, **asked), count))
    return [cell["row"] for cell in found["cells"]]


def _label_all(session: ReviewSession, rows: list[int], reader: str = "ada") -> None:
    for row in rows:
        _act(session, "label", row, reader=reader, class_number=1 + row % 2)


def test_cells__all_come_once_and_those_answered_or_skipped_do_not_come_again(opened: Open) -> None:
    session = opened()
    assert sorted(_rows(session)) == list(range(ROWS))
    first = _rows(session, count=12)
    _act(session, "label", *first[:3], class_number=1)
    _act(session, "artefact", first[3])
    _act(session, "skip", first[4])
    assert not set(_rows(session)) & set(first[:5])
    assert sorted(_rows(session) + first[:5]) == list(range(ROWS))
    # What others skipped is still to do.
    assert first[4] in _rows(session, reader="bob") and first[0] not in _rows(session, reader="bob")


def test_cells__that_the_border_cuts_are_not_offered_unless_asked_for(opened: Open, tmp_path: Path) -> None:
    cut = [0, 6, 13, 95]
    write_review_table(tmp_path, at_border=cut)
    whole = [row for row in range(ROWS) if row not in cut]
    session = opened()
    assert sorted(_rows(session)) == sorted(_rows(session, order="random")) == whole
    assert sorted(_rows(session, status="all")) == list(range(ROWS))
    assert sorted(_rows(opened(keep_border=True))) == list(range(ROWS))


def test_cells__that_the_border_cuts_are_offered_where_there_are_no_others(
    opened: Open, tmp_path: Path
) -> None:
    write_review_table(tmp_path, at_border=list(range(ROWS)))
    assert sorted(_rows(opened())) == list(range(ROWS))


def test_cells__that_are_put_off_come_last_and_are_not_lost(opened: Open) -> None:
    session = opened()
    first = _rows(session, count=10)
    second = session.cells(CellsBody("ada", CellQuery(), 10, first))
    assert not {cell["row"] for cell in second["cells"]} & set(first)
    assert second["left"] == ROWS - 10


@pytest.mark.parametrize("order", ["default", "random", "typical", "coverage", "rare", "margin", "entropy"])
def test_order__every_strategy_fills_a_page_that_is_not_of_one_field(opened: Open, order: str) -> None:
    session = opened()
    _label_all(session, [0, 1, 12, 13, 26, 27])
    rows = _rows(session, count=20, order=order)
    assert len(set(rows)) == 20
    assert len({row // PER_FIELD for row in rows}) > 1


@pytest.mark.parametrize("asked", [{"like": -1}, {"like": ROWS}, {"count": 0}, {"count": -5}])
def test_order__like_no_cell_of_the_table_or_of_no_cell_is_refused(
    opened: Open, asked: dict[str, Any]
) -> None:
    like, count = asked.get("like"), asked.get("count", 24)
    with pytest.raises(RedDinoError, match=r"no cell of this review|cells cannot be shown"):
        opened().cells(CellsBody("ada", CellQuery(order="like", like=like), count))


def test_order__like_takes_the_nearest_of_all_slides_first(opened: Open) -> None:
    session = opened()
    near = _rows(session, count=20, order="like", like=4)
    assert 4 not in near
    assert np.mean([row % 2 == 0 for row in near]) > 0.75
    assert len({row // PER_FIELD for row in near}) > 2
    assert all(row // (2 * PER_FIELD) == 3 for row in _rows(session, order="like", like=4, slide="s3"))


def test_filters__by_slide_source_status_class_and_reader(opened: Open) -> None:
    session = opened()
    assert sorted(_rows(session, slide="s1")) == list(range(2 * PER_FIELD, 4 * PER_FIELD))
    assert sorted(_rows(session, source="lab1", order="table")) == list(range(4 * PER_FIELD, ROWS))
    assert _rows(session, slide="no such slide") == []
    _act(session, "label", 1, 3, class_number=2)
    _act(session, "label", 2, class_number=1)
    _act(session, "unsure", 5, reader="bob")
    _act(session, "note", 9, note="a ring?")
    _act(session, "skip", 10)
    assert _rows(session, status="labelled") == [1, 2, 3]
    assert _rows(session, status="labelled", label="blue") == [1, 3]
    assert _rows(session, status="unsure") == [5]
    assert _rows(session, status="noted") == [9]
    assert _rows(session, status="skipped") == [10] and _rows(session, status="skipped", named="bob") == []
    assert _rows(session, named="bob") == [5]
    assert _rows(session, status="all", slide="s0") == list(range(2 * PER_FIELD))


def test_act__is_in_the_database_when_it_returns_with_what_was_shown(opened: Open, tmp_path: Path) -> None:
    session = opened()
    _label_all(session, [0, 1, 12, 13, 24, 25, 36, 37, 48, 49])
    assert session.settle("ada", 60)
    done = _act(session, "label", 60, 62, class_number=1, seconds=1.5)
    with ReviewDatabase.open_existing(tmp_path / "review.sqlite") as other:
        event = other.events()[-1]
    assert (event.number, event.kind, event.cells) == (done["event"], "label", (60, 62))
    assert event.seconds == 1.5 and event.reader == "ada"
    assert event.suggestions[60].label == "red" and event.suggestions[60].classifier.startswith(
        "probe 1 of 10"
    )
    assert [cell["mine"]["answer"] for cell in done["cells"]] == ["red", "red"]


def test_act__with_the_same_token_counts_once(opened: Open) -> None:
    session = opened()
    body = ActBody("ada", "label", [7], "the same", class_number=1)
    assert session.act(body)["event"] == session.act(body)["event"]
    assert session.overview("ada")["classes"][0]["count"] == 1


def test_undo__and_redo_of_one_reader_leave_the_other_alone(opened: Open) -> None:
    session = opened()
    _act(session, "label", 3, class_number=1)
    _act(session, "label", 4, class_number=1, reader="bob")
    undone = session.undo("ada", "u1")
    assert undone["kind"] == "undo" and [cell["row"] for cell in undone["cells"]] == [3]
    assert undone["cells"][0]["mine"] is None
    assert session.overview("ada")["answered"] == 1
    assert session.undo("ada", "u2")["event"] is None
    assert session.redo("ada", "r1")["cells"][0]["mine"]["answer"] == "red"
    assert session.redo("ada", "r2")["event"] is None


def test_overview__counts_by_class_slide_and_goal(opened_in_both: Open) -> None:
    session = opened_in_both(goal=50)
    _act(session, "label", 0, 2, 30, class_number=1)
    _act(session, "none", 5)
    _act(session, "artefact", 6, 7)
    found = session.overview("ada")
    assert (found["answered"], found["goal"], found["cells"]) == (6, 50, ROWS)
    assert [(one["name"], one["count"], one["hotkey"]) for one in found["classes"]] == [
        ("red", 3, "1"),
        ("blue", 0, "2"),
    ]
    assert found["others"] == {"none": 1, "artefact": 2, "unsure": 0}
    assert session.by_slide("ada") == [
        {"slide": "s0", "cells": 24, "classes": {"red": 2}},
        {"slide": "s1", "cells": 24, "classes": {"red": 1}},
    ]


def test_classifier__is_fitted_after_so_many_labels_and_suggests(opened_in_both: Open) -> None:
    session = opened_in_both(refit_after=10)
    _label_all(session, list(range(9)))
    assert session.settle("ada", 60) and session.overview("ada")["model"]["number"] == 0
    _label_all(session, [9])
    assert session.settle("ada", 60)
    model = session.overview("ada")["model"]
    assert model["number"] == 1 and model["labels"] == 10
    cells = session.described([50, 51, 52, 53], "ada")
    assert [cell["suggestion"]["label"] for cell in cells] == ["red", "blue", "red", "blue"]
    sure = _rows(session, predicted="blue", order="predicted")
    assert sure and np.mean([row % 2 for row in sure]) > 0.9
    certainties = [
        c["suggestion"]["probability"]
        for c in session.described(_rows(session, order="least_certain"), "ada")
    ]
    assert certainties == sorted(certainties)
    middle = float(np.quantile(certainties, 0.6))
    assert 0 < len(_rows(session, low=middle)) < len(_rows(session, high=middle)) < ROWS


def test_classifier__few_cells_are_candidates_and_more_make_a_score(opened: Open) -> None:
    session = opened()
    _label_all(session, list(range(0, 8)))
    session.refit("ada")
    assert session.settle("ada", 60)
    found = session.overview("ada")
    assert all(one["candidates_only"] for one in found["classes"])
    assert found["model"]["score"]["macro_f1"] is None and found["model"]["score"]["note"]
    _label_all(session, list(range(8, ROWS)))
    session.refit("ada")
    assert session.settle("ada", 60)
    found = session.overview("ada")
    assert not any(one["candidates_only"] for one in found["classes"])
    assert found["model"]["score"]["macro_f1"] > 0.95


def test_classifier__of_a_review_that_goes_on_is_fitted_when_it_opens(opened: Open) -> None:
    session = opened()
    _label_all(session, [0, 1, 12, 13])
    session.close()
    again = opened()
    assert again.settle("ada", 60)
    assert again.overview("ada")["model"]["labels"] == 4 and again.overview("ada")["answered"] == 4


def test_classifier__that_stopped_gaining_is_known_to_have_after_a_restart(opened_in_both: Open) -> None:
    session = opened_in_both(refit_after=1000)
    of_all_slides = [row for first in range(24) for row in range(first, ROWS, 24)]
    for start in range(0, ROWS, 16):
        _label_all(session, of_all_slides[start : start + 16])
        session.refit("ada")
        assert session.settle("ada", 60)
    assert session.overview("ada")["model"]["enough"]
    session.close()
    again = opened_in_both(refit_after=1000)
    assert again.settle("ada", 60) and again.overview("ada")["model"]["enough"]


def test_classes__beyond_the_colours_differ_by_their_pattern(opened: Open) -> None:
    session = opened()
    for number in range(10):
        session.change_class(ClassBody("ada", "add", name=f"class {number}"))
    shown = [(one["colour"], one["pattern"]) for one in session.overview("ada")["classes"]]
    assert len(shown) == len(set(shown)) == 12 and len({colour for colour, _ in shown}) == 8


def test_cells__of_a_class_that_is_sought_come_more_often(opened: Open) -> None:
    session = opened(refit_after=40)
    _label_all(session, list(range(0, 80, 2)))
    _label_all(session, [1, 3, 5, 7])
    session.refit("ada")
    assert session.settle("ada", 60)
    blue = sum(row % 2 for row in _rows(session, count=12, sought="blue"))
    assert blue >= 8 and len(_rows(session, count=12, sought="no class any more")) == 12


def test_first_sorting__of_an_earlier_classifier_is_shown_and_sorted_by(opened: Open, tmp_path: Path) -> None:
    opened().close()
    with ReviewDatabase.open_existing(tmp_path / "review.sqlite") as database:
        cells = np.arange(0, ROWS, 3)
        labels = ["blue" if cell % 2 else "red" for cell in cells.tolist()]
        database.add_first_sorting(
            "an earlier one", cells, labels, np.linspace(0.4, 0.9, len(cells)), reader="ada"
        )
    session = opened()
    assert session.described([3], "ada")[0]["suggestion"]["label"] == "blue"
    assert session.described([4], "ada")[0]["suggestion"] is None
    assert sorted(_rows(session, predicted="blue")) == [cell for cell in range(0, ROWS, 3) if cell % 2]
    assert _rows(session, predicted="red", order="least_certain")[0] == 0
    assert _rows(session, predicted="red", order="predicted")[-1] == 0
    assert _rows(session, low=0.89) == [ROWS - 3]
    _act(session, "label", 3, class_number=2)
    with ReviewDatabase.open_existing(tmp_path / "review.sqlite") as database:
        assert database.events()[-1].suggestions[3].classifier == "an earlier one"


def test_classes__are_made_renamed_and_merged_with_their_history(opened_in_both: Open) -> None:
    session = opened_in_both()
    session.change_class(ClassBody("ada", "add", name="<b>ring</b>"))
    _act(session, "label", 5, class_number=3)
    found = session.change_class(ClassBody("ada", "rename", 3, "ring stage"))
    assert found["classes"][2]["name"] == "ring stage" and found["classes"][2]["former"] == ["<b>ring</b>"]
    assert session.described([5], "ada")[0]["mine"]["answer"] == "ring stage"
    found = session.change_class(ClassBody("ada", "merge", 3, into=1))
    assert [one["name"] for one in found["classes"]] == ["red", "blue"] and found["classes"][0]["count"] == 1
    with pytest.raises(RedDinoError):
        session.change_class(ClassBody("ada", "rename", 1, "blue"))


def test_readers__second_reading_differences_and_a_third_who_decides(opened_in_both: Open) -> None:
    session = opened_in_both()
    _act(session, "label", 0, 2, 4, class_number=1)
    assert sorted(_rows(session, reader="bob", status="second")) == [0, 2, 4]
    assert _rows(session, status="second") == []
    assert session.described([0], "bob")[0]["others"][0]["answer"] == "red"
    before = session.cells(CellsBody("bob", CellQuery(status="second")))["cells"]
    assert all(cell["others"] == [] and cell["suggestion"] is None for cell in before)
    done = _act(session, "label", 0, reader="bob", class_number=1, second=True)
    assert done["cells"][0]["others"][0]["reader"] == "ada"
    _act(session, "label", 2, reader="bob", class_number=2, second=True)
    assert session.overview("bob")["disputed"] == 1
    compared = session.comparison("cid")
    assert [cell["row"] for cell in compared["disputes"]] == [2]
    assert {one["answer"] for one in compared["disputes"][0]["others"]} == {"red", "blue"}
    cohen = next(one for one in compared["agreement"] if one["measure"] == "cohen" and not one["answer"])
    assert cohen["cells"] == 2 and cohen["agreement"] == 0.5
    _act(session, "label", 2, reader="cid", class_number=2, deciding=True)
    assert session.comparison("cid")["disputes"] == []
    with pytest.raises(RedDinoError):
        _act(session, "label", 4, reader="ada", class_number=2, deciding=True)


def test_blind__readers_see_and_learn_from_their_own_labels_alone(opened_in_both: Open) -> None:
    session = opened_in_both(blind=True)
    _label_all(session, list(range(20)), reader="ada")
    _act(session, "note", 0, note="look at the rim")
    assert session.settle("ada", 60) and session.settle("bob", 60)
    found = session.overview("bob")
    assert found["answered"] == 0 and found["model"]["number"] == 0 and found["readers"] == ["bob"]
    assert all(one["count"] == 0 for one in found["classes"])
    cell = session.described([0], "bob")[0]
    assert cell["others"] == [] and cell["notes"] == [] and cell["suggestion"] is None
    assert 0 in _rows(session, reader="bob") and session.by_slide("bob") == []
    assert session.comparison("bob")["disputes"] == [] and session.comparison("bob")["agreement"] == []
    assert all(not one["answer"] for one in session.field(0, "bob")["cells"])
    assert session.overview("ada")["model"]["number"] >= 1
    # Which cells others have read is no secret: it is what a second reader reads.
    assert sorted(_rows(session, reader="bob", status="second")) == list(range(20))
    assert _rows(session, reader="bob", status="labelled") == []


def test_readers__two_servers_on_one_database_see_each_other(opened_in_both: Open) -> None:
    one, other = opened_in_both(), opened_in_both()
    _act(one, "label", 3, class_number=1)
    _act(other, "label", 4, class_number=2, reader="bob")
    assert one.overview("ada")["answered"] == other.overview("bob")["answered"] == 2
    assert 4 not in _rows(one) and 3 not in _rows(other)


def test_field__marks_the_cells_and_what_was_said_of_them(opened: Open) -> None:
    session = opened(um_per_px=0.2)
    _act(session, "label", PER_FIELD + 1, class_number=2)
    field = session.field(PER_FIELD, "ada")
    assert [cell["row"] for cell in field["cells"]] == list(range(PER_FIELD, 2 * PER_FIELD))
    assert [cell["answer"] for cell in field["cells"][:2]] == ["", "blue"]
    assert field["um_per_px"] == pytest.approx(0.2)
