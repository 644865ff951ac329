"""Commands in this process write no lines of stages, whose number depends on the machine's speed."""

from __future__ import annotations

import pytest

from reddino.cli import terminal


@pytest.fixture(autouse=True)
def no_lines_of_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal._lines, "_write", lambda text: None)
