"""What a review database holds, as its users see it: readers, classes, events, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

#: What a reader may do. The first four are verdicts on a cell; `skip` passes over it, `clear` withdraws the
#: reader's verdict, `note` keeps a text with it, `undo` and `redo` concern an earlier event.
Kind = Literal["label", "none", "artefact", "unsure", "skip", "clear", "note", "undo", "redo"]
#: Kinds that answer what a cell is: one of the classes, none of them, no cell at all, or uncertain.
VERDICTS: tuple[Kind, ...] = ("label", "none", "artefact", "unsure")
#: Where an event came from.
Origin = Literal["page", "import"]
#: How readers came to one verdict: one read the cell; all agree; a third decided; more than half agree. Or
#: they did not: they differ, or no one has a verdict.
Standing = Literal["single", "agreed", "decided", "majority", "disputed", "open"]


@dataclass(frozen=True)
class CellClass:
    """A class of cells as it stands now.

    Attributes:
        number: that events keep, whatever the class is called.
        name: now.
        hotkey: "1" to "9"; "" for none.
        former: names that it had, oldest first.
        merged: numbers of classes that were merged into it.
    """

    number: int
    name: str
    hotkey: str = ""
    former: tuple[str, ...] = ()
    merged: tuple[int, ...] = ()


@dataclass(frozen=True)
class Suggestion:
    """What a classifier predicted for a cell, as it was shown to the reader.

    Attributes:
        classifier: its name, such as the number of the refit or the folder.
        label: name of the class at that time.
        probability: 0 to 1.
    """

    classifier: str
    label: str
    probability: float


@dataclass(frozen=True)
class Event:
    """One act of a reader on one or several cells; never changed and never deleted.

    Attributes:
        number: counts up from 1, in the order of the acts.
        token: that the page gave it; the same token again is the same event.
        at: UTC, ISO 8601 with microseconds and "+00:00".
        reader: name.
        kind: what was done.
        cells: rows of the embedding table; of `undo` and `redo`, those of the event that they concern.
        class_number: of `label`, the class by the number that it had then (before merges); else None.
        note: of `note`, its text.
        concerns: of `undo` and `redo`, the number of that event.
        seconds: from showing the cells to the act; None where not known.
        deciding: the verdict of a third reader on cells of which others differ.
        origin: where it came from.
        suggestions: by cell, what was shown with it.
    """

    number: int
    token: str
    at: str
    reader: str
    kind: Kind
    cells: tuple[int, ...]
    class_number: int | None = None
    note: str = ""
    concerns: int | None = None
    seconds: float | None = None
    deciding: bool = False
    origin: Origin = "page"
    suggestions: Mapping[int, Suggestion] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """A reader's verdict on a cell now.

    Attributes:
        reader: name.
        kind: one of `VERDICTS`.
        label: name of the class now, after renames and merges; "" unless the kind is `label`.
        class_number: the class now, after merges; None unless the kind is `label`.
        at: time of the event.
        event: its number.
        deciding: of a third reader, who decides.
        seconds: from showing the cell to the verdict; None where not known.
    """

    reader: str
    kind: Kind
    label: str
    class_number: int | None
    at: str
    event: int
    deciding: bool = False
    seconds: float | None = None

    @property
    def answer(self) -> str:
        """The class, or the kind in brackets, such as `[artefact]`: equal for readers who agree."""
        return self.label if self.kind == "label" else f"[{self.kind}]"


@dataclass(frozen=True)
class Consensus:
    """What the readers of a cell agree on.

    Attributes:
        standing: how they came to it.
        kind: of the verdict; None where the standing is `disputed` or `open`.
        label: name of the class; "" unless the kind is `label`.
        readers: names of those who have a verdict, in the order of their verdicts.
        at: time of the latest verdict; "" without one.
    """

    standing: Standing
    kind: Kind | None
    label: str
    readers: tuple[str, ...]
    at: str


@dataclass(frozen=True)
class ScoreRecord:
    """How the page's classifier did on held-out groups, as the database keeps it.

    Attributes:
        labels: cells with a class at that time.
        macro_f1: None where there was no score.
        low, high: its 95 % interval; None where there was none.
    """

    labels: int
    macro_f1: float | None
    low: float | None
    high: float | None
