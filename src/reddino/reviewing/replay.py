"""Replay the events of a review, a few at a time, into each reader's verdict on each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from reddino.reviewing.consensus import consensus_of
from reddino.reviewing.records import VERDICTS, Consensus, Event, Verdict
from reddino.reviewing.state import ReviewState

Entry = TypeVar("Entry")


class Replay:
    """The state after the events so far; adding some costs as much as the cells that they are about."""

    def __init__(self) -> None:
        self._events: dict[int, Event] = {}
        self._undone: set[int] = set()
        self._acts: dict[tuple[int, str], list[int]] = {}
        self._names: Mapping[int, tuple[int, str]] = {}
        self._verdicts: dict[int, dict[str, Verdict]] = {}
        self._notes: dict[int, dict[str, str]] = {}
        self._skipped: dict[str, frozenset[int]] = {}
        self._agreed: dict[int, Consensus] = {}
        self._state: ReviewState | None = None
        self.last_event = 0

    def add(self, events: Iterable[Event], names: Mapping[int, tuple[int, str]]) -> None:
        """Take in events, in order, that come after those so far.

        Args:
            events: of all readers.
            names: number of a class -> number and name of the class that it counts for now.
        """
        changed: dict[tuple[int, str], None] = {}
        for event in events:
            changed.update(dict.fromkeys(self._take_in(event)))
            self.last_event = event.number
        if names != self._names:  # A class was renamed or merged: any verdict may read otherwise.
            self._names = dict(names)
            changed.update(dict.fromkeys(self._acts))
        if self._state is not None and (changed or self._state.last_event != self.last_event):
            self._state = None
        skips: dict[str, set[int]] = {}
        for cell, reader in changed:
            if reader not in skips:
                skips[reader] = set(self._skipped.get(reader, ()))
            self._recompute(cell, reader, skips[reader])
        self._skipped.update({reader: frozenset(cells) for reader, cells in skips.items()})
        for cell in {cell for cell, _ in changed}:
            verdicts = self._verdicts.get(cell)
            if verdicts:
                self._agreed[cell] = consensus_of(verdicts.values())
            else:
                self._agreed.pop(cell, None)

    def state(self) -> ReviewState:
        """Return the state, which later events leave as it is; the same one while there are none."""
        if self._state is None:
            copies = (dict(self._verdicts), dict(self._notes), dict(self._skipped), dict(self._agreed))
            self._state = ReviewState(self.last_event, *copies)
        return self._state

    def _take_in(self, event: Event) -> list[tuple[int, str]]:
        """Take in one event; return the cells and readers of which the state may change."""
        if event.kind in ("undo", "redo"):
            if event.concerns is None:
                return []
            if event.kind == "undo":
                self._undone.add(event.concerns)
            else:
                self._undone.discard(event.concerns)
            return [(cell, event.reader) for cell in self._events[event.concerns].cells]
        self._events[event.number] = event
        pairs = [(cell, event.reader) for cell in event.cells]
        for pair in pairs:
            self._acts.setdefault(pair, []).append(event.number)
        return pairs

    def _recompute(self, cell: int, reader: str, skipped: set[int]) -> None:
        verdict: Event | None = None
        note, passed = "", False
        for number in self._acts[cell, reader]:
            event = self._events[number]
            if number in self._undone:
                continue
            if event.kind in VERDICTS:
                verdict, passed = event, False
            elif event.kind == "clear":
                verdict = None
            elif event.kind == "note":
                note = event.note
            elif verdict is None:
                passed = True
        (skipped.add if passed else skipped.discard)(cell)
        _set(self._notes, cell, reader, note or None)
        _set(self._verdicts, cell, reader, None if verdict is None else self._verdict(verdict))

    def _verdict(self, event: Event) -> Verdict:
        number, label = None, ""
        if event.class_number is not None:
            number, label = self._names[event.class_number]
        return Verdict(
            event.reader, event.kind, label, number, event.at, event.number, event.deciding, event.seconds
        )


def _set(where: dict[int, dict[str, Entry]], cell: int, reader: str, value: Entry | None) -> None:
    """Set a reader's entry of a cell in a new inner mapping, since states share the old one."""
    entries = {name: old for name, old in where.get(cell, {}).items() if name != reader}
    if value is not None:
        entries[reader] = value
    if entries:
        where[cell] = entries
    else:
        where.pop(cell, None)
