"""What the person sees of a long command: how far, how fast, and how long it still takes."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reddino.cli import progress as progress_module
from reddino.cli import terminal


def test_progress_bar__shows_count_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, highlight=False, color_system=None)
    monkeypatch.setattr(terminal, "ERR", console)
    monkeypatch.setattr(progress_module, "PATIENCE", 0.0)
    monkeypatch.setattr(progress_module, "LONG", 0.0)
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


HOSTILE = "\x1b[2J\x07\r\x9b31m[red]x[/] [/] :smile: \x1b]8;;http://x\x1b\\ a\u202eb \u200b[link=file:///x]"
SHOWN = r"\x1b[2J\x07\r\x9b31m[red]x[/] [/] :smile: \x1b]8;;http://x\x1b\ a\u202eb \u200b[link=file:///x]"


def _console(**options: Any) -> tuple[io.BytesIO, Console]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="utf-8", write_through=True)
    return raw, terminal._PlainConsole(file=file, width=400, **options)


def _printed(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> str:
    raw, console = _console()
    monkeypatch.setattr(terminal, "OUT", console)
    monkeypatch.setattr(terminal, "ERR", console)
    action()
    return raw.getvalue().decode()


def test_say_and_complain__print_text_as_it_is_with_what_acts_written_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _printed(monkeypatch, lambda: terminal.print_line(HOSTILE)) == f"{SHOWN}\n"
    assert _printed(monkeypatch, lambda: terminal.complain(HOSTILE)) == f"reddino: {SHOWN}\n"


def test_tables__print_cells_names_titles_and_captions_as_they_are() -> None:
    raw, console = _console(color_system="truecolor", force_terminal=True)
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE, box=None)
    table.add_row(HOSTILE)
    table.add_row(Text("\x1b[2J"))
    console.print(table)
    text = raw.getvalue().decode()
    assert text.count(SHOWN) == 4
    assert "\\x1b[2J" in text
    # What is left of escapes are rich's own styles.
    assert set(re.findall(r"\x1b.{0,6}?m", text)) <= {"\x1b[0m", "\x1b[1m", "\x1b[3m", "\x1b[2;3m", "\x1b[2m"}
    assert text.count("\x1b") == len(re.findall(r"\x1b\[[\d;]*m", text))


def test_log__lines_are_written_out_too(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("reddino")
    before = logger.handlers, logger.level, logger.propagate
    try:
        terminal.show_log()
        logger.warning("label %s", HOSTILE)
    finally:
        logger.handlers, logger.level, logger.propagate = before
    assert f"WARNING label {SHOWN}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "settings",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "cp1252"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_output__reaches_consoles_that_are_not_utf8(settings: dict[str, str]) -> None:
    code = (
        "from reddino.cli import terminal\nfrom rich.table import Table\n"
        "name = '\\u68d8\\u7ea2 \\u20ac \\xb1 \\u2026'\n"
        "def run():\n"
        "    terminal.print_line(name); terminal.complain(name); t = Table(name); t.add_row(name)\n"
        "    terminal.show_tables([t])\n"
        "    with terminal.progress_bar(name) as p: p(1, 2)\n"
        "    terminal.show_log(); terminal.logging.getLogger('reddino').warning(name)\n"
        "raise SystemExit(terminal.exit_code_of(run))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **settings}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert rb"\u68d8\u7ea2" in done.stdout
    assert rb"reddino: \u68d8\u7ea2" in done.stderr
    assert b"Error" not in done.stderr


def test_output__to_closed_files_goes_nowhere_and_into_no_file(tmp_path: Path) -> None:
    code = (
        "import os\nfrom reddino.cli import terminal\n"
        "def run():\n"
        f"    file = open({str(tmp_path / 'data')!r}, 'wb')\n"
        "    assert file.fileno() > 2\n"
        "    terminal.print_line('a'); terminal.complain('b')\n"
        "raise SystemExit(terminal.exit_code_of(run))"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&- 2>&- <&-', sys.executable, "-c", code], check=False
    )
    assert done.returncode == 0


def test_exit_code_of__names_a_file_whose_name_is_not_utf8(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from reddino.smears.manifest import read_manifest

    path = tmp_path / "caf\udce9.csv"
    path.write_bytes(b"path\na.png\n")
    codes: list[int] = []

    def command() -> None:
        read_manifest(path)

    def run() -> None:
        codes.append(terminal.exit_code_of(command))

    text = _printed(monkeypatch, run)
    assert codes == [1]
    assert r"caf\udce9.csv' is no name in UTF-8: rename that file or folder." in text


def test_complain_and_say__stay_on_one_line_whatever_names_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "a\nreddino: all is well\r\nb"
    shown = r"a\nreddino: all is well\r\nb"
    assert _printed(monkeypatch, lambda: terminal.print_line(name)) == f"{shown}\n"
    assert _printed(monkeypatch, lambda: terminal.complain(name)) == f"reddino: {shown}\n"


def test_log__lines_break_in_tracebacks_alone(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("reddino")
    before = logger.handlers, logger.level, logger.propagate
    try:
        terminal.show_log()
        logger.warning("label %s", "a\nb")
        try:
            raise ValueError("no")
        except ValueError:
            logger.exception("failed")
    finally:
        logger.handlers, logger.level, logger.propagate = before
    printed = capsys.readouterr().err
    assert r"WARNING label a\nb" in printed
    assert "\nValueError: no\n" in printed


def test_command_line__loads_no_heavy_library_before_a_command_needs_it() -> None:
    heavy = ("torch", "timm", "sklearn", "scipy", "skimage", "matplotlib", "pandas", "umap")
    code = (
        "import sys\nfrom reddino import cli\ncli.main(['--help'])\n"
        f"print(*(name for name in {heavy!r} if name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
