"""The training loop: batch, teacher targets, student predictions, losses, step, EMA."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import torch

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import choose_runtime
from reddino.networks.folder import save_model_folder
from reddino.pretraining.augmentation.crops import MultiCrop
from reddino.pretraining.augmentation.pixel_operations import PixelOperations
from reddino.pretraining.data.image_cache import ImageCache, open_cache
from reddino.pretraining.data.sampling import patch_spec
from reddino.pretraining.data.stream import PretrainingStream
from reddino.pretraining.data.views import Ahead, make_views
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.distillation.cache import ask_once
from reddino.pretraining.distillation.teacher import described, open_guide
from reddino.pretraining.distributed.parallel import spread, whole, whole_teacher
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.optim import apply_schedule, make_optimizer
from reddino.pretraining.run.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint, step_of
from reddino.pretraining.run.divergence import require_finite_state
from reddino.pretraining.run.folder import RunFolder
from reddino.pretraining.run.interrupt import Interruption
from reddino.pretraining.run.recipe import Recipe
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
        """False if the run was asked to stop and can go on."""
        return self.steps >= self.planned


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
    """Pretrain on the images of `manifest`; an interrupted run in `folder` goes on from its last checkpoint.

    Resumed with the same number of threads and processes, the weights are bit for bit those of an
    undisturbed run on CPUs; with other numbers, but for the last bits of float sums.

    Args:
        recipe: everything that the result depends on.
        manifest: images; labels are not used.
        folder: the run folder, which all processes see.
        cell_diameters: source -> pixels, where patches are cut in cell diameters and the manifest has none.
        online_score: called with the teacher every `runtime.score_every` samples, and at the start and end;
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
    runtime = choose_runtime(recipe.runtime.device, recipe.run.precision, recipe.runtime.threads)
    run = RunFolder(folder, writes=processes.is_main)
    # Before the images are decoded, which can take long, and for nothing if the folder holds another run.
    run.require_same(recipe, manifest.fingerprint())
    written = processes.from_main(lambda: list_checkpoints(run.checkpoints))
    with processes.main_first():
        guide = open_guide(recipe)  # its weights may have to be fetched
        run.require_guide(guide)
        cache = open_cache(
            manifest,
            cache_folder or folder / "cache",
            cell_diameters=cell_diameters,
            max_cell_diameter=recipe.data.max_cell_diameter,
        )
        for remark in run.begin(
            recipe,
            manifest.fingerprint(),
            runtime.threads,
            runtime.precision,
            processes.count,
            guide=guide,
            pixels=cache.index.fingerprint(),
        ):
            log.warning(remark)
        # Workers make the first batch while the networks are built.
        stream = iter(make_stream(recipe, cache, step_of(written[-1]) if written else 0, processes))
        networks = StudentTeacher(recipe, processes, guide)  # starting weights may have to be fetched
    student = spread(networks, runtime, processes)
    optimizer = make_optimizer(networks.student, recipe.optim)
    step = _restore(run, networks, optimizer, processes)
    run.open_metrics(step, recipe.runtime.tensorboard)
    run.note_failures(not_opened or Failures(), cache.failures)
    run.note_seen(recipe.model.start, cache, guide)
    report = Report(recipe, run, networks, runtime, processes=processes, score=online_score)
    report.begin(step)
    advance = progress or (lambda done, planned: None)
    with Interruption() as interruption:
        make = partial(
            make_views,
            recipe=recipe,
            backbone=networks.student.backbone,
            card=networks.card,
            runtime=runtime,
            processes=processes,
            answers=ask_once(
                guide,
                cache,
                recipe,
                runtime=runtime,
                folder=run.answers,
                processes=processes,
                stop=lambda: interruption.asked,
            ),
        )
        advance(step, recipe.steps)
        micro_batches = Ahead(stream, make, runtime)
        while step < recipe.steps and not processes.any(interruption.asked):
            values = values_at(step, recipe)
            apply_schedule(optimizer, values)
            optimizer.zero_grad(set_to_none=True)
            for part, views in enumerate(islice(micro_batches, recipe.run.accumulate)):
                torch.manual_seed(views.seed)
                with student.accumulating(last=part + 1 == recipe.run.accumulate):
                    with runtime.autocast():
                        targets = networks.targets(views, values.teacher_temperature)
                        outputs = student.predict(views)
                        losses = networks.losses(outputs, targets, views)
                    (losses.total / recipe.run.accumulate).backward()  # type: ignore[no-untyped-call]
                report.add(losses, targets, outputs)
                micro_batches.prepare()
            stepped = take_step(networks, optimizer, recipe, report.is_finite())
            if stepped:
                networks.update_teacher(values.ema_momentum)
            step += 1
            report.end_step(step, values, skipped=not stepped)
            advance(step, recipe.steps)
            if step % recipe.runtime.checkpoint_every == 0 and step < recipe.steps:
                _save(run, step, networks, optimizer, manifest, processes=processes)
    if step > 0:
        _save(run, step, networks, optimizer, manifest, processes=processes)
    report.finish(step)
    return Outcome(step, recipe.steps, run.model)


def make_stream(
    recipe: Recipe, cache: ImageCache, start_step: int = 0, processes: Processes = ALONE
) -> PretrainingStream:
    """The micro-batches of a run from `start_step` on; of several processes, this one's part of each."""
    crops, augmentation = recipe.crops, recipe.augmentation
    operations = PixelOperations(
        augmentation.operations,
        augmentation.choose,
        augmentation.probability,
        augmentation.strength,
        augmentation.strengths,
    )
    multi_crop = MultiCrop(
        global_size=crops.global_size,
        global_scale=crops.global_scale,
        local_size=crops.local_size,
        local_scale=crops.local_scale,
        local_count=crops.local_count,
        operations=operations,
        horizontal_flip=augmentation.horizontal_flip,
        vertical_flip=augmentation.vertical_flip,
        quarter_turn=augmentation.quarter_turn,
        aspect=crops.aspect,
        teacher_strength=augmentation.teacher_strength if recipe.has_prototypes else 1.0,
    )
    patches = patch_spec(recipe)
    return PretrainingStream(
        cache,
        multi_crop,
        patches,
        seed=recipe.seed,
        batch_size=patches.batch // processes.count,
        workers=recipe.runtime.workers,
        start_sample=start_step * recipe.run.batch,
        stop_sample=recipe.steps * recipe.run.batch,
        replica=processes.rank,
        replicas=processes.count,
        batches_ahead=2 * recipe.run.accumulate,
        clean_size=recipe.clean_size if recipe.asks_each_crop else None,
    )


def take_step(
    networks: StudentTeacher, optimizer: torch.optim.Optimizer, recipe: Recipe, finite: bool
) -> bool:
    """Clip and step; a step without a finite loss or gradient is skipped, by all processes alike."""
    if not finite:
        return False
    norms = [
        whole(torch.nn.utils.clip_grad_norm_(part.parameters(), recipe.optim.clip_gradient))
        for part in networks.student_parts()
    ]
    if not all(math.isfinite(float(norm)) for norm in norms):
        return False
    optimizer.step()
    return True


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
    checkpoints = processes.from_main(lambda: list_checkpoints(run.checkpoints))
    if not checkpoints:
        return 0
    step = load_checkpoint(checkpoints[-1], networks, optimizer, processes)
    require_finite_state(networks, optimizer, step, run.checkpoints, processes)
    log.info("going on after step %d (%s)", step, checkpoints[-1].name)
    return step


def _save(
    run: RunFolder,
    step: int,
    networks: StudentTeacher,
    optimizer: torch.optim.Optimizer,
    manifest: Manifest,
    *,
    processes: Processes,
) -> None:
    """Write a checkpoint and the teacher's model folder, unless the run has diverged."""
    require_finite_state(networks, optimizer, step, run.checkpoints, processes)
    recipe = networks.recipe
    keep = recipe.runtime.keep_checkpoints
    save_checkpoint(run.checkpoints, step, networks, optimizer, keep, processes=processes)
    heads = {name: whole(value) for name, value in networks.teacher.heads_state().items()}
    backbone = whole_teacher(networks, processes)
    if backbone is None:
        return
    training = {
        "recipe": recipe.model_dump(mode="json", exclude={"runtime"}),
        "seed": recipe.seed,
        "data": manifest.fingerprint(),
        "images": len(set(manifest.strings("path"))),
        "sources": sorted(set(manifest.strings("source"))),
        "steps": step,
        "samples": step * recipe.run.batch,
        **networks.card.training,
        **(described(networks.guide) if networks.guide is not None else {}),
    }
    save_model_folder(run.model, backbone, replace(networks.card, training=training), heads)
