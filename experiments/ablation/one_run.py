"""One run of a campaign in a process of its own: `python -m ablation.one_run JOB.json`.

A process each, so that memory that one run held is given back, and a run that dies takes no other along.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from ablation.plan import Scoring
from ablation.results import read_result, write_result
from ablation.score import score_model
from ablation.train import trained_model
from reddino.evaluation.task_file import Task
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import only_one
from reddino.foundations.provenance import provenance
from reddino.foundations.structured import read_json
from reddino.pretraining.run.recipe import Recipe

#: Exit codes: an error that was explained, a run that another process computes, one that was asked to stop.
FAILED, BUSY, STOPPED = 1, 3, 130
#: Seconds that a run waits for another process of the same run.
WAIT = 30


class Job(BaseModel):
    """All that a run needs.

    Attributes:
        campaign, folder: of the campaign and of the run.
        fold, arm, seed: which run it is.
        recipe: of its pretraining; None where `network` is scored as it is.
        pretrain: manifests of the pretraining by name.
        tasks, paths: what is scored, and manifests by name.
        command: that started the campaign, for the result.
        parent: process that waits for this one.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaign: Path
    folder: Path
    fold: str
    arm: str
    seed: int
    recipe: Recipe | None = None
    network: str = ""
    pretrain: Mapping[str, Path] = {}
    tasks: Mapping[str, Task]
    paths: Mapping[str, Path]
    rare: Mapping[str, tuple[str, ...]] = {}
    scoring: Scoring
    keep_tables: bool = False
    command: str = ""
    parent: int = 0


def run_job(job: Job) -> None:
    """Train and score what is not there yet."""
    job.folder.mkdir(parents=True, exist_ok=True)
    with _claimed(job.folder):
        model, training = job.network, dict[str, Any]()
        if job.recipe is not None:
            model, training = trained_model(
                job.recipe, job.pretrain, job.folder, job.campaign, lambda: _wanted(job.parent)
            )
        before = read_result(job.folder)
        known = {} if before is None else dict(before.scored)
        missing = {title: task for title, task in job.tasks.items() if title not in known}
        if not missing:
            return
        started, worked = time.monotonic(), time.process_time()
        scored = score_model(
            model,
            missing,
            job.paths,
            job.scoring,
            job.folder / "tables",
            rare=job.rare,
            keep_tables=job.keep_tables,
        )
        spent = {
            "scoring_seconds": round(time.monotonic() - started, 1),
            "scoring_cpu_seconds": round(time.process_time() - worked, 1),
        }
        write_result(job.folder, {**_about(job, training), **spent}, {**known, **scored})


@contextmanager
def _claimed(folder: Path) -> Iterator[None]:
    """Be the only process of a run; wait a little for one whose campaign was killed."""
    busy = f"another process computes {folder}"
    with ExitStack() as held:
        for tries_left in reversed(range(WAIT)):
            try:
                held.enter_context(only_one(folder / "run.lock", busy))
                break
            except RedDinoError:
                if not tries_left:
                    raise
                time.sleep(1.0)
        yield


def _about(job: Job, training: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "provenance": {**provenance(seed=job.seed, data=training.get("data")), "command": job.command},
        "fold": job.fold,
        "arm": job.arm,
        "seed": job.seed,
        "network": job.network,
        "scoring": job.scoring.model_dump(mode="json"),
        "training": dict(training),
    }


def _wanted(parent: int) -> None:
    """Stop when the campaign that waits for this run was killed."""
    if parent and os.getppid() != parent:
        raise KeyboardInterrupt


def main() -> int:
    """Run the job of a file; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("reddino").setLevel(logging.INFO)
    path = Path(sys.argv[1])
    try:
        run_job(Job.model_validate(read_json(path)))
    except RedDinoError as error:
        print(f"error: {error}", file=sys.stderr)
        return BUSY if str(error).startswith("another process computes") else FAILED
    except KeyboardInterrupt:
        return STOPPED
    return 0


def write_job(path: Path, job: Job) -> None:
    """Write a job to its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(job.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
