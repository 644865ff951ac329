"""The history of classes in the database."""

from __future__ import annotations

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.classes import Change, ClassChange, Classes, require_hotkey, require_name
from reddino.reviewing.event_rows import now, number_of
from reddino.reviewing.records import CellClass
from reddino.reviewing.schema import class_changes, classes, readers, sa


def read_changes(connection: sa.Connection) -> list[ClassChange]:
    """Return all that was done to classes, in order."""
    columns = (
        class_changes.c.class_number,
        class_changes.c.change,
        class_changes.c.name,
        class_changes.c.hotkey,
        class_changes.c.into_class,
        readers.c.name,
        class_changes.c.at,
    )
    found = sa.select(*columns).join_from(class_changes, readers).order_by(class_changes.c.number)
    return [
        ClassChange(number, change, name or "", hotkey or "", into, reader, at)
        for number, change, name, hotkey, into, reader, at in connection.execute(found)
    ]


def read_classes(connection: sa.Connection) -> Classes:
    """Return the classes as they stand."""
    return Classes(read_changes(connection))


def add(connection: sa.Connection, name: str, hotkey: str | None, reader: str) -> CellClass:
    """Add a class, or return the one of that name; see `ReviewDatabase.add_class`."""
    name = require_name(name, "the class")
    before = read_classes(connection)
    if (there := before.named(name)) is not None:
        return there
    hotkey = before.free_hotkey() if hotkey is None else require_hotkey(hotkey)
    if (
        taken := next((one for one in before.standing() if hotkey and one.hotkey == hotkey), None)
    ) is not None:
        raise RedDinoError(f"hotkey {hotkey} is that of the class '{taken.name}'; take another for '{name}'")
    made = connection.execute(classes.insert().returning(classes.c.number), {"at": now()}).scalar_one()
    _change(connection, int(made), "added", reader, name=name, hotkey=hotkey)
    return read_classes(connection).get(int(made))


def rename(connection: sa.Connection, number: int, name: str, reader: str) -> CellClass:
    """Give a class another name; see `ReviewDatabase.rename_class`."""
    name = require_name(name, "the class")
    before = read_classes(connection)
    one, there = before.get(number), before.named(name)
    if there is not None and there.number != number:
        raise RedDinoError(f"a class is called '{name}' already; merge '{one.name}' into it instead")
    if there is None:
        _change(connection, number, "renamed", reader, name=name)
    return read_classes(connection).get(number)


def set_hotkey(connection: sa.Connection, number: int, hotkey: str, reader: str) -> CellClass:
    """Give a class a hotkey; see `ReviewDatabase.set_hotkey`."""
    require_hotkey(hotkey)
    if read_classes(connection).get(number).hotkey != hotkey:
        _change(connection, number, "hotkey", reader, hotkey=hotkey)
    return read_classes(connection).get(number)


def merge(connection: sa.Connection, number: int, into: int, reader: str) -> CellClass:
    """Count a class for another; see `ReviewDatabase.merge_class`."""
    before = read_classes(connection)
    one, other = before.get(number), before.get(into)
    if number == into:
        raise RedDinoError(f"the class '{one.name}' cannot be merged into itself; name another")
    _change(connection, number, "merged", reader, into_class=other.number)
    return read_classes(connection).get(into)


def part(connection: sa.Connection, number: int, reader: str) -> CellClass:
    """Take a class out of the one that it was merged into; see `ReviewDatabase.part_class`."""
    before = read_classes(connection)
    if not before.holds(number) or before.counts_for(number) == number:
        raise RedDinoError(f"no such merged class: number {number}; only merged classes are parted")
    name = before.own_name(number)
    if before.named(name) is not None:
        raise RedDinoError(f"another class is called '{name}' by now; rename that one first")
    _change(connection, number, "parted", reader)
    return read_classes(connection).get(number)


def _change(
    connection: sa.Connection,
    number: int,
    change: Change,
    reader: str,
    *,
    name: str | None = None,
    hotkey: str | None = None,
    into_class: int | None = None,
) -> None:
    connection.execute(
        class_changes.insert().values(
            class_number=number,
            change=change,
            name=name,
            hotkey=hotkey,
            into_class=into_class,
            reader=number_of(connection, readers, reader),
            at=now(),
        )
    )
