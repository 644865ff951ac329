"""What a reader may do to cells, and what of it makes no sense."""

from __future__ import annotations

from collections.abc import Sequence

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.records import Event, Kind
from reddino.reviewing.state import ReviewState

ACTS: tuple[Kind, ...] = ("label", "none", "artefact", "unsure", "skip", "clear", "note")
MOST_NOTE = 10_000


def require_act(kind: Kind, cells: Sequence[int], class_number: int | None, note: str) -> None:
    """Refuse what no reader can do.

    Raises:
        RedDinoError: there is no such act, it is about no cell, or it lacks its class.
    """
    if kind not in ACTS:
        raise RedDinoError(f"no such act: {kind!r}; there are: {', '.join(ACTS)}")
    if not cells:
        raise RedDinoError(f"the act '{kind}' is about no cell; name one or several")
    if (class_number is None) == (kind == "label"):
        raise RedDinoError(f"the act '{kind}' {'lacks' if kind == 'label' else 'takes no'} class_number")
    if len(note) > MOST_NOTE:
        raise RedDinoError(f"a note of {len(note):,} letters is too long; write {MOST_NOTE:,} at most")


def require_third_reader(reader: str, cells: Sequence[int], state: ReviewState) -> None:
    """Refuse to let a reader decide who has read one of the cells.

    Raises:
        RedDinoError: names the first such cell.
    """
    for cell in cells:
        own = state.verdicts.get(cell, {}).get(reader)
        if own is not None and not own.deciding:
            raise RedDinoError(f"{reader} has read cell {cell} and cannot decide on it; a third does")


def require_same_act(
    event: Event, reader: str, kind: Kind, cells: Sequence[int], class_number: int | None
) -> None:
    """Refuse an act whose token is that of another one, which would pass for recorded.

    Raises:
        RedDinoError: the event of the token is another one.
    """
    if (event.reader, event.kind, *event.cells, event.class_number) != (reader, kind, *cells, class_number):
        raise RedDinoError(
            f"the act '{kind}' has the token of another act, and is not recorded; give a new one"
        )
