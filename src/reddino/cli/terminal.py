"""The terminal: progress, log lines, tables, and errors as one sentence."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.logging import RichHandler
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from reddino.cli.progress import Bars, Lines, line_writer
from reddino.cli.tables import captions, fitted, table_width
from reddino.foundations.errors import RedDinoError
from reddino.foundations.full_disk import no_space
from reddino.foundations.launch import launched
from reddino.foundations.signals import stopped_by_signals
from reddino.foundations.stages import Advance, shown_by
from reddino.foundations.url_spelling import spelled
from reddino.foundations.visible import visible


class _PlainConsole(Console):
    """A console on which text is what it is: no markup, no emoji for `:smile:`, nothing that acts.

    Names from data and messages that quote them reach the terminal through it alone, so that a label cannot
    clear the screen, hide behind another or break a table.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text, written out before it is measured."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield segments, of which those that others made are written out too."""
        for segment in super().render(renderable, options):
            shown = segment.text if segment.control else visible(segment.text)
            yield segment if shown == segment.text else Segment(shown, segment.style)


#: Results go to stdout, so that they can be piped; everything else goes to stderr.
OUT = _PlainConsole()
ERR = _PlainConsole(stderr=True)

#: Exit codes; a wrong command line ends with 2.
FAILED, INTERRUPTED, PIPE_CLOSED = 1, 130, 141


def is_main_process() -> bool:
    """Return whether this is the first of torchrun's processes, which writes for all of them."""
    return launched().rank == 0


_bars = Bars(lambda: ERR)
_lines = Lines(line_writer(lambda: ERR))


@contextmanager
def progress_bar(what: str) -> Iterator[Advance]:
    """Show a stage: a bar in a terminal, else log lines; yield the function (done, total) that moves it.

    Of torchrun's processes, the first alone shows anything.
    """
    if not is_main_process():
        yield lambda done, total: None
        return
    with (_bars if ERR.is_terminal else _lines)(what) as advance:
        yield advance


@contextmanager
def _stages_shown() -> Iterator[None]:
    """Show the stages of a command, and leave the screen to errors."""
    with shown_by(progress_bar):
        try:
            yield
        finally:
            _bars.close()
            _lines.close()


class _PlainFormatter(logging.Formatter):
    """Log lines in which nothing acts, nor breaks the line but a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(spelled(super().format(record)), keep="\n" if record.exc_info else "")


def show_log(level: int = logging.INFO) -> None:
    """Print the package's log lines on stderr: above a progress bar, or unbroken where it is a file."""
    handler: logging.Handler
    if ERR.is_terminal:
        handler = RichHandler(console=ERR, show_path=False, log_time_format="%H:%M:%S", markup=False)
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_PlainFormatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("reddino")
    logger.setLevel(level if is_main_process() else logging.WARNING)
    logger.handlers = [handler]
    logger.propagate = False


def print_line(sentence: str) -> None:
    """Print a line of the result on stdout, never broken nor coloured, whatever names it quotes."""
    OUT.print(visible(spelled(sentence), keep=""), soft_wrap=True)


def show_tables(tables: Sequence[Table]) -> None:
    """Print tables within the terminal's width, or 100 columns; numbers are never cut.

    A table of more numbers is printed in parts, below each other, and its caption once, below all of them.
    """
    width = table_width(OUT)
    for table in tables:
        notes = captions(table)
        for part in fitted(table, OUT, width):
            _PlainConsole(width=max(width, Measurement.get(OUT, OUT.options, part).minimum)).print(part)
        for note in notes:
            _PlainConsole(width=width).print(note)


def complain(sentence: str) -> None:
    """Print an error or a remark on stderr, as one line, whatever names it quotes."""
    ERR.print(visible(spelled(f"reddino: {sentence}"), keep=""), soft_wrap=True)


class _Complaints(logging.Handler):
    """Warnings of the package as remarks, in commands that show no log."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


def hold_standard_files() -> None:
    """Make stdout and stderr take every text, whatever their encoding, and be there if they were closed.

    A file opened later would otherwise get the number of a closed one, and with it what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def exit_code_of(command: Callable[[], int | None]) -> int:
    """Run a command; print its error as one sentence, and return the exit code.

    SIGTERM and SIGHUP end a command as Ctrl-C does. Tracebacks remain for our own faults.
    """
    hold_standard_files()
    logger = logging.getLogger("reddino")
    if not logger.handlers:
        logger.addHandler(_Complaints(logging.WARNING))
    try:
        with stopped_by_signals(), _stages_shown():
            return command() or 0
    except RedDinoError as error:
        complain(str(error))
    except KeyboardInterrupt as stop:
        complain(str(stop) or "stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; nothing more can be written to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except UnicodeEncodeError as error:
        if "surrogates" not in error.reason:
            raise
        complain(f"'{error.object}' is no name in UTF-8: rename that file or folder.")
    except Exception as error:
        complain(_disk_error(error))
    return FAILED


def _disk_error(error: Exception) -> str:
    """Return the sentence of an error that is the disk's, not ours; raise any other again."""
    reason = no_space(error)
    named = getattr(error, "filename", None)
    if reason is not None:
        where = named or "a file"
        return f"{where} could not be written ({reason}): free some space and run the same command again"
    if isinstance(error, OSError):
        return f"{named or 'a file could not be read or written'}: {error.strerror or error}."
    raise error
