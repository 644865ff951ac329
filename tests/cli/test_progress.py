"""Stages of a command: a bar in a terminal, lines in a log, nothing of what is over at once."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from reddino.cli import progress, terminal
from reddino.foundations import stages
from reddino.foundations.errors import RedDinoError


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines of a log, the first of which is due at once."""
    monkeypatch.setattr(progress, "LINES", (0.0, 10.0))
    return []


def _until(condition: Callable[[], object]) -> None:
    """Wait until the thread that writes lines has done so."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def test_lines__name_a_stage_that_lasts_and_say_when_it_is_done(lines: list[str]) -> None:
    show = progress.Lines(lines.append)
    with stages.shown_by(show), stages.stage("finding copies") as advance:
        advance(1200, 4000)
        _until(lambda: lines)
    assert re.fullmatch(r"finding copies: 1,200 of 4,000 \(30 %\) after \d+ s", lines[0])
    assert re.fullmatch(r"finding copies: 1,200 done in \d+ s", lines[1])
    assert len(lines) == 2


def test_lines__are_of_the_innermost_stage(lines: list[str]) -> None:
    show = progress.Lines(lines.append)
    with stages.shown_by(show), stages.stage("views"), stages.stage("opening reddino-tiny"):
        _until(lambda: lines)
    assert lines[0] == "opening reddino-tiny ..."


def test_lines__after_the_first_say_how_long_a_stage_lasts(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINES", (0.0, 0.1, 1000.0))
    with stages.shown_by(progress.Lines(lines.append)), stages.stage("opening reddino-tiny"):
        _until(lambda: len(lines) == 2)
    assert lines[0] == "opening reddino-tiny ..."
    assert re.fullmatch(r"opening reddino-tiny: \d+ s so far", lines[1])


def test_lines__of_a_stage_that_failed_do_not_call_it_done(lines: list[str]) -> None:
    show = progress.Lines(lines.append)
    with pytest.raises(ValueError, match="no"), stages.shown_by(show), stages.stage("views"):
        _until(lambda: lines)
        raise ValueError("no")
    assert lines == ["views ..."]


def test_lines__of_a_stage_that_is_over_at_once_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    with stages.shown_by(progress.Lines(written.append)):
        assert list(stages.watched([1, 2, 3], "counting")) == [1, 2, 3]
    assert written == []


def test_lines__that_are_due_become_rarer() -> None:
    stage = progress._Stage("x")
    due = []
    for stage.lines in range(8):
        due.append(stage.due)
    assert due == [2.0, 10.0, 30.0, 60.0, 120.0, 180.0, 240.0, 300.0]


def test_bars__show_the_stage_within_one_that_does_not_count_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "LONG", 0.0)
    show = progress.Bars(lambda: console)
    with stages.shown_by(show), stages.stage("views"):
        with stages.stage("measuring cell diameters"):
            time.sleep(0.3)
        shown = screen.getvalue().rsplit("\x1b[2K", 1)[-1]
        assert "measuring cell diameters" in shown
        assert "views" not in shown
    assert "views" in screen.getvalue()


def test_bars__of_short_stages_are_taken_away() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    with stages.shown_by(progress.Bars(lambda: console)), stages.stage("a moment"):
        pass
    assert "a moment" not in screen.getvalue()


def test_command__that_fails_within_a_stage_leaves_the_screen_to_its_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(terminal, "ERR", Console(file=screen, force_terminal=True, width=100))

    def fail() -> int:
        for _ in stages.watched([1, 2], "counting"):
            raise RedDinoError("a.png is damaged: bytes are missing; copy it again")
        return 0

    assert terminal.exit_code_of(fail) == 1
    assert terminal._bars._bars is None
    assert "a.png is damaged" in screen.getvalue()


def test_stage__is_shown_by_nobody_outside_of_commands() -> None:
    with stages.stage("quiet") as advance:
        advance(1, 2)
