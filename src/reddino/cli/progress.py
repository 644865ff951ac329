"""What the user sees of a stage: a bar in a terminal, log lines where there is none."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from reddino.foundations.stages import Advance
from reddino.foundations.visible import visible

#: Seconds after which a stage is shown in a terminal; those that end before it would only flicker.
PATIENCE = 0.5
#: Seconds of a stage that leaves a trace when it is over, and after which a log has its first line.
LONG = 2.0
#: Seconds of a stage at which a log has a line more; from the last on, as often again.
LINES = (LONG, 10.0, 30.0, 60.0)


class _Rate(ProgressColumn):
    """Things a second, over the last few seconds."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.1f}/s", style="progress.data.speed")


class _CountColumn(MofNCompleteColumn):
    """How many of how many; nothing where a stage does not count."""

    def render(self, task: Task) -> Text:
        return super().render(task) if task.total or task.completed else Text("")


class _Bars(Progress):
    """Bars of the stages that have lasted a moment; a stage around others has one once it counts itself."""

    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            _CountColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table of the bars that are shown."""
        tasks = self.tasks
        yield self.make_tasks_table(
            [
                task
                for task in tasks
                if (task.elapsed or 0.0) >= PATIENCE
                and (task is tasks[-1] or task.finished or task.total is not None)
            ]
        )


class Bars:
    """Shows stages as bars on a terminal; those that lasted stay when they are over."""

    def __init__(self, console: Callable[[], Console]) -> None:
        self._console = console
        self._bars: _Bars | None = None
        self._open = 0

    @contextmanager
    def __call__(self, name: str) -> Iterator[Advance]:
        """Show a stage."""
        if self._bars is None:
            self._bars = _Bars(self._console())
            self._bars.start()
        bars = self._bars
        task = bars.add_task(name, total=None)
        self._open += 1

        def advance(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total or None)

        try:
            yield advance
        finally:
            self._end(bars, task)

    def _end(self, bars: _Bars, task: TaskID) -> None:
        """Take a short stage away, and let the screen go with the outermost."""
        if bars is not self._bars:
            return  # closed before: the stage was left by an error
        self._open -= 1
        ended = next(one for one in bars.tasks if one.id == task)
        if (ended.elapsed or 0.0) < LONG:
            bars.remove_task(task)
        elif ended.total is None:
            bars.update(task, total=1, completed=1)
        if not self._open:
            self.close()

    def close(self) -> None:
        """Let the screen go, whatever stages are open."""
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._open = None, 0


@dataclass(eq=False)
class _Stage:
    name: str
    began: float = field(default_factory=time.monotonic)
    lines: int = 0
    done: int = 0
    total: int = 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    @property
    def due(self) -> float:
        """Seconds at which the next line is due."""
        return LINES[self.lines] if self.lines < len(LINES) else LINES[-1] * (self.lines - len(LINES) + 2)

    def text(self) -> str:
        if not self.done and not self.total:
            return f"{self.name} ..." if self.lines < 2 else f"{self.name}: {self.seconds:,.0f} s so far"
        of = f" of {self.total:,} ({100 * self.done // self.total} %)" if self.total else ""
        return f"{self.name}: {self.done:,}{of} after {self.seconds:,.0f} s"


class Lines:
    """Writes a line of a stage that lasts now and then, for logs; the innermost alone, while it is open."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._stages: list[_Stage] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def __call__(self, name: str) -> Iterator[Advance]:
        """Report a stage."""
        mine = _Stage(name)
        with self._lock:
            self._stages.append(mine)
        self._watch()

        def advance(done: int, total: int) -> None:
            mine.done, mine.total = done, total

        finished = False
        try:
            yield advance
            finished = True
        finally:
            self._end(mine, finished)

    def _watch(self) -> None:
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name="stages", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.2):
            with self._lock:
                inner = self._stages[-1] if self._stages else None
                if inner is not None and inner.seconds >= inner.due:
                    inner.lines += 1
                    self._write(inner.text())

    def _end(self, ended: _Stage, finished: bool) -> None:
        with self._lock:
            if ended not in self._stages:
                return  # closed before: the stage was left by an error
            self._stages.remove(ended)
            if ended.lines and finished:
                count = f" {ended.done:,}" if ended.done else ""
                self._write(f"{ended.name}:{count} done in {ended.seconds:,.0f} s")
            last = not self._stages
        if last:
            self.close()

    def close(self) -> None:
        """Report nothing more of any stage."""
        with self._lock:
            self._stages.clear()
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None


def line_writer(console: Callable[[], Console]) -> Callable[[str], None]:
    """Return what writes a line of a log, with the time before it."""

    def write(text: str) -> None:
        console().print(visible(f"{time.strftime('%H:%M:%S')} INFO {text}", keep=""), soft_wrap=True)

    return write
