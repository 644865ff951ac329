"""The tables of a review database, their version, and the steps from older versions to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reddino.foundations.errors import RedDinoError

try:
    import sqlalchemy as sa
except ImportError as missing:
    raise RedDinoError(
        "reviews need the package sqlalchemy: install it with `pip install 'reddino[review]'`"
    ) from missing

__all__ = [
    "NEWEST",
    "UPGRADES",
    "cells",
    "class_changes",
    "classes",
    "classifiers",
    "event_cells",
    "events",
    "facts",
    "metadata",
    "readers",
    "sa",
    "scores",
    "sortings",
    "upgrade",
]

#: Version of the tables below.
NEWEST = 2

metadata = sa.MetaData()


def _number() -> sa.Column[int]:
    return sa.Column("number", sa.Integer, primary_key=True, autoincrement=True)


def _time() -> sa.Column[str]:
    return sa.Column("at", sa.String(40), nullable=False)


def _of(table: str, name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.ForeignKey(f"{table}.number"), nullable=nullable)


#: What holds for the whole database: its version, the table that it is about, where the pictures lie.
facts = sa.Table(
    "facts", metadata, sa.Column("name", sa.String(40), primary_key=True), sa.Column("value", sa.Text)
)
readers = sa.Table(
    "readers", metadata, _number(), sa.Column("name", sa.Text, nullable=False, unique=True), _time()
)
classes = sa.Table("classes", metadata, _number(), _time(), sqlite_autoincrement=True)
#: The history of each class; `name`, `hotkey` and `into_class` by what was changed.
class_changes = sa.Table(
    "class_changes",
    metadata,
    _number(),
    _of("classes", "class_number"),
    _of("readers", "reader"),
    _time(),
    sa.Column("change", sa.String(10), nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("hotkey", sa.String(1)),
    _of("classes", "into_class", nullable=True),
    sqlite_autoincrement=True,
)
classifiers = sa.Table(
    "classifiers", metadata, _number(), sa.Column("name", sa.Text, nullable=False, unique=True), _time()
)
#: Rows of the embedding table that events are about, with the columns that they had there, as JSON.
cells = sa.Table(
    "cells",
    metadata,
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("columns", sa.Text, nullable=False),
)
events = sa.Table(
    "events",
    metadata,
    _number(),
    sa.Column("token", sa.String(100), nullable=False, unique=True),
    _time(),
    _of("readers", "reader"),
    sa.Column("kind", sa.String(10), nullable=False),
    _of("classes", "class_number", nullable=True),
    sa.Column("note", sa.Text, nullable=False),
    _of("events", "concerns", nullable=True),
    sa.Column("seconds", sa.Float),
    sa.Column("deciding", sa.Boolean, nullable=False),
    sa.Column("origin", sa.String(10), nullable=False),
    sa.Index("events_by_reader", "reader", "number"),
    sqlite_autoincrement=True,
)
event_cells = sa.Table(
    "event_cells",
    metadata,
    sa.Column("event", sa.ForeignKey("events.number"), primary_key=True),
    sa.Column("cell", sa.ForeignKey("cells.row"), primary_key=True),
    _of("classifiers", "classifier", nullable=True),
    sa.Column("suggested", sa.Text),
    sa.Column("probability", sa.Float),
)
#: Predictions of a classifier that were imported to be corrected.
sortings = sa.Table(
    "sortings",
    metadata,
    _of("classifiers", "classifier"),
    sa.Column("row", sa.Integer, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("probability", sa.Float, nullable=False),
    sa.PrimaryKeyConstraint("classifier", "row"),
)
#: Running scores of the page's classifier, by whose labels it learned from ("": those of all readers).
scores = sa.Table(
    "scores",
    metadata,
    _number(),
    _time(),
    sa.Column("view", sa.Text, nullable=False),
    sa.Column("labels", sa.Integer, nullable=False),
    sa.Column("macro_f1", sa.Float),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sqlite_autoincrement=True,
)
#: Version -> what makes the next one of it, within the transaction in which the database is opened.
UPGRADES: Mapping[int, Callable[[sa.Connection], None]] = {1: scores.create}


def upgrade(connection: sa.Connection, version: int) -> None:
    """Bring the tables of an older version into the form of the newest, step by step."""
    for step in range(version, NEWEST):
        UPGRADES[step](connection)
    where = facts.c.name == "schema"
    connection.execute(facts.update().where(where).values(value=str(NEWEST)))
