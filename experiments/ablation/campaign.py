"""A campaign: which runs of a plan are missing, and each of them in a process of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ablation.one_run import BUSY, STOPPED, Job, write_job
from ablation.plan import TURNED, Plan, Run
from ablation.results import made_by_plan, read_result
from ablation.train import TRAINED, data_digest
from reddino.evaluation.choices import PUBLISHED
from reddino.evaluation.task_file import Task
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_json
from reddino.smears.opening import open_data

LOG = "log.txt"
Say = Callable[[str], None]


@dataclass
class Campaign:
    """Runs of a plan in a folder.

    Attributes:
        plan: what is computed.
        out: folder of everything.
        paths: manifests by name.
        only: arms that are computed; empty: all.
        folds: that are computed; empty: all.
        keep_tables: leave embedding tables where they are.
        say: takes a line for the reader.
    """

    plan: Plan
    out: Path
    paths: Mapping[str, Path]
    only: Sequence[str] = ()
    folds: Sequence[str] = ()
    keep_tables: bool = False
    say: Say = print
    _fingerprints: dict[str, str] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _children: set[subprocess.Popen[bytes]] = field(default_factory=set)

    def runs(self) -> list[Run]:
        """The runs that are asked for, in order."""
        file = self.plan.file
        known = [*file.arms, *file.networks, *(TURNED + name for name in file.turned)]
        for name in self.only:
            if name not in known:
                raise RedDinoError(f"--only: the plan has no arm '{name}', only: {', '.join(known)}")
        for name in self.folds:
            if name not in file.folds:
                raise RedDinoError(f"--folds: the plan has no fold '{name}', only: {', '.join(file.folds)}")
        return [
            run
            for run in self.plan.runs()
            if (not self.only or run.arm in self.only) and (not self.folds or run.fold in self.folds)
        ]

    def tasks(self, fold: str) -> dict[str, Task]:
        """The tasks of a fold whose data were given."""
        titles = self.plan.file.folds[fold].tasks
        found = {title: self.plan.tasks[title] for title in titles}
        return {title: task for title, task in found.items() if set(task.data) <= set(self.paths)}

    def check(self) -> list[Run]:
        """The runs, after everything that can be checked before the first.

        Raises:
            RedDinoError: data that a pretraining needs were not given, or are not there.
        """
        runs, file = self.runs(), self.plan.file
        for run in runs:
            if run.arm not in file.arms:
                continue
            needed = self.plan.pretrain_names(run)
            if not needed:
                raise RedDinoError(f"the fold '{run.fold}' leaves '{run.arm}' nothing to pretrain on")
            for name in needed:
                if name not in self.paths:
                    raise RedDinoError(
                        f"the fold '{run.fold}' pretrains on '{name}': give its manifest, as in "
                        f"--data {name}=manifest.csv"
                    )
        for name, path in self.paths.items():
            if not path.exists():
                raise RedDinoError(f"--data {name}={path}: there is no such file")
            if name not in self.plan.data_names():
                self.say(f"--data {name}: no fold or task of the plan has data of that name")
        for fold in dict.fromkeys(run.fold for run in runs):
            absent = set(self.plan.file.folds[fold].tasks) - set(self.tasks(fold))
            for title in sorted(absent):
                self.say(f"{fold}: '{title}' is not scored, its data were not given")
            for task in self.tasks(fold).values():
                for name in task.data:
                    self.fingerprint(name)
        return runs

    def fingerprint(self, name: str) -> str:
        """Return the fingerprint of a data set, which is opened once.

        Raises:
            RedDinoError: its manifest cannot be read.
        """
        if name not in self._fingerprints:
            self._fingerprints[name] = open_data(self.paths[name]).fingerprint()
        return self._fingerprints[name]

    def job(self, run: Run) -> Job:
        """What the process of a run gets."""
        file = self.plan.file
        network, recipe, pretrain = run.network, None, dict[str, Path]()
        if run.made_by:
            model = self.out / Run(run.fold, run.made_by, run.seed).folder / "run" / "model"
            network = f"turned:{model}"
        elif not run.network:
            recipe = self.plan.recipe(run.arm, run.seed)
            pretrain = {name: self.paths[name] for name in self.plan.pretrain_names(run)}
        tasks = self.tasks(run.fold)
        return Job(
            campaign=self.out,
            folder=self.out / run.folder,
            fold=run.fold,
            arm=run.arm,
            seed=run.seed,
            recipe=recipe,
            network=network,
            pretrain=pretrain,
            tasks=tasks,
            paths={name: self.paths[name] for task in tasks.values() for name in task.data},
            rare=file.rare,
            scoring=file.scoring,
            keep_tables=self.keep_tables,
            command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            parent=os.getpid(),
        )

    def is_done(self, run: Run) -> bool:
        """Whether every task that can be scored has been, by the same protocol."""
        found = read_result(self.out / run.folder)
        if found is None:
            return False
        if not made_by_plan(self.plan, run, found):
            raise RedDinoError(
                f"{self.out / run.folder} is of another recipe or network than the plan's: give the campaign "
                "another folder, or delete this one"
            )
        if run.arm in self.plan.file.arms:
            names = self.plan.pretrain_names(run)
            data = data_digest({name: self.fingerprint(name) for name in names})
            if found.about["training"].get("data", data) != data:
                raise RedDinoError(
                    f"{self.out / run.folder} was pretrained on other data than those of this command: give "
                    "the campaign another folder, or delete this one"
                )
        if found.about.get("scoring") != self.plan.file.scoring.model_dump(mode="json"):
            raise RedDinoError(
                f"{self.out / run.folder} was scored otherwise (cells, size or precision): give the "
                "campaign another folder, or delete its result.json"
            )
        tasks = self.tasks(run.fold)
        for title in tasks.keys() & found.scored.keys():
            asked = tasks[title].model_dump(mode="json")
            if found.scored[title].detail.get("task", asked) != asked:
                raise RedDinoError(
                    f"{self.out / run.folder}: '{title}' was scored before the task file was changed: give "
                    "the campaign another folder, or delete its result.json"
                )
        return tasks.keys() <= found.scored.keys()

    def compute(self, jobs: int = 1) -> list[str]:
        """Compute what is missing.

        Args:
            jobs: runs at once.

        Returns:
            A sentence for each run that failed.

        Raises:
            KeyboardInterrupt: after the runs that were in progress have been stopped.
        """
        runs = self.check()
        missing = [run for run in runs if not self.is_done(run)]
        self.say(f"{len(runs)} runs, {len(runs) - len(missing)} of them finished before")
        # What is made of another run's model comes after it, and waits for nobody.
        first = [run for run in missing if not run.made_by]
        faults: list[str] = []
        for part in (first, [run for run in missing if run.made_by]) if jobs > 1 else (missing,):
            with ThreadPoolExecutor(jobs) as pool:
                waiting = [pool.submit(self._one, run, f"{i}/{len(part)}") for i, run in enumerate(part, 1)]
                try:
                    for one in waiting:
                        fault = one.result()
                        faults += [fault] if fault else []
                except KeyboardInterrupt:
                    self._end(waiting)
                    raise
        return faults

    def _end(self, waiting: Sequence[object]) -> None:
        """Stop the runs in progress, which keep what they have; no other begins."""
        self._stop.set()
        for child in list(self._children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)

    def _one(self, run: Run, number: str) -> str:
        """Compute one run; returns a sentence where it failed."""
        if self._stop.is_set():
            return ""
        name = f"{run.fold} / {run.arm} / seed {run.seed}"
        folder = self.out / run.folder
        if run.made_by and not (self.out / Run(run.fold, run.made_by, run.seed).folder / TRAINED).is_file():
            return f"{name}: there is no model of '{run.made_by}' yet"
        write_job(folder / "job.json", self.job(run))
        started = time.monotonic()
        with (folder / LOG).open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-m", "ablation.one_run", str(folder / "job.json")],
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,
            )
            self._children.add(child)
            code = child.wait()
            self._children.discard(child)
        if self._stop.is_set() or code == STOPPED:
            return "" if self._stop.is_set() else f"{name}: was asked to stop"
        if code == BUSY:
            self.say(f"[{number}] {name}: another process computes it")
            return ""
        if code:
            self.say(f"[{number}] {name}: failed")
            return f"{name}: {_last_line(folder / LOG)} ({folder / LOG})"
        self.say(f"[{number}] {name}: {_in_short(folder, time.monotonic() - started)}")
        return ""


def _environment() -> dict[str, str]:
    """One thread an operator unless the caller says otherwise, and both packages to be found."""
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    return {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": path}


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1].removeprefix("error: ") if lines else "the process ended without a word"


def _in_short(folder: Path, seconds: float) -> str:
    content = read_json(folder / "result.json")
    trained = content["training"].get("seconds")
    scores = ", ".join(
        f"{title} " + "/".join(f"{one['values'][f'{name} macro F1']:.3f}" for name in PUBLISHED)
        for title, one in content["tasks"].items()
    )
    took = f"trained {trained / 60:.1f} min, " if trained else ""
    return (
        f"{took}scored {content['scoring_seconds']:.0f} s, {seconds / 60:.1f} min in all; macro F1 {scores}"
    )
