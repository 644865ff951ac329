"""A pretraining run: set-up, resume, loop. The training step itself is in `dinov2`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime, choose_runtime
from reddino.networks.folder import save_model_folder
from reddino.pretraining.build import build_networks
from reddino.pretraining.data.image_cache import ImageCache, open_cache
from reddino.pretraining.data.network_input import Prefetcher
from reddino.pretraining.data.stream import CropBatch, make_stream, pixel_operations
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distillation.distillation import Distillation, open_distillation
from reddino.pretraining.distributed.parallel import WrappedStudent, whole_teacher, wrap
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.distributed.tensors import whole_tensor
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint, step_of
from reddino.pretraining.run.divergence import require_finite_state
from reddino.pretraining.run.folder import RunFolder
from reddino.pretraining.run.interrupt import Interruption
from reddino.pretraining.run.pixel_sizes import patch_pixel_sizes
from reddino.pretraining.run.recipe import WITHOUT_EFFECT, Recipe
from reddino.pretraining.run.report import OnlineScore, Report
from reddino.pretraining.schedules import values_at
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: steps done of steps planned, and the model folder of the teacher."""

    steps: int
    planned: int
    model: Path

    @property
    def finished(self) -> bool:
        """False if the run was stopped and can continue."""
        return self.steps >= self.planned


@dataclass(frozen=True)
class Training:
    """All that the loop needs: networks and optimiser as they were restored, and the stream of batches."""

    recipe: Recipe
    manifest: Manifest
    run: RunFolder
    runtime: Runtime
    processes: Processes
    networks: StudentTeacher
    student: WrappedStudent
    optimizer: torch.optim.Optimizer
    batches: Iterator[CropBatch]
    cache: ImageCache
    step: int


def pretrain(
    recipe: Recipe,
    manifest: Manifest,
    folder: Path,
    *,
    cell_diameters: dict[str, float] | None = None,
    online_score: OnlineScore | None = None,
    cache_folder: Path | None = None,
    not_opened: Failures | None = None,
    progress: Progress | None = None,
    processes: Processes = ALONE,
) -> Outcome:
    """Pretrain on the images of `manifest`; an interrupted run in `folder` continues, or is lengthened.

    Resumed with the same number of threads and processes, the weights are bit for bit those of an
    undisturbed run on CPUs; with other numbers, but for the last bits of float sums.

    Args:
        recipe: everything that the result depends on.
        manifest: images; labels are not used.
        folder: the run folder, which all processes see.
        cell_diameters: source -> pixels, where patches are cut in cell diameters and the manifest has none.
        online_score: called with the teacher every `online.every` samples, and at the start and end;
            in the first process alone, so that the others need none.
        cache_folder: where decoded images are kept; None: inside the run folder.
        not_opened: what the manifest had to leave out, to be listed with the images that cannot be decoded.
        progress: called with the steps done and the steps planned, at the start and after each step.
        processes: those that share the run; each calls this function.

    Returns:
        The outcome; `finished` is False after Ctrl-C or SIGTERM, in whichever process.

    Raises:
        RedDinoError: the recipe, the images or the folder do not fit, or the run diverged: the loss stays
            without a finite value, or weights hold NaN when they are to be written.
    """
    _require_equal_parts(recipe, processes)
    pixel_operations(recipe)  # refuses unknown ones before the images are decoded
    runtime = choose_runtime(recipe.runtime.device, recipe.run.precision, recipe.runtime.threads)
    run = RunFolder(folder, writes=processes.is_main)
    # Before the images are decoded, which can take long, and for nothing if the folder holds another run.
    run.require_same(recipe, manifest.fingerprint())
    um_per_px = processes.from_main(lambda: patch_pixel_sizes(recipe, manifest))
    open_images = partial(
        open_cache,
        manifest,
        cache_folder or folder / "cache",
        cell_diameters=cell_diameters,
        max_cell_diameter=recipe.data.max_cell_diameter,
        um_per_px=um_per_px,
    )
    training = _set_up(recipe, manifest, run, runtime, open_images=open_images, processes=processes)
    run.note_failures(not_opened or Failures(), training.cache.failures)
    report = Report(recipe, run, training.networks, runtime, processes=processes, score=online_score)
    report.begin(training.step)
    with Interruption() as interruption:
        _precompute(training, training.networks.distillation, interruption.is_requested)
        step = _loop(training, report, progress or (lambda done, planned: None), interruption.is_requested)
    if step > 0:
        _save(training, step)
    report.finish(step)
    return Outcome(step, recipe.steps, run.model)


def _set_up(
    recipe: Recipe,
    manifest: Manifest,
    run: RunFolder,
    runtime: Runtime,
    *,
    open_images: Callable[[], ImageCache],
    processes: Processes,
) -> Training:
    """Open images and networks, and restore the last checkpoint; the first process first, as it may fetch."""
    written = processes.from_main(lambda: list_checkpoints(run.checkpoints))
    with processes.main_first():
        distillation = open_distillation(recipe, processes)  # its weights may have to be fetched
        teacher = None if distillation is None else distillation.teacher
        run.require_teacher(teacher)
        cache = open_images()
        for remark in run.begin(
            recipe,
            manifest.fingerprint(),
            runtime.threads,
            runtime.precision,
            processes.count,
            teacher=teacher,
            pixels=cache.index.fingerprint(),
            step=step_of(written[-1]) if written else 0,
        ):
            log.warning(remark)
        # Workers make the first batch while the networks are built.
        batches = iter(make_stream(recipe, cache, step_of(written[-1]) if written else 0, processes))
        networks = build_networks(recipe, processes, distillation)  # starting weights may have to be fetched
    student = wrap(networks, runtime, processes)
    optimizer = make_optimizer(networks.student, recipe.optim)
    step = _restore(run, networks, optimizer, processes)
    run.open_metrics(step, recipe.runtime.tensorboard)
    run.note_seen(recipe.model.start, cache, teacher)
    return Training(
        recipe, manifest, run, runtime, processes, networks, student, optimizer, batches, cache, step
    )


def _precompute(training: Training, distillation: Distillation | None, stop: Callable[[], bool]) -> None:
    """Compute before the first step what a distillation computes once."""
    if distillation is not None:
        distillation.precompute(
            training.cache,
            training.recipe,
            runtime=training.runtime,
            folder=training.run.teacher_features,
            stop=stop,
        )


def _loop(training: Training, report: Report, advance: Progress, stop: Callable[[], bool]) -> int:
    """Take steps until the run is at its end, or some process should stop; return the steps done."""
    recipe, networks, runtime = training.recipe, training.networks, training.runtime
    micro_batches = Prefetcher(training.batches, partial(networks.network_input, runtime=runtime), runtime)
    step = training.step
    advance(step, recipe.steps)
    while step < recipe.steps and not training.processes.any(stop()):
        values = values_at(step, recipe)
        stepped = networks.training_step(
            micro_batches,
            training.student,
            training.optimizer,
            values,
            runtime=runtime,
            observe=report.add,
        )
        step += 1
        report.end_step(step, values, skipped=not stepped)
        advance(step, recipe.steps)
        if step % recipe.runtime.checkpoint_every == 0 and step < recipe.steps:
            _save(training, step)
    return step


def _require_equal_parts(recipe: Recipe, processes: Processes) -> None:
    run = recipe.run
    if run.batch % (run.accumulate * processes.count):
        raise RedDinoError(
            f"run.batch={run.batch}, which counts the samples of all processes, cannot be split into "
            f"{run.accumulate} (run.accumulate) x {processes.count} (processes) equal parts"
        )


def _restore(
    run: RunFolder, networks: StudentTeacher, optimizer: torch.optim.Optimizer, processes: Processes
) -> int:
    """Load the last checkpoint, if there is one; return the steps done."""
    checkpoints = processes.from_main(lambda: list_checkpoints(run.checkpoints))
    if not checkpoints:
        return 0
    step = load_checkpoint(checkpoints[-1], networks, optimizer, processes)
    require_finite_state(networks, optimizer, step, run.checkpoints, processes)
    log.info("continuing after step %d (%s)", step, checkpoints[-1].name)
    return step


def _save(training: Training, step: int) -> None:
    """Write a checkpoint and the teacher's model folder, unless the run has diverged."""
    run, networks, processes = training.run, training.networks, training.processes
    require_finite_state(networks, training.optimizer, step, run.checkpoints, processes)
    keep = training.recipe.runtime.keep_checkpoints
    save_checkpoint(run.checkpoints, step, networks, training.optimizer, keep, processes=processes)
    heads = {name: whole_tensor(value) for name, value in networks.teacher.heads_state().items()}
    backbone = whole_teacher(networks, processes)
    if backbone is None:
        return
    card = replace(networks.card, training=_described(training, step))
    save_model_folder(run.model, backbone, card, heads)


def _described(training: Training, step: int) -> dict[str, object]:
    """Describe the training in the model card."""
    recipe, manifest, networks = training.recipe, training.manifest, training.networks
    return {
        "recipe": recipe.model_dump(mode="json", exclude=set(WITHOUT_EFFECT)),
        "seed": recipe.seed,
        "data": manifest.fingerprint(),
        "images": len(set(manifest.strings("path"))),
        "sources": sorted(set(manifest.strings("source"))),
        "steps": step,
        "samples": step * recipe.run.batch,
        **({"lengthened": lengthened} if (lengthened := training.run.lengthenings()) else {}),
        **networks.card.training,
        **({} if networks.distillation is None else networks.distillation.teacher.provenance),
    }
