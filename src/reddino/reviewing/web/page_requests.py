"""What the page may request from the server: the bodies of its requests, checked before anything is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeVar

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import fit, parse_json
from reddino.reviewing.choices import DESCRIPTIONS, Strategy

#: Ways to sort cells that are no strategies: they choose nothing, and so leave nothing out.
Sorting = Literal["strangest", "least_certain", "predicted", "table", "like"]
Order = Strategy | Sorting
SORTINGS: dict[Sorting, str] = {
    "strangest": "strangest first",
    "least_certain": "least certain first",
    "predicted": "by predicted class",
    "table": "as in the table",
}
ORDERS: tuple[str, ...] = (*DESCRIPTIONS, *SORTINGS, "like")
#: Cells by their verdicts so far.
Status = Literal[
    "open", "second", "labelled", "none", "artefact", "unsure", "skipped", "disputed", "noted", "all"
]
#: What a reader does with cells in the page.
Act = Literal["label", "none", "artefact", "unsure", "skip", "clear", "note"]
#: Cells in one answer, and in one act.
MOST_SHOWN, MOST_ROWS = 200, 2000
Body = TypeVar("Body")


@dataclass(frozen=True)
class CellQuery:
    """Which cells to show.

    Attributes:
        order: a strategy, or a way to sort.
        status: the verdicts on them so far; `second`: read by another and not by this reader.
        slide, source, patient: values of these columns; None takes all.
        predicted: name of the class that the classifier suggests; None takes all.
        reader: who has a verdict on them; None: whoever.
        label: class that they were given; None takes all.
        low, high: certainty of the classifier, 0 to 1.
        like: row whose nearest cells are shown, for the order `like`.
        sought: class that the orders `default` and `rare` look for; None: those that lag behind.
    """

    order: Order = "default"
    status: Status = "open"
    slide: str | None = None
    source: str | None = None
    patient: str | None = None
    predicted: str | None = None
    reader: str | None = None
    label: str | None = None
    low: float = 0.0
    high: float = 1.0
    like: int | None = None
    sought: str | None = None

    @property
    def by_classifier(self) -> bool:
        """Whether the answer needs a classifier."""
        return self.predicted is not None or self.low > 0 or self.high < 1


@dataclass(frozen=True)
class CellsBody:
    """Requests cells: how many, and without which (those on the screen, or put off)."""

    reader: str
    query: CellQuery
    count: int = 24
    without: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class ActBody:
    """What a reader does with cells.

    Attributes:
        reader: name.
        kind: of the act.
        rows: of the table.
        token: of the act, made by the page: the same token again is the same act.
        class_number: of `label`.
        note: of `note`.
        seconds: from showing the cells to the act.
        deciding: a third reader decides.
        second: in a second reading, in which no suggestions are shown.
    """

    reader: str
    kind: Act
    rows: list[int]
    token: str
    class_number: int | None = None
    note: str = ""
    seconds: float | None = None
    deciding: bool = False
    second: bool = False


@dataclass(frozen=True)
class TokenBody:
    """Undoes or redoes an act."""

    reader: str
    token: str


@dataclass(frozen=True)
class ClassBody:
    """Changes the classes: `add` and `rename` take a name, `merge` the class that it goes into."""

    reader: str
    change: Literal["add", "rename", "hotkey", "merge"]
    number: int | None = None
    name: str = ""
    into: int | None = None


@dataclass(frozen=True)
class TuneBody:
    """Starts to fine-tune a network on the labels so far, or stops it."""

    reader: str
    change: Literal["start", "stop"]


@dataclass(frozen=True)
class RowsBody:
    """Requests what is known of cells; in a second reading, no verdicts of others before the reader's own."""

    reader: str
    rows: list[int]
    second: bool = False


@dataclass(frozen=True)
class ReaderBody:
    """Names a reader."""

    reader: str


def parsed(kind: type[Body], data: bytes) -> Body:
    """Return the body of a request.

    Raises:
        RedDinoError: it is no JSON, or does not fit.
    """
    return fit(kind, parse_json(data, "the request"), "the request")


def require_rows(rows: list[int], cells: int) -> None:
    """Refuse rows that the table does not have, none at all, or too many at once.

    Raises:
        RedDinoError: names which.
    """
    if not rows or len(rows) > MOST_ROWS or len(set(rows)) < len(rows):
        raise RedDinoError(f"the request names {len(rows)} cells: it takes 1 to {MOST_ROWS}, each once")
    wrong = [row for row in rows if not 0 <= row < cells]
    if wrong:
        raise RedDinoError(f"row {wrong[0]} is no cell of this review: it has rows 0 to {cells - 1}")


def require_query(body: CellsBody, cells: int) -> None:
    """Refuse to show no cell, or cells like one that the table does not have.

    Raises:
        RedDinoError: names which.
    """
    if body.count < 1:
        raise RedDinoError(f"the request: count: {body.count} cells cannot be shown; request 1 or more")
    if body.query.like is not None:
        require_rows([body.query.like], cells)
