"""The run folder: resolved recipe, description, metrics (JSON lines, TensorBoard), the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import NoneType
from typing import Any

import torch

from reddino.foundations.atomic import remove_partials, write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.locks import only_one
from reddino.foundations.provenance import provenance
from reddino.foundations.structured import in_line, read_json, read_json_lines, require_keys
from reddino.networks.training_images import SEEN, seen_by_cache, write_seen
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.distillation.teacher import DistillationTeacher
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.run.length import (
    LENGTHENED,
    describe_lengthening,
    differs_in_length_alone,
    lengthening,
    noted_lengthenings,
    require_no_shorter,
)
from reddino.pretraining.run.recipe import WITHOUT_EFFECT, Recipe, dump_recipe, read_recipe
from reddino.smears.failures import Failures

RECIPE, DESCRIPTION, METRICS, CHECKPOINTS, MODEL = (
    "recipe.yaml",
    "run.json",
    "metrics.jsonl",
    "checkpoints",
    "model",
)
FAILURES, LOCK = "failures.csv", "run.lock"
#: Cached features of a distillation's teacher; runs of earlier versions have them in a folder of this name.
TEACHER_FEATURES = "answers"
#: Measured before a run whose patches are cut in cell diameters.
DIAMETERS = "cell_diameters.json"


class RunFolder:
    """Paths and records of one run.

    Args:
        folder: of the run.
        writes: False in all processes of a run but the first: they read, and keep no records.
    """

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder, self._writes = folder, writes
        self.checkpoints = folder / CHECKPOINTS
        self.model = folder / MODEL
        self.teacher_features = folder / TEACHER_FEATURES
        self._metrics = folder / METRICS
        self._board: Any = None

    def begin(
        self,
        recipe: Recipe,
        data_fingerprint: str,
        threads: int,
        precision: str = "fp32",
        processes: int = 1,
        *,
        teacher: DistillationTeacher | None = None,
        pixels: str = "",
        step: int = 0,
    ) -> list[str]:
        """Write the description of a new run, or compare how an interrupted one was computed.

        `teacher` is that of a distillation, `pixels` the fingerprint of the decoded images, `step` the steps
        that are done. A run whose recipe has more samples now is lengthened.

        Returns:
            Remarks for the user, such as a changed number of threads.

        Raises:
            RedDinoError: the folder holds a run of another recipe, other data or another teacher.
        """
        self.require_same(recipe, data_fingerprint)
        self.require_teacher(teacher)
        self.require_pixels(pixels)
        if not self._writes:
            return []
        description = {
            **provenance(seed=recipe.seed, data=data_fingerprint),
            "threads": threads,
            "torch": torch.__version__,
            "precision": precision,
            "processes": processes,
            **({"pixels": pixels} if pixels else {}),
            **({} if teacher is None else teacher.provenance),
        }
        if not (self.folder / DESCRIPTION).is_file():
            self.folder.mkdir(parents=True, exist_ok=True)
            write_text(self.folder / RECIPE, dump_recipe(recipe))
            write_text(self.folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")
            return []
        before = self._description()
        remarks = self._lengthen(before, recipe, step)
        numerics = ("threads", "torch", "precision", "processes")
        if all(before[name] == description[name] for name in numerics):
            return remarks
        then, now = (", ".join(f"{name} {of[name]}" for name in numerics) for of in (before, description))
        return [
            *remarks,
            f"this run began with {then} and continues with {now}: "
            "the last bits of its weights will differ from an undisturbed run",
        ]

    def _lengthen(self, description: dict[str, Any], recipe: Recipe, step: int) -> list[str]:
        """Note that a run is longer from now on, if it is; return a remark on it."""
        before = read_recipe(self.folder / RECIPE)
        if recipe.run.samples <= before.run.samples:
            return []
        noted = noted_lengthenings(description, before)
        if step:
            description[LENGTHENED] = [*noted, lengthening(before, recipe, step)]
            write_text(self.folder / DESCRIPTION, json.dumps(description, indent=2) + "\n")
        # The recipe last: a command that is killed before it has lengthened nothing.
        write_text(self.folder / RECIPE, dump_recipe(recipe))
        return [describe_lengthening(before, recipe, step)] if step else []

    def lengthenings(self) -> list[dict[str, int]]:
        """Return where this run was lengthened: step, from_samples and to_samples of each time."""
        return noted_lengthenings(self._description(), read_recipe(self.folder / RECIPE))

    def _description(self) -> dict[str, Any]:
        return read_run_description(self.folder)

    def require_same(self, recipe: Recipe, data_now: str) -> None:
        """Check that a run in this folder, if there is one, is the run to continue.

        Raises:
            RedDinoError: it has another recipe, more samples, or other data.
        """
        if not (self.folder / DESCRIPTION).is_file():
            return
        data_before = self._description()["data"]
        recipe_before = read_recipe(self.folder / RECIPE)
        before, now = recipe_before.model_dump(), recipe.model_dump()
        for section in now:
            if section == "run" and differs_in_length_alone(recipe_before, recipe):
                require_no_shorter(self.folder, recipe_before, recipe)
            elif section not in WITHOUT_EFFECT and before[section] != now[section]:
                raise RedDinoError(
                    f"{self.folder} holds a run whose recipe differs in '{section}'; continue with the "
                    "same recipe, or give another folder"
                )
        if data_before != data_now:
            raise RedDinoError(
                f"{self.folder} holds a run on other images (fingerprint {data_before}, now "
                f"{data_now}); give another folder"
            )

    def require_teacher(self, teacher: DistillationTeacher | None) -> None:
        """Check that a run in this folder, if there is one, learns from the same weights.

        Raises:
            RedDinoError: they are others, under the same name.
        """
        if teacher is None or not (self.folder / DESCRIPTION).is_file():
            return
        before = self._description().get("distilled_from_weights")
        if before != teacher.weights:
            raise RedDinoError(
                f"{self.folder} holds a run that learns from {teacher.name} with the weights {before}, which "
                f"are now {teacher.weights}; bring these back, or give another folder"
            )

    def require_pixels(self, now: str) -> None:
        """Check that a run in this folder, if there is one, is on the same pixels.

        Args:
            now: fingerprint of the decoded images (`ImageIndex.fingerprint`); "" where it is not known.

        Raises:
            RedDinoError: pictures were replaced by others of the same size.
        """
        before = self._description().get("pixels") if (self.folder / DESCRIPTION).is_file() else None
        if before and now and before != now:
            raise RedDinoError(
                f"{self.folder} holds a run on other pictures: files of the same names and sizes have other "
                f"pixels than when it began (fingerprint {before}, now {now}); bring the old ones back, or "
                "give another folder"
            )

    def open_metrics(self, step: int, tensorboard: bool) -> None:
        """Drop records later than `step` (of a run that died) and open the logs."""
        if not self._writes:
            return
        kept = [record for record in read_metrics(self.folder) if record["step"] <= step]
        write_text(self._metrics, "".join(json.dumps(record) + "\n" for record in kept))
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step + 1)

    def note_failures(self, *several: Failures) -> None:
        """List what could not be opened or decoded in failures.csv; without any there is no such file."""
        together = Failures()
        for path, reason in (entry for failures in several for entry in failures):
            together.add(path, reason)
        if together.count and self._writes:
            together.write(self.folder / FAILURES)

    def note_seen(self, start: str, cache: ImageCache, teacher: DistillationTeacher | None = None) -> None:
        """List in the model folder what the model sees: its sources and hashes of its images.

        What its start and its teacher saw, it has seen through them. A resumed run, which is on the same
        images, takes over its list.
        """
        if not self._writes or (self.model / SEEN).is_file():
            return
        index = cache.index
        sources = index.source_names[index.source].tolist()
        before = (start,) if teacher is None else (start, *teacher.names)
        write_seen(self.model, seen_by_cache(sources, index.hashes, *before))

    def log(self, record: dict[str, Any]) -> None:
        """Append one record, which has `step` and `samples`."""
        if not self._writes:
            return
        with self._metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self._board is not None:
            for name, value in record.items():
                if name not in ("step", "samples", "signs"):
                    self._board.add_scalar(name, value, record["step"])

    def is_scored(self, step: int) -> bool:
        """Whether an online score of `step` is on record, from before the run was interrupted."""
        # A step may have two records: one of training, with its rate, and one of the score.
        return any(record["step"] == step and "lr" not in record for record in read_metrics(self.folder))

    def close(self) -> None:
        """Flush the TensorBoard log."""
        if self._board is not None:
            self._board.close()


@contextmanager
def only_trainer(folder: Path, processes: Processes = ALONE) -> Iterator[None]:
    """Keep other runs out of a run folder while the block runs; the first process holds it for all of a run.

    A run that could not begin (no such start, no image that can be read) leaves nothing that would bar the
    next try: decoded images stay, if there are any.

    Raises:
        RedDinoError: another run trains there now; raised in all processes alike.
    """
    with ExitStack() as held:

        def refusal() -> str | None:
            made = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            busy = (
                f"another process trains in {folder} at this moment: wait for it or stop it, or give "
                "another folder"
            )
            try:
                held.enter_context(only_one(folder / LOCK, busy))
            except RedDinoError as error:
                return str(error)
            held.callback(_forget_if_not_begun, folder, made)
            remove_partials(folder, below=True)
            return None

        refused = processes.from_main(refusal)
        if refused is not None:
            raise RedDinoError(refused)
        yield


def _forget_if_not_begun(folder: Path, made: bool) -> None:
    """Take away what a run writes before its first record, and a folder made for it without any images."""
    # Network file systems keep an open file's name, other processes may be busy here: then it stays.
    with suppress(OSError):
        if (folder / METRICS).exists() or (folder / CHECKPOINTS).exists():
            return
        for name in (DESCRIPTION, RECIPE, FAILURES):
            (folder / name).unlink(missing_ok=True)
        if not made or any(path.is_dir() and any(path.iterdir()) for path in folder.iterdir()):
            return
        for path in folder.iterdir():
            if path.is_dir():
                path.rmdir()
            elif path.name in (LOCK, DIAMETERS):
                path.unlink()
        folder.rmdir()


def read_run_description(folder: Path) -> dict[str, Any]:
    """Read the description of a run: its data, and what it was computed with.

    Raises:
        RedDinoError: the file cannot be read, or lacks one of these.
    """
    path = folder / DESCRIPTION
    content: dict[str, Any] = {"processes": 1, **read_json(path)}
    require_keys(content, str(path), data=str, threads=int, torch=str, precision=str, processes=int)
    return content


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Read the records of a run, in order; a last line that a killed process left unfinished is left out.

    Raises:
        RedDinoError: another line is damaged, or a record has no step.
    """
    path = folder / METRICS
    if not path.is_file() or not path.stat().st_size:
        return []
    records = list(read_json_lines(path, nan=True))
    for record in records:
        require_keys(record, str(path), step=int)
        if not all(isinstance(one, str) for one in _listed(record, str(path))):
            raise RedDinoError(f"{path}: signs: they are not a list of sentences")
    return records


def _listed(record: dict[str, Any], origin: str) -> list[Any]:
    """Return the warnings of a record; everything else in it is a number."""
    for name, value in record.items():
        if name != "signs" and type(value) not in (int, float, NoneType):
            raise RedDinoError(f"{origin}: {in_line(name)}: {str(value)[:60]!r} is not a number")
    warnings = record.get("signs", [])
    return warnings if isinstance(warnings, list) else [None]
