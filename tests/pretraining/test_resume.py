"""A run that is interrupted, however hard, and resumed learns bit for bit what an undisturbed one learns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from micro_run import checkpoint_digest, draw_images, micro_recipe, run_micro

from reddino.foundations.errors import RedDinoError
from reddino.networks.encoder import Encoder
from reddino.networks.folder import read_card
from reddino.pretraining import train as loop
from reddino.pretraining.data.image_cache import open_cache
from reddino.pretraining.data.stream import make_stream
from reddino.pretraining.run.checkpoint import list_checkpoints, step_of
from reddino.pretraining.run.folder import read_metrics
from reddino.smears.manifest import Manifest, write_manifest

STEPS, EVERY = 14, 4
#: Fourteen steps, a checkpoint every four, drop path and a moving centre, which a checkpoint must hold too.
LONG = [
    f"run.samples={STEPS * 4}", f"runtime.checkpoint_every={EVERY}", "runtime.log_every=1",
    "loss.centering=moving-average", "model.drop_path=0.3",
]  # fmt: skip
WITH_WORKERS = [*LONG, "runtime.workers=2"]
#: The same with a guide, whose words are standardised by all that was seen.
DISTILLED = [*LONG, "distill.teacher=untrained:test_efficientnet"]


class Undisturbed:
    """The images, and what a run that nobody interrupts makes of them."""

    def __init__(self, folder: Path, overrides: list[str]) -> None:
        self.images, self.overrides = draw_images(folder / "images"), overrides
        write_manifest(self.images, folder / "images" / "manifest.csv")
        self.folder = folder / "undisturbed"
        assert run_micro(self.images, self.folder, overrides).finished
        self.digest = checkpoint_digest(self.folder)

    def resumes_to_the_same(self, folder: Path) -> None:
        """Resume the run in `folder` and hold everything it leaves to the undisturbed one."""
        assert run_micro(self.images, folder, self.overrides).finished
        assert checkpoint_digest(folder) == self.digest
        assert read_card(folder / "model").weights_hash == read_card(self.folder / "model").weights_hash
        assert numbers_of(folder) == numbers_of(self.folder)
        assert [record["step"] for record in read_metrics(folder)] == list(range(1, STEPS + 1))
        assert not list(folder.rglob(".*.partial"))


def numbers_of(folder: Path) -> list[dict[str, Any]]:
    """The records of a run, but for its speed."""
    return [
        {name: value for name, value in record.items() if name != "samples_per_s"}
        for record in read_metrics(folder)
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("resume"), LONG)


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    return Undisturbed(tmp_path_factory.mktemp("distilled"), DISTILLED)


class Died(BaseException):
    """Ends a run from within, as a fault would."""


def dies_after(step: int) -> Callable[[int, int], None]:
    def progress(done: int, _planned: int) -> None:
        if done == step:
            raise Died

    return progress


@pytest.mark.parametrize("step", [0, EVERY - 1, EVERY, EVERY + 1, STEPS - 1, STEPS])
def test_resume__after_any_step(undisturbed: Undisturbed, tmp_path: Path, step: int) -> None:
    with pytest.raises(Died):
        run_micro(undisturbed.images, tmp_path / "run", LONG, progress=dies_after(step))
    checkpoints = [step_of(path) for path in list_checkpoints(tmp_path / "run" / "checkpoints")]
    assert max(checkpoints, default=0) == max(0, step - 1) // EVERY * EVERY
    undisturbed.resumes_to_the_same(tmp_path / "run")


@pytest.mark.parametrize("step", [EVERY + 2, STEPS])
def test_resume__of_a_distillation(distilled: Undisturbed, tmp_path: Path, step: int) -> None:
    with pytest.raises(Died):
        run_micro(distilled.images, tmp_path / "run", DISTILLED, progress=dies_after(step))
    distilled.resumes_to_the_same(tmp_path / "run")


@pytest.mark.kills
def test_resume__of_a_distillation_after_kill_9(distilled: Undisturbed, tmp_path: Path, runs: Runs) -> None:
    images = str(distilled.images.root / "manifest.csv")
    runs.begin(tmp_path / "run", [*DISTILLED, "runtime.workers=2"], images=images)
    runs.signal_at(tmp_path / "run", EVERY + 1, 0.01, signal.SIGKILL)
    assert runs.exit_code() == -signal.SIGKILL
    assert len(read_metrics(tmp_path / "run")) < STEPS
    distilled.resumes_to_the_same(tmp_path / "run")


def test_resume__again_and_again(undisturbed: Undisturbed, tmp_path: Path) -> None:
    for step in (5, 6, 9, 13):
        with pytest.raises(Died):
            run_micro(undisturbed.images, tmp_path / "run", WITH_WORKERS, progress=dies_after(step))
    undisturbed.resumes_to_the_same(tmp_path / "run")


def test_resume__scores_no_step_twice(undisturbed: Undisturbed, tmp_path: Path) -> None:
    def score(_: Encoder) -> dict[str, float]:
        return {"online": 1.0}

    overrides = [*LONG, "online.every=12"]
    for step in (0, 3, 5, STEPS):
        with pytest.raises(Died):
            run_micro(
                undisturbed.images, tmp_path / "run", overrides, online_score=score, progress=dies_after(step)
            )
    run_micro(undisturbed.images, tmp_path / "run", overrides, online_score=score)
    records = read_metrics(tmp_path / "run")
    assert [record["step"] for record in records if "online" in record] == [0, 3, 6, 9, 12, 14]
    assert [record["step"] for record in records if "lr" in record] == list(range(1, STEPS + 1))


class Runs:
    """Runs in processes of their own, one at a time."""

    def __init__(self, images: Path) -> None:
        self.images = images
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__).parents[1] / "shared" / "killed_run.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.process = 0

    def begin(self, folder: Path, overrides: list[str], **settings: object) -> None:
        content = {"images": str(self.images), "folder": str(folder), "overrides": overrides, **settings}
        assert self.server.stdin is not None
        print(json.dumps(content), file=self.server.stdin, flush=True)
        self.process = int(self._answer())

    def signal_at(self, folder: Path, step: int, wait: float, number: signal.Signals) -> None:
        """Wait until the run has logged `step`, and `wait` seconds more, then signal it."""
        end = time.monotonic() + 60
        while not any(record["step"] >= step for record in read_metrics(folder)):
            assert time.monotonic() < end, "the run did not get there in time"
            time.sleep(0.005)
        time.sleep(wait)
        os.kill(self.process, number)

    def exit_code(self) -> int:
        """How the run ended; minus the signal that killed it."""
        return int(self._answer())

    def _answer(self) -> str:
        assert self.server.stdout is not None
        line = self.server.stdout.readline()
        assert line, "the process that starts the runs has died"
        return line


@pytest.fixture(scope="module")
def runs(undisturbed: Undisturbed) -> Iterator[Runs]:
    started = Runs(undisturbed.images.root / "manifest.csv")
    yield started
    started.server.kill()
    started.server.communicate()


@pytest.mark.parametrize(("step", "wait"), [(1, 0.0), (2, 0.02), (6, 0.05)])
@pytest.mark.kills
def test_resume__after_kill_9_at_a_random_moment(
    undisturbed: Undisturbed, tmp_path: Path, runs: Runs, step: int, wait: float
) -> None:
    folder = tmp_path / "run"
    runs.begin(folder, WITH_WORKERS)
    runs.signal_at(folder, step, wait, signal.SIGKILL)
    assert runs.exit_code() == -signal.SIGKILL
    assert 0 < len(read_metrics(folder)) < STEPS
    undisturbed.resumes_to_the_same(folder)


@pytest.mark.kills
def test_resume__after_kill_9_inside_a_checkpoint_write(
    undisturbed: Undisturbed, tmp_path: Path, runs: Runs
) -> None:
    runs.begin(tmp_path / "run", LONG, die_in="torch.save", die_at=2)
    assert runs.exit_code() == -signal.SIGKILL
    checkpoints = tmp_path / "run" / "checkpoints"
    half, whole = list(checkpoints.glob(".*.partial")), list_checkpoints(checkpoints)
    assert [step_of(path) for path in whole] == [EVERY]
    assert len(half) == 1
    (unfinished,) = (path for path in half[0].iterdir() if path.name != ".lock")
    assert 0.4 < unfinished.stat().st_size / whole[0].stat().st_size < 0.6
    undisturbed.resumes_to_the_same(tmp_path / "run")


@pytest.mark.kills
def test_resume__after_kill_9_between_the_last_checkpoint_and_the_model(
    undisturbed: Undisturbed, tmp_path: Path, runs: Runs
) -> None:
    runs.begin(tmp_path / "run", LONG, die_in="save_model_folder", die_at=STEPS // EVERY + 1)
    assert runs.exit_code() == -signal.SIGKILL
    assert step_of(list_checkpoints(tmp_path / "run" / "checkpoints")[-1]) == STEPS
    assert read_card(tmp_path / "run" / "model").training["steps"] < STEPS
    undisturbed.resumes_to_the_same(tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_resume__after_being_asked_to_stop(
    undisturbed: Undisturbed, tmp_path: Path, runs: Runs, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    runs.begin(folder, WITH_WORKERS)
    runs.signal_at(folder, 2, 0.0, number)
    assert runs.exit_code() == 0
    outcome = json.loads((tmp_path / "outcome.json").read_text())
    assert not outcome["finished"]
    assert 2 <= outcome["steps"] < STEPS
    # The step was finished, logged, and kept as checkpoint and model.
    assert step_of(list_checkpoints(folder / "checkpoints")[-1]) == outcome["steps"]
    assert read_metrics(folder)[-1]["step"] == outcome["steps"]
    assert read_card(folder / "model").training["steps"] == outcome["steps"]
    undisturbed.resumes_to_the_same(folder)


def test_resume__refuses_another_recipe_or_other_images(undisturbed: Undisturbed, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="recipe differs in 'optim'"):
        run_micro(undisturbed.images, undisturbed.folder, [*LONG, "optim.lr=1e-4"])
    other: Manifest = undisturbed.images.select(range(3))
    with pytest.raises(RedDinoError, match="holds a run on other images"):
        run_micro(other, undisturbed.folder, LONG)
    assert checkpoint_digest(undisturbed.folder) == undisturbed.digest


def test_resume__refuses_before_it_decodes_the_images(
    undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("images were decoded for a run that is refused")

    monkeypatch.setattr(loop, "open_cache", never)
    with pytest.raises(RedDinoError, match="recipe differs in 'optim'"):
        run_micro(undisturbed.images, undisturbed.folder, [*LONG, "optim.lr=1e-4"])


def test_stream__of_a_resumed_run_goes_on_with_the_next_sample(undisturbed: Undisturbed) -> None:
    recipe = micro_recipe(LONG)
    cache = open_cache(undisturbed.images, undisturbed.images.root / "cache")
    whole = [batch.sample_index.tolist() for batch in make_stream(recipe, cache)]
    rest = [batch.sample_index.tolist() for batch in make_stream(recipe, cache, start_step=5)]
    assert len(whole) == STEPS
    assert rest == whole[5:]
    assert [index for batch in whole for index in batch] == list(range(4 * STEPS))
