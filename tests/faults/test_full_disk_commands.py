"""Every command that writes, on a full disk: a sentence, nothing half-written, and then it continues."""

from __future__ import annotations

import pytest
from commands import COMMANDS, Command
from stage import Stage
from verb_server import Fault

#: Bytes that no file may grow past.
SIZES = (0, 400, 20_000)
#: SQLite has words of its own for a full disk: tests/reviewing/test_review_database.py.
WRITERS = [command for command in COMMANDS if command.name != "labels"]


@pytest.mark.parametrize("command", WRITERS, ids=[command.name for command in WRITERS])
def test_full_disk__is_a_sentence_and_the_next_run_goes_on(stage: Stage, command: Command) -> None:
    stage.undisturbed(command)
    for size in SIZES:
        ended = stage.run(command, Fault(size=size))
        print(f"{size} bytes: {ended.output}")
        assert "Traceback" not in ended.output
        assert ended.code == 1 or (ended.code == 0 and size), ended.output
        assert stage.leftovers() == []
        if ended.code == 0:
            stage.clear()
        else:
            assert "could not be written (File too large)" in " ".join(ended.output.split())
    stage.require_the_same(command)
