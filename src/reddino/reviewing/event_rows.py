"""Events in the database: written once, found again by their token, undone and redone by further events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reddino.reviewing.records import Event, Suggestion
from reddino.reviewing.schema import classifiers, event_cells, events, readers, sa

_ACTS = events.c.kind.not_in(("undo", "redo"))
# Built once: each act of the page is read back with them.
_EVENTS = (
    sa.select(*(column for column in events.c if column.name != "reader"), readers.c.name.label("reader"))
    .join(readers)
    .order_by(events.c.number)
)
_CELLS = (
    sa.select(
        event_cells.c.event,
        event_cells.c.cell,
        classifiers.c.name,
        event_cells.c.suggested,
        event_cells.c.probability,
    )
    .select_from(
        event_cells.join(events, events.c.number == event_cells.c.event)
        .join(readers, readers.c.number == events.c.reader)
        .outerjoin(classifiers)
    )
    .order_by(event_cells.c.event, event_cells.c.cell)
)


def now() -> str:
    """Return the time, UTC, as events keep it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def number_of(connection: sa.Connection, table: sa.Table, name: str) -> int:
    """Return the number of a reader or a classifier of that name, which is added where it is new."""
    found = connection.execute(sa.select(table.c.number).where(table.c.name == name)).scalar()
    if found is None:
        found = connection.execute(
            table.insert().returning(table.c.number), {"name": name, "at": now()}
        ).scalar_one()
    return int(found)


def insert_event(
    connection: sa.Connection,
    values: Mapping[str, Any],
    cells: Sequence[int] = (),
    suggestions: Mapping[int, Suggestion] | None = None,
) -> int:
    """Write an event with its cells, and return its number."""
    given = {"note": "", "deciding": False, "origin": "page", "at": now(), **values}
    number = int(connection.execute(events.insert().returning(events.c.number), given).scalar_one())
    if cells:
        shown = suggestions or {}
        names = {one.classifier for one in shown.values()}
        numbers = {name: number_of(connection, classifiers, name) for name in sorted(names)}
        connection.execute(
            event_cells.insert(), [_cell_values(number, cell, shown.get(cell), numbers) for cell in cells]
        )
    return number


def _cell_values(
    event: int, cell: int, shown: Suggestion | None, classifier: Mapping[str, int]
) -> dict[str, Any]:
    values: dict[str, Any] = {"event": event, "cell": cell}
    if shown is None:
        return {**values, "classifier": None, "suggested": None, "probability": None}
    return {
        **values,
        "classifier": classifier[shown.classifier],
        "suggested": shown.label,
        "probability": shown.probability,
    }


def last_to_undo(connection: sa.Connection, reader: int) -> int | None:
    """Return the number of a reader's last act in the page that is not undone; None where there is none."""
    gone = _undone(connection, reader)
    acts = sa.select(events.c.number).where(events.c.reader == reader, _ACTS, events.c.origin == "page")
    for number in connection.execute(acts.order_by(events.c.number.desc())).scalars():
        if number not in gone:
            return int(number)
    return None


def last_to_redo(connection: sa.Connection, reader: int) -> int | None:
    """Return the number of the act that a reader undid last, and did nothing else since; None without one."""
    acts = sa.select(sa.func.max(events.c.number)).where(
        events.c.reader == reader, _ACTS, events.c.origin == "page"
    )
    last_act = connection.execute(acts).scalar() or 0
    gone = _undone(connection, reader)
    since = {undo: act for act, undo in gone.items() if undo > last_act}
    return since[max(since)] if since else None


def _undone(connection: sa.Connection, reader: int) -> dict[int, int]:
    """Return the acts of a reader that are undone -> the undo that holds."""
    chosen = sa.select(events.c.concerns, events.c.number, events.c.kind)
    chosen = chosen.where(events.c.reader == reader, events.c.concerns.is_not(None))
    last: dict[int, tuple[int, str]] = {}
    for act, number, kind in connection.execute(chosen.order_by(events.c.number)):
        last[act] = (number, kind)
    return {act: number for act, (number, kind) in last.items() if kind == "undo"}


def event_of_token(connection: sa.Connection, token: str) -> int | None:
    """Return the number of the event with a token."""
    found = connection.execute(sa.select(events.c.number).where(events.c.token == token)).scalar()
    return None if found is None else int(found)


def read_events(
    connection: sa.Connection, *, after: int = 0, reader: str | None = None, number: int | None = None
) -> list[Event]:
    """Return events in order: those after a number, of one reader, or the one with a number."""
    chosen = [events.c.number > after]
    if reader is not None:
        chosen.append(readers.c.name == reader)
    if number is not None:
        chosen.append(events.c.number == number)
    rows = [dict(row) for row in connection.execute(_EVENTS.where(*chosen)).mappings()]
    if not rows:
        return []
    concerned = {row["concerns"] for row in rows if row["concerns"] is not None}
    cells, shown = _cells_of(connection, chosen)
    earlier = {one for one in concerned if one not in cells}
    if earlier:
        cells.update(_cells_of(connection, [events.c.number.in_(sorted(earlier))])[0])
    return [_event(row, cells, shown.get(row["number"], {})) for row in rows]


def _event(row: Mapping[str, Any], cells: Mapping[int, list[int]], shown: Mapping[int, Suggestion]) -> Event:
    about = row["number"] if row["concerns"] is None else row["concerns"]
    return Event(
        number=row["number"],
        token=row["token"],
        at=row["at"],
        reader=row["reader"],
        kind=row["kind"],
        cells=tuple(cells.get(about, ())),
        class_number=row["class_number"],
        note=row["note"],
        concerns=row["concerns"],
        seconds=row["seconds"],
        deciding=bool(row["deciding"]),
        origin=row["origin"],
        suggestions=shown,
    )


def _cells_of(
    connection: sa.Connection, chosen: Sequence[sa.ColumnElement[bool]]
) -> tuple[dict[int, list[int]], dict[int, dict[int, Suggestion]]]:
    """Return the cells of some events, and what was shown with them, by event."""
    cells: dict[int, list[int]] = {}
    shown: dict[int, dict[int, Suggestion]] = {}
    for event, cell, classifier, label, probability in connection.execute(_CELLS.where(*chosen)):
        cells.setdefault(event, []).append(cell)
        if classifier is not None:
            shown.setdefault(event, {})[cell] = Suggestion(classifier, label, probability)
    return cells, shown
