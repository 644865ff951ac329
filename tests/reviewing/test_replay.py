"""Any sequence of acts, undos and redos gives what a reader with two stacks of paper would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from review_cells import review_cells

from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.records import VERDICTS, Event, Kind
from reddino.reviewing.replay import Replay

KINDS: tuple[Kind, ...] = ("label", "none", "artefact", "unsure", "skip", "clear", "note")
NAMES = {1: (1, "ring"), 2: (2, "round")}


class Paper:
    """A reader's acts that hold, and those that were undone, in order."""

    def __init__(self) -> None:
        self.done: list[Event] = []
        self.undone: list[Event] = []

    def says(self) -> tuple[dict[int, str], dict[int, str], set[int]]:
        """Answers and notes by cell, and the cells that were passed over."""
        answers: dict[int, str] = {}
        notes: dict[int, str] = {}
        skipped: set[int] = set()
        for event in self.done:
            for cell in event.cells:
                if event.kind in VERDICTS:
                    name = NAMES[event.class_number][1] if event.class_number else f"[{event.kind}]"
                    answers[cell] = name
                    skipped.discard(cell)
                elif event.kind == "clear":
                    answers.pop(cell, None)
                elif event.kind == "note":
                    notes[cell] = event.note
                elif cell not in answers:
                    skipped.add(cell)
        return answers, {cell: note for cell, note in notes.items() if note}, skipped


@pytest.mark.parametrize("seed", range(6))
def test_replay__of_any_acts_is_what_two_stacks_of_paper_hold(seed: int, tmp_path: Path) -> None:
    draw = np.random.default_rng(seed)
    papers = {"Ada": Paper(), "Ben": Paper()}
    with ReviewDatabase.open(tmp_path / "r.sqlite", review_cells(8)) as review:
        for name in ("ring", "round"):
            review.add_class(name, reader="Ada")
        for _ in range(60):
            who = str(draw.choice(["Ada", "Ben"]))
            _act(review, who, papers[who], draw)
            state = review.state()
            for reader, paper in papers.items():
                answers, notes, skipped = paper.says()
                seen = state.seen_by(reader, blind=True)
                assert {cell: said[reader].answer for cell, said in seen.verdicts.items()} == answers
                assert {cell: said[reader] for cell, said in seen.notes.items()} == notes
                assert state.skipped.get(reader, frozenset()) == skipped
        at_once = Replay()
        at_once.add(review.events(), NAMES)
        assert at_once.state() == state  # which was made event by event


def _act(review: ReviewDatabase, who: str, paper: Paper, draw: Any) -> None:
    """Do one thing, in the review and on paper."""
    what = draw.random()
    if what < 0.25:
        undo = review.undo(who)
        assert (undo is None) == (not paper.done)
        if undo is not None:
            assert undo.concerns == paper.done[-1].number
            paper.undone.append(paper.done.pop())
    elif what < 0.4:
        redo = review.redo(who)
        assert (redo is None) == (not paper.undone)
        if redo is not None:
            assert redo.concerns == paper.undone[-1].number
            paper.done.append(paper.undone.pop())
            paper.done.sort(key=lambda event: event.number)
    else:
        kind = KINDS[draw.integers(len(KINDS))]
        cells = draw.choice(8, size=draw.integers(1, 4), replace=False).tolist()
        number = int(draw.integers(1, 3)) if kind == "label" else None
        note = str(draw.choice(["", "seen"])) if kind == "note" else ""
        paper.done.append(review.record(who, kind, cells, class_number=number, note=note))
        paper.undone.clear()
