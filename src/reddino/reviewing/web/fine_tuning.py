"""Fine-tuning on demand: `reddino fit --fine-tune` on the labels so far, in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import visible
from reddino.smears.manifest import Manifest, write_manifest

#: How much more readily the page's server gets the processor than the training.
NICER = 5
#: What `fit` writes its result to, in the classifier's folder.
REPORT = "classifier.json"
_FAR = re.compile(r"\((\d+) ?%\)")
#: Time and level, which a log line of `fit` begins with.
_WHEN = re.compile(r"^\d\d:\d\d:\d\d [A-Z]+ +")
_ERROR = re.compile(r"^reddino: (.*)", re.MULTILINE)


@dataclass(frozen=True)
class TunedState:
    """How far a fine-tuning is.

    Attributes:
        state: `none` has been requested, one is `running`, or it is `done`, `failed` or `stopped`.
        labels: cells with a class that it learns from.
        where: folder of the classifier.
        text: what was logged last: how far it is, the result, or why there is none.
        percent: of the steps; None where that is not known.
    """

    state: Literal["none", "running", "done", "failed", "stopped"] = "none"
    labels: int = 0
    where: str = ""
    text: str = ""
    percent: int | None = None


class FineTuning:
    """Runs one fine-tuning at a time, below the priority of the page.

    Args:
        folder: in which each gets a folder of its own, numbered.
        labelled: returns the cells with a class, as a manifest.
        options: further options of `reddino fit`, such as `--model`.
        program: that has the command `fit`.
    """

    def __init__(
        self,
        folder: Path,
        labelled: Callable[[], Manifest],
        options: Sequence[str] = (),
        program: Sequence[str] = (sys.executable, "-m", "reddino"),
    ) -> None:
        self._folder, self._labelled, self._options, self._program = folder, labelled, options, program
        self._process: subprocess.Popen[bytes] | None = None
        self._begun, self._stopped = TunedState(), False
        self._lock = threading.Lock()

    def start(self) -> TunedState:
        """Write the labels, and start to learn from them.

        Raises:
            RedDinoError: one is running, or there are no labels of two classes.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise RedDinoError("a fine-tuning is running: wait for it, or stop it")
            cells = self._labelled()
            if len(set(cells.strings("label"))) < 2:
                raise RedDinoError("fine-tuning needs labels of two classes: label more cells first")
            place = self._new_place()
            write_manifest(cells, place / "labels.csv")
            command = [*self._program, "fit", str(place / "labels.csv"), "--fine-tune", *self._options]
            command += ["--out", str(place / "classifier")]
            with (place / "fit.log").open("wb") as log:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
                )
            _step_back(self._process.pid)
            self._stopped = False
            self._begun = TunedState("running", len(cells), str(place / "classifier"), "starting")
            return self._begun

    def stop(self) -> TunedState:
        """End what is running; the labels stay, and so does what was tuned before."""
        process = self._process
        if process is not None and process.poll() is None:
            self._stopped = True
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return self.state()

    def state(self) -> TunedState:
        """Return how far it is."""
        process, begun = self._process, self._begun
        if process is None:
            return begun
        place = Path(begun.where)
        logged = _end_of(place.parent / "fit.log")
        if process.poll() is None:
            last = _WHEN.sub("", logged.strip().rpartition("\n")[2])
            return _changed(begun, "running", last or "starting", _percent(logged))
        if self._stopped:
            return _changed(begun, "stopped", "stopped")
        if process.returncode == 0:
            return _changed(begun, "done", _result(place), 100)
        errors = _ERROR.findall(logged)
        why = errors[-1] if errors else f"it ended with {process.returncode}; {place.parent / 'fit.log'}"
        return _changed(begun, "failed", why)

    def _new_place(self) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while True:
            try:
                (self._folder / str(number)).mkdir()
                return self._folder / str(number)
            except FileExistsError:
                number += 1


def tuned_shown(state: TunedState) -> dict[str, Any]:
    """Return the state in the form that the page takes."""
    return {
        "state": state.state,
        "labels": state.labels,
        "where": visible(state.where, keep=""),
        "text": visible(state.text, keep=""),
        "percent": state.percent,
    }


def _step_back(process: int) -> None:
    """Let a process wait for others, where the system supports it."""
    if hasattr(os, "setpriority"):
        lower = min(19, os.getpriority(os.PRIO_PROCESS, process) + NICER)
        os.setpriority(os.PRIO_PROCESS, process, lower)


def _changed(begun: TunedState, state: Any, text: str, percent: int | None = None) -> TunedState:
    return TunedState(state, begun.labels, begun.where, text, percent)


def _end_of(log: Path) -> str:
    """Return the end of a log; "" where there is none yet."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 8000))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _percent(logged: str) -> int | None:
    found = _FAR.findall(logged)
    return int(found[-1]) if found else None


def _result(place: Path) -> str:
    """Return the result in the classifier's own report, in a sentence."""
    try:
        report = json.loads((place / REPORT).read_text("utf-8"))["report"]
        score, between = report["scores"]["macro_f1"], report["intervals"].get("macro_f1")
    except (OSError, ValueError, KeyError, AttributeError):
        return "fitted"
    spread = "" if between is None else f" ({between[0]:.2f} to {between[1]:.2f})"
    doubt = "" if report.get("evidence", True) else "; no evidence, see the notes in classifier.json"
    return f"macro F1 {score:.2f}{spread} on groups held out{doubt}"
