"""Nothing that was confirmed is lost: not when writers are killed, and not when several write at once."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from review_cells import review_cells
from review_writers import CELLS, PROCESSES, write

from reddino.reviewing.database import ReviewDatabase

pytestmark = pytest.mark.usefixtures("forks")

#: Of a test marked `kills`; twenty rounds of it are 100.
KILLS = 5
ACTS = 40


def writer(where: str, reader: str, acts: int, seed: int) -> tuple[Any, Any]:
    """Start a writer; return the process and the pipe of what it was told."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=write, args=(where, reader, acts, seed, there), daemon=True)
    process.start()
    there.close()
    return process, here


def told(pipe: Any) -> list[Any]:
    """All that a writer sent before its end."""
    found: list[Any] = []
    try:
        while (one := pipe.recv()) is not None:
            found.append(one)
    except EOFError:  # it was killed
        pass
    return found


@pytest.mark.kills
def test_killed_writers__lose_nothing_that_was_confirmed(database_url: str) -> None:
    draw = np.random.default_rng()
    confirmed: list[Any] = []
    for _ in range(KILLS):
        process, pipe = writer(database_url, "Ada", 100_000, int(draw.integers(2**31)))
        assert pipe.poll(60)
        time.sleep(draw.uniform(0, 0.15))
        process.kill()
        process.join()
        confirmed += told(pipe)
    with ReviewDatabase.open(database_url, review_cells(CELLS)) as review:
        events = review.events()
        if review._connector.file is not None:
            with review._connector.reading() as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        there = {event.number: (event.number, event.kind, event.cells) for event in events}
        assert [there.get(one[0]) for one in confirmed] == confirmed and len(confirmed) >= KILLS
        assert len(events) <= len(confirmed) + KILLS  # at most one act a kill was on its way
        assert all(event.cells for event in events)  # none was written by half
        assert review.state().last_event == events[-1].number


def test_writers_at_once__lose_nothing_and_a_watcher_misses_nothing(database_url: str) -> None:
    started = [writer(database_url, name, ACTS, seed) for seed, name in enumerate(("Ada", "Ben"))]
    watched: list[int] = []
    with ReviewDatabase.open(database_url, review_cells(CELLS)) as review:
        while any(process.is_alive() for process, _ in started):
            watched += [event.number for event in review.events(after=watched[-1] if watched else 0)]
            review.state()
        confirmed = [told(pipe) for _, pipe in started]
        watched += [event.number for event in review.events(after=watched[-1])]
        assert [len(one) for one in confirmed] == [ACTS, ACTS]
        assert (
            watched == sorted(one[0] for of_one in confirmed for one in of_one)
            and len(set(watched)) == 2 * ACTS
        )
        assert [one.name for one in review.classes()] == ["ring"]
        step_by_step = review.state()
    with ReviewDatabase.open(database_url, review_cells(CELLS)) as review:
        assert review.state() == step_by_step
