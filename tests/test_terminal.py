"""What the person sees of a long command: how far, how fast, and how long it still takes."""

from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from reddino import terminal


def test_progress_bar__shows_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, highlight=False, color_system=None)
    monkeypatch.setattr(terminal, "ERR", console)
    with terminal.progress_bar("views") as progress:
        for done in (0, 40, 50, 60):
            progress(done, 1_000_000)
            time.sleep(0.05)
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).strip().splitlines()[-1]
    assert re.search(r"views .* 60/1000000 +[\d.]+/s +\d:\d\d:\d\d +\d+:\d\d:\d\d", last), last
    *_, elapsed, left = last.split()
    assert elapsed.startswith("0:00:0")
    # A million views at this rate take much longer than the few moments that have passed.
    assert left > "0:00:10"
