"""What goes into a review database comes out again, undone, redone and in order; on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from review_cells import review_cells

from reddino.foundations.errors import RedDinoError
from reddino.reviewing import schema
from reddino.reviewing.database import ReviewDatabase, default_database
from reddino.reviewing.records import Kind, ScoreRecord, Suggestion


def opened(where: str) -> ReviewDatabase:
    return ReviewDatabase.open(where, review_cells())


def test_record__is_there_for_whoever_opens_the_database_next(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class("ring", reader="Ada")
        shown = {3: Suggestion("refit 2", "round", 0.75)}
        made = review.record(
            "Ada", "label", [3, 4], class_number=ring.number, seconds=1.5, suggestions=shown, token="t1"
        )
        review.record("Ben", "note", [4], note="folded?")
    with opened(database_url) as review:
        first, second = review.events()
        assert first == made
        assert (first.reader, first.kind, first.cells, first.seconds) == ("Ada", "label", (3, 4), 1.5)
        assert first.suggestions == shown and first.class_number == ring.number and first.token == "t1"
        assert (second.kind, second.note, second.cells) == ("note", "folded?", (4,))
        assert first.at < second.at and first.at.endswith("+00:00")
        assert review.readers() == ["Ada", "Ben"]
        state = review.state()
        assert state.labels() == {3: "ring", 4: "ring"} and state.notes == {4: {"Ben": "folded?"}}
        assert review.events(after=first.number) == [second] and review.events(reader="Ada") == [first]


def test_record__with_the_same_token_is_the_same_event(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class("ring", reader="Ada").number
        first = review.record("Ada", "label", [1], class_number=ring, token="once")
        assert review.record("Ada", "label", [1], class_number=ring, token="once") == first
        review.record("Ada", "none", [2])
        undo = review.undo("Ada", token="back")
        assert review.undo("Ada", token="back") == undo
        assert len(review.events()) == 3 and review.state().labels() == {1: "ring"}


def test_record__with_the_token_of_another_act_is_refused(database_url: str) -> None:
    with opened(database_url) as review:
        made = review.record("Ada", "none", [3, 1], token="one act")
        others: list[tuple[str, Kind, list[int]]] = [
            ("Ben", "none", [1, 3]),
            ("Ada", "unsure", [1, 3]),
            ("Ada", "none", [1]),
        ]
        for reader, kind, cells in others:
            with pytest.raises(RedDinoError, match="token of another act, and is not recorded"):
                review.record(reader, kind, cells, token="one act")
        with pytest.raises(RedDinoError, match="token of another act"):
            review.undo("Ada", token="one act")
        assert review.record("Ada", "none", [1, 3], token="one act") == made and review.events() == [made]


def test_undo__goes_back_step_by_step_and_redo_forth_until_the_reader_acts(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class("ring", reader="Ada").number
        review.record("Ada", "label", [1, 2], class_number=ring)
        review.record("Ada", "artefact", [2])
        review.record("Ben", "unsure", [5])
        answers = []
        for step in (review.undo, review.undo, review.undo, review.redo, review.redo, review.redo):
            step("Ada")
            state = review.state()
            answers.append({cell: said["Ada"].answer for cell, said in state.verdicts.items() if cell < 5})
        both, second = {1: "ring", 2: "ring"}, {1: "ring", 2: "[artefact]"}
        assert answers == [both, {}, {}, both, second, second]
        assert review.state().verdicts[5]["Ben"].kind == "unsure"  # another reader's act stays
        review.undo("Ada")
        review.record("Ada", "skip", [7])
        assert review.redo("Ada") is None
        assert review.undo("Ada") is not None and review.state().skipped == {
            "Ada": frozenset(),
            "Ben": frozenset(),
        }
        kinds = [event.kind for event in review.events(reader="Ada")]
        assert kinds == ["label", "artefact", "undo", "undo", "redo", "redo", "undo", "skip", "undo"]


def test_undo__names_the_act_and_its_cells(database_url: str) -> None:
    with opened(database_url) as review:
        assert review.undo("Ada") is None and review.redo("Ada") is None
        act = review.record("Ada", "none", [8, 9])
        undo = review.undo("Ada")
        assert undo is not None and undo.concerns == act.number and undo.cells == (8, 9)
        assert review.events(after=act.number) == [undo]


def test_undo__leaves_what_was_imported(database_url: str) -> None:
    with opened(database_url) as review:
        review.record("Ada", "none", [8], origin="import")
        assert review.undo("Ada") is None


def test_state__skip_takes_no_verdict_away_and_clear_does(database_url: str) -> None:
    with opened(database_url) as review:
        review.record("Ada", "none", [1])
        review.record("Ada", "skip", [1, 2])
        assert review.state().answered() == {1} and review.state().skipped["Ada"] == {2}
        review.record("Ada", "clear", [1])
        assert review.state().answered("Ada") == set()
        before = review.state()
        review.record("Ada", "artefact", [2])
        assert review.state().skipped["Ada"] == frozenset() and before.skipped["Ada"] == {2}


def test_state__of_another_process_is_seen(database_url: str) -> None:
    with opened(database_url) as one, opened(database_url) as other:
        assert one.state().last_event == 0
        made = other.record("Ben", "unsure", [3])
        state = one.state()
        assert state.last_event == made.number and state.answered("Ben") == {3}
        assert one.state() is state


def test_classes__renamed_and_merged_count_for_labels_of_before_and_after(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class("ring", reader="Ada")
        early = review.add_class("early ring", reader="Ada")
        assert (ring.hotkey, early.hotkey) == ("1", "2")
        review.record("Ada", "label", [1], class_number=ring.number)
        review.record("Ada", "label", [2], class_number=early.number)
        assert review.state().labels() == {1: "ring", 2: "early ring"}
        renamed = review.rename_class(ring.number, "ring form", reader="Ben")
        assert renamed.former == ("ring",)
        merged = review.merge_class(early.number, ring.number, reader="Ben")
        assert merged.merged == (early.number,) and [one.name for one in review.classes()] == ["ring form"]
        assert review.state().labels() == {1: "ring form", 2: "ring form"}
        review.record("Ada", "label", [3], class_number=early.number)  # a page that had not heard of it
        assert review.state().counts() == {"ring form": 3}
        review.part_class(early.number, reader="Ben")
        assert review.state().labels() == {1: "ring form", 2: "early ring", 3: "early ring"}
        history = [(one.change, one.reader) for one in review.class_history()]
        assert history == [
            ("added", "Ada"), ("added", "Ada"), ("renamed", "Ben"), ("merged", "Ben"), ("parted", "Ben"),
        ]  # fmt: skip


def test_classes__hotkeys_are_given_once_each(database_url: str) -> None:
    with opened(database_url) as review:
        made = [review.add_class(f"class {number}", reader="Ada") for number in range(10)]
        assert [one.hotkey for one in made] == [*"123456789", ""]
        review.set_hotkey(made[9].number, "1", reader="Ada")
        assert [one.hotkey for one in review.classes()] == ["", *"23456789", "1"]
        with pytest.raises(RedDinoError, match="hotkey 1 is that of the class 'class 9'"):
            review.add_class("more", reader="Ada", hotkey="1")
        assert review.add_class("class 3", reader="Ben") == review.classes()[3]


def test_classes__what_makes_no_sense_is_refused(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class(" ring ", reader="Ada")
        assert ring.name == "ring"
        other = review.add_class("other", reader="Ada")
        for wrong in ("", "  ", "NA", "?", "[artefact]", "a\x1bb", "x" * 101):
            with pytest.raises(RedDinoError, match="the class "):
                review.add_class(wrong, reader="Ada")
        with pytest.raises(RedDinoError, match="is called 'other' already"):
            review.rename_class(ring.number, "other", reader="Ada")
        with pytest.raises(RedDinoError, match="into itself"):
            review.merge_class(ring.number, ring.number, reader="Ada")
        with pytest.raises(RedDinoError, match="no such hotkey"):
            review.set_hotkey(ring.number, "0", reader="Ada")
        review.merge_class(other.number, ring.number, reader="Ada")
        with pytest.raises(RedDinoError, match="no such class"):
            review.merge_class(ring.number, other.number, reader="Ada")
        with pytest.raises(RedDinoError, match="no such class"):
            review.record("Ada", "label", [1], class_number=99)


def test_record__what_makes_no_sense_is_refused_and_leaves_nothing(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class("ring", reader="Ada").number
        with pytest.raises(RedDinoError, match="no row 24: it has 24 rows"):
            review.record("Ada", "none", [3, 24])
        with pytest.raises(RedDinoError, match="about no cell"):
            review.record("Ada", "none", [])
        with pytest.raises(RedDinoError, match="takes no class_number"):
            review.record("Ada", "none", [1], class_number=ring)
        with pytest.raises(RedDinoError, match="lacks class_number"):
            review.record("Ada", "label", [1])
        with pytest.raises(RedDinoError, match="no such act: 'undo'"):
            review.record("Ada", "undo", [1])
        with pytest.raises(RedDinoError, match="too long"):
            review.record("Ada", "note", [1], note="x" * 10_001)
        with pytest.raises(RedDinoError, match="the reader has no name"):
            review.record("", "none", [1])
        assert review.events() == []


def test_record__a_third_reader_decides_and_none_of_the_two(database_url: str) -> None:
    with opened(database_url) as review:
        ring = review.add_class("ring", reader="Ada").number
        review.record("Ada", "label", [1, 2], class_number=ring)
        review.record("Ben", "none", [1])
        review.record("Ben", "label", [2], class_number=ring)
        assert review.state().disputed() == [1] and review.state().labels() == {2: "ring"}
        with pytest.raises(RedDinoError, match="Ben has read cell 1"):
            review.record("Ben", "label", [1], class_number=ring, deciding=True)
        review.record("Cleo", "artefact", [1], deciding=True)
        found = review.state().consensus(1)
        assert (found.standing, found.kind, found.readers) == ("decided", "artefact", ("Ada", "Ben", "Cleo"))
        review.record("Cleo", "label", [1], class_number=ring, deciding=True)  # who decided may think again
        assert review.state().consensus(1).label == "ring" and review.state().disputed() == []


def test_first_sorting__keeps_predictions_beside_verdicts(database_url: str) -> None:
    with opened(database_url) as review:
        rows, likely = np.array([0, 5]), np.array([0.9, 0.6])
        assert review.add_first_sorting("run a", rows, ["ring", "round"], likely, reader="Ada") == 2
        assert review.add_first_sorting("run a", rows, ["ring", "round"], likely, reader="Ada") == 0
        review.add_first_sorting("run b", rows[:1], ["round"], likely[:1], reader="Ada")
        assert review.first_sorting() == {
            0: Suggestion("run b", "round", 0.9), 5: Suggestion("run a", "round", 0.6),
        }  # fmt: skip
        assert [one.name for one in review.classes()] == ["ring", "round"]
        assert review.state().verdicts == {}


def test_cells__come_with_what_the_table_says_of_them(database_url: str) -> None:
    with opened(database_url) as review:
        review.record("Ada", "none", [9, 2])
        review.record("Ada", "none", [9])
    with ReviewDatabase.open_existing(database_url) as review:
        rows, manifest = review.cells()
        assert rows.tolist() == [2, 9] and review.rows == 24
        assert manifest.strings("path") == ["field0.png", "field2.png"]
        assert manifest.numbers("x").tolist() == [50.0, 30.0] and str(manifest.root) == "/pictures"
        review.record("Ben", "none", [9])  # a cell that it knows
        with pytest.raises(RedDinoError, match="cell 3 was never shown"):
            review.record("Ben", "none", [3])


def test_cells__say_what_the_table_says_of_them_since_it_was_made_anew(database_url: str) -> None:
    cells = review_cells()
    with ReviewDatabase.open(database_url, cells.with_column("patient", ["p1"] * 24)) as review:
        review.record("Ada", "none", [9, 2])
    with ReviewDatabase.open(database_url, cells.with_column("patient", ["p2"] * 24)):
        pass
    with ReviewDatabase.open_existing(database_url) as review:
        assert review.cells()[1].strings("patient") == ["p2", "p2"]


def test_open__refuses_the_review_of_another_table(database_url: str) -> None:
    with opened(database_url) as review:
        review.record("Ada", "none", [1])
    for other in (review_cells(23), review_cells(shift=1.0)):
        with pytest.raises(RedDinoError, match="about another table"):
            ReviewDatabase.open(database_url, other)


def test_open__takes_a_table_that_has_grown(database_url: str) -> None:
    with opened(database_url) as review:
        review.record("Ada", "none", [1])
    with ReviewDatabase.open(database_url, review_cells(40)) as review:
        assert review.rows == 40
        review.record("Ada", "none", [39])
    with pytest.raises(RedDinoError, match="about another table"):
        opened(database_url)  # as it was before it grew
    with ReviewDatabase.open(database_url, review_cells(40)) as review:
        assert review.state().answered() == {1, 39}


def test_open__upgrades_an_older_database_and_refuses_a_newer_one(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database_url) as review:
        made = review.record("Ada", "none", [1])
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(schema, "NEWEST", 4)
        patch.setattr("reddino.reviewing.opening.NEWEST", 4)
        patch.setattr(schema, "UPGRADES", {2: lambda _: steps.append(2), 3: lambda _: steps.append(3)})
        for _ in range(2):
            with opened(database_url) as review:
                assert review.events() == [made]
    assert steps == [2, 3]
    with pytest.raises(RedDinoError, match="newer RedDino"):
        opened(database_url)


def test_open__refuses_what_is_no_review(tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="there is no review database"):
        ReviewDatabase.open_existing(tmp_path / "none.sqlite")
    assert not (tmp_path / "none.sqlite").exists()
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE notes (text)")
    other.close()
    with pytest.raises(RedDinoError, match="not a review database"):
        opened(str(tmp_path / "other.sqlite"))
    for made in (
        "(a, b)",
        "AS SELECT 'schema' AS name, 'abc' AS value",
        "AS SELECT 'schema' AS name, 1 AS value",
    ):
        with sqlite3.connect(tmp_path / "facts.sqlite") as other:
            other.execute(f"CREATE TABLE facts {made}")
        with pytest.raises(RedDinoError, match="not a review database"):
            opened(str(tmp_path / "facts.sqlite"))
        other.execute("DROP TABLE facts")
        other.close()
    (tmp_path / "text.sqlite").write_text(
        "no database at all, but a text that is long enough to be read" * 20
    )
    with pytest.raises(RedDinoError, match=r"cannot be used: .*text\.sqlite; file is not a database"):
        opened(str(tmp_path / "text.sqlite"))
    with pytest.raises(RedDinoError, match="SQLite or by PostgreSQL"):
        opened("mysql://somebody:secret@host/name")


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_open__leaves_the_file_of_another_program_as_it_is(tmp_path: Path, journal: str) -> None:
    file = tmp_path / "other.sqlite"
    with sqlite3.connect(file) as other:
        other.execute(f"PRAGMA journal_mode = {journal}")
        other.execute("CREATE TABLE notes (text)")
    other.close()
    before = file.read_bytes()
    for use in (opened, ReviewDatabase.open_existing):
        with pytest.raises(RedDinoError, match="not a review database"):
            use(str(file))
    assert file.read_bytes() == before and [one.name for one in tmp_path.iterdir()] == ["other.sqlite"]


def test_open__of_a_server_that_is_away_shows_no_password() -> None:
    with pytest.raises(RedDinoError, match="cannot be used") as caught:
        opened("postgresql://ada:secret@127.0.0.1:1/review")
    assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)


def test_record__on_a_full_disk_is_refused_and_what_was_confirmed_stays(tmp_path: Path) -> None:
    with opened(str(tmp_path / "review.sqlite")) as review:
        confirmed = review.record("Ada", "note", [1], note="kept")

        def fill(connection: Any, *_: object) -> None:
            connection.execute("PRAGMA max_page_count = 30")

        sa.event.listen(review._connector._engine, "checkout", fill)
        with pytest.raises(RedDinoError, match=r"cannot be used: .*; database or disk is full"):
            for _ in range(100):
                confirmed = review.record("Ada", "note", [1], note="x" * 9_000)
        assert review.events()[-1] == confirmed
    with opened(str(tmp_path / "review.sqlite")) as review:
        assert review.record("Ada", "none", [1]).number == confirmed.number + 1


def test_open__of_a_file_whose_folder_cannot_be_written_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(str(tmp_path / "review.sqlite")):
        pass

    def fail(_: object) -> None:  # what SQLite says on a read-only disk
        reason = sqlite3.OperationalError("unable to open database file")
        raise sa.exc.OperationalError("SELECT", {}, reason)

    monkeypatch.setattr("reddino.reviewing.opening.read_facts", fail)
    with pytest.raises(RedDinoError, match="copy it to a folder that can be written"):
        ReviewDatabase.open_existing(tmp_path / "review.sqlite")


def test_open__of_sqlite_makes_each_commit_durable(tmp_path: Path) -> None:
    with opened(str(tmp_path / "review.sqlite")) as review, review._connector.reading() as connection:
        pragmas = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    assert pragmas == ["wal", 2, 1]


def test_open__finds_the_pictures_where_the_folder_was_moved(tmp_path: Path) -> None:
    (tmp_path / "a" / "pictures").mkdir(parents=True)
    cells = review_cells(root=tmp_path / "a" / "pictures")
    with ReviewDatabase.open(tmp_path / "a" / "review.sqlite", cells) as review:
        review.record("Ada", "none", [1])
    (tmp_path / "a").rename(tmp_path / "b")
    with ReviewDatabase.open_existing(tmp_path / "b" / "review.sqlite") as review:
        assert review.cells()[1].root == tmp_path / "b" / "pictures"


def test_default_database__lies_beside_the_table() -> None:
    assert default_database("out/cells") == Path("out/cells.review.sqlite")


def test_open__reads_a_database_of_the_first_version(tmp_path: Path) -> None:
    file = tmp_path / "review.sqlite"
    with sqlite3.connect(file) as old:
        old.executescript((Path(__file__).parent / "review_schema_1.sql").read_text())
    old.close()
    with ReviewDatabase.open(file, review_cells(8)) as review:
        state = review.state()
        assert state.labels() == {0: "ring form", 1: "ring form", 2: "ring form"}
        assert state.consensus(0).standing == "decided" and state.consensus(0).readers == (
            "Ada",
            "Ben",
            "Cleo",
        )
        assert state.counts() == {"ring form": 3, "[unsure]": 1} and state.skipped["Ben"] == {4}
        assert state.notes == {0: {"Ben": "folded; it's thick"}}
        assert [(one.name, one.hotkey, one.former) for one in review.classes()] == [
            ("ring form", "1", ("ring",)),
            ("round", "9", ()),
        ]
        first = review.events()[0]
        assert first.suggestions == {0: Suggestion("refit 1", "round", 0.75)} and first.seconds == 1.5
        assert review.first_sorting() == {6: Suggestion("p", "ring", 0.5)}
        assert review.record("Ada", "none", [7]).number == review.events()[-1].number == 10
        score = ScoreRecord(20, 0.5, None, None)
        assert review.add_score("", score) == [score]


def test_scores__are_kept_by_view_and_the_same_result_once(database_url: str) -> None:
    first, second = ScoreRecord(20, None, None, None), ScoreRecord(40, 0.6, 0.4, 0.8)
    with opened(database_url) as review:
        assert review.add_score("", first) == [first]
        assert review.add_score("", second) == [first, second]
    with opened(database_url) as review:
        assert review.add_score("", second) == [first, second]  # the same labels, fitted again at the start
        assert review.add_score("Ada", first) == [first]
        third = ScoreRecord(40, 0.7, None, None)  # as many labels, of which some were corrected
        assert review.add_score("", third) == [first, second, third]
