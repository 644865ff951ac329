"""Running scores in the database: what shows, after a restart too, whether more labels still help."""

from __future__ import annotations

from reddino.reviewing.event_rows import now
from reddino.reviewing.records import ScoreRecord
from reddino.reviewing.schema import sa, scores


def read(connection: sa.Connection, view: str) -> list[ScoreRecord]:
    """Return the scores of a view, in their order."""
    found = connection.execute(
        sa.select(scores.c.labels, scores.c.macro_f1, scores.c.low, scores.c.high)
        .where(scores.c.view == view)
        .order_by(scores.c.number)
    )
    return [ScoreRecord(*row) for row in found]


def insert(connection: sa.Connection, view: str, score: ScoreRecord) -> None:
    """Keep a score, unless the last one of the view is the same for as many labels."""
    if [score] == read(connection, view)[-1:]:
        return
    values = {"labels": score.labels, "macro_f1": score.macro_f1, "low": score.low, "high": score.high}
    connection.execute(scores.insert().values(at=now(), view=view, **values))
