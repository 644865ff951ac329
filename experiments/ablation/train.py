"""One pretraining of a campaign: from images that are decoded once, and with its time."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from ablation.plan import same_recipe
from reddino.api.training import pack, pretrain
from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import holding
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.structured import read_json
from reddino.pretraining.run.folder import CHECKPOINTS, TEACHER_FEATURES
from reddino.pretraining.run.recipe import Recipe
from reddino.smears.opening import open_data
from reddino.smears.packs import is_pack

TRAINED, SECONDS = "trained.json", "seconds.json"
#: Seconds between two notes of the time that has passed; a killed run's clock loses at most these.
NOTE_EVERY = 5.0


def trained_model(
    recipe: Recipe,
    data: Mapping[str, Path],
    folder: Path,
    campaign: Path,
    still_wanted: Callable[[], None] = lambda: None,
) -> tuple[str, dict[str, Any]]:
    """Pretrain, go on with a run that was killed, or take one that is finished.

    Args:
        recipe: of the run.
        data: manifests of the pretraining, by name.
        folder: of the run.
        campaign: folder that the runs share: packed images and cached teacher features.
        still_wanted: called after every step; raises to stop.

    Returns:
        The model folder, and what is known of the training, as JSON values.

    Raises:
        RedDinoError: as `reddino.pretrain`, or the finished run has another recipe or other data.
        KeyboardInterrupt: the run was asked to stop.
    """
    note = folder / TRAINED
    dumped = recipe.model_dump(mode="json")
    digest = data_digest({name: open_data(path).fingerprint() for name, path in data.items()})
    if note.is_file():
        known = read_json(note)
        if not same_recipe(known["recipe"], dumped) or known["data"] != digest:
            raise RedDinoError(
                f"{folder} holds a finished run of another recipe or other data: give the campaign another "
                "folder, or delete this one"
            )
        return str(folder / "run" / "model"), known
    images = _packed(recipe, data, digest, campaign)
    run = folder / "run"
    answers = campaign / "answers" / _answers_key(recipe, digest)
    if recipe.distill is not None and recipe.distill.once and answers.is_dir():
        _linked(answers, run / TEACHER_FEATURES)
    with _clock(folder / SECONDS) as tick:

        def progress(done: int, total: int) -> None:
            tick()
            still_wanted()

        outcome = pretrain(recipe, images, run, progress=progress)
    if not outcome.finished:
        raise KeyboardInterrupt
    known = {
        "recipe": dumped,
        "data": digest,
        "pretrained_on": sorted(data),
        "samples": outcome.steps * recipe.run.batch,
        **read_json(folder / SECONDS),
    }
    if (run / TEACHER_FEATURES).is_dir() and not answers.is_dir():
        _linked(run / TEACHER_FEATURES, answers)
    write_text(note, json.dumps(known, indent=1) + "\n")
    for left in (TEACHER_FEATURES, CHECKPOINTS, "cache"):
        shutil.rmtree(run / left, ignore_errors=True)
    return str(outcome.model), known


def data_digest(fingerprints: Mapping[str, str]) -> str:
    """Return 16 hex digits over the data of a pretraining.

    Args:
        fingerprints: of the manifests, by name.
    """
    return hash_bytes(*(f"{name}\0{one}".encode() for name, one in sorted(fingerprints.items())))


def _packed(recipe: Recipe, data: Mapping[str, Path], digest: str, campaign: Path) -> Path:
    """The images of a pretraining, decoded and shrunk; the first run that needs them packs them."""
    measured = recipe.data.patch_unit == "diameters" or recipe.data.max_cell_diameter is not None
    key = hash_bytes(repr((digest, recipe.data.max_cell_diameter, measured)).encode())
    out = campaign / "packs" / key
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out.with_suffix(".lock")):
        if not is_pack(out):
            pack([open_data(path) for _, path in sorted(data.items())], out, recipe=recipe)
    return out


def _answers_key(recipe: Recipe, digest: str) -> str:
    """Runs with one key ask their teachers the same; that they did is checked by the pretraining."""
    asked = (recipe.distill, recipe.data, recipe.crops)
    return hash_bytes(repr((digest, asked)).encode())


def _linked(old: Path, new: Path) -> None:
    """A copy of a folder of files that are never changed, without their bytes where the disk can."""
    part = new.with_name(f"{new.name}.{os.getpid()}")
    new.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(new, ignore_errors=True)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    for file in old.glob("*.npy"):
        try:
            os.link(file, part / file.name)
        except OSError:
            shutil.copyfile(file, part / file.name)
    part.rename(new)


@contextmanager
def _clock(path: Path) -> Iterator[Callable[[], None]]:
    """Add the time of the block, and that of the processor, to those of earlier, killed calls.

    Noted every few seconds. The processor's is of this process: that of workers is not in it.
    """
    before = read_json(path) if path.is_file() else {}
    started, worked = time.monotonic(), time.process_time()
    noted = started

    def note() -> None:
        nonlocal noted
        noted = time.monotonic()
        spent = {"seconds": noted - started, "cpu_seconds": time.process_time() - worked}
        path.parent.mkdir(parents=True, exist_ok=True)
        together = {name: before.get(name, 0.0) + one for name, one in spent.items()}
        write_text(path, json.dumps(together) + "\n")

    try:
        yield lambda: note() if time.monotonic() - noted > NOTE_EVERY else None
    finally:
        note()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock, and wait for another run that does."""
    with ExitStack() as held:
        while True:
            with suppress(BlockingIOError):
                held.enter_context(holding(path))
                break
            time.sleep(1.0)
        yield
