"""The training loop: batch, teacher targets, student predictions, losses, step, EMA."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reddino.errors import RedDinoError
from reddino.model.backbone import ViTBackbone
from reddino.model.encoder import Encoder, normalise
from reddino.model.folder import ModelCard, save_model_folder
from reddino.pretrain import signs
from reddino.pretrain.checkpoint import list_checkpoints, load_checkpoint, save_checkpoint
from reddino.pretrain.crops import MultiCrop
from reddino.pretrain.data import CropBatch, PretrainingStream
from reddino.pretrain.image_cache import ImageCache, open_cache
from reddino.pretrain.interrupt import Interruption
from reddino.pretrain.masking import MaskedPatches, sample_masks
from reddino.pretrain.optim import apply_schedule, make_optimizer
from reddino.pretrain.pixel_ops import PixelOperations
from reddino.pretrain.randomness import TORCH, derived_seed
from reddino.pretrain.recipe import Recipe
from reddino.pretrain.run_folder import RunFolder
from reddino.pretrain.sampling import PatchSpec
from reddino.pretrain.schedules import StepValues, values_at
from reddino.pretrain.student_teacher import Losses, StudentTeacher, Targets, Views, drop_path_plan
from reddino.runtime import Runtime, choose_runtime
from reddino.smears.manifest import Manifest

log = logging.getLogger(__name__)

#: Scores the teacher while it trains: named numbers, such as the 20-NN macro F1 on labelled cells.
OnlineScore = Callable[[Encoder], dict[str, float]]
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
    progress: Progress | None = None,
) -> Outcome:
    """Pretrain on the images of `manifest`; an interrupted run in `folder` goes on from its last checkpoint.

    Resumed with the same number of threads, the weights are bit for bit those of an undisturbed run.

    Args:
        recipe: everything that the result depends on.
        manifest: images; labels are not used.
        folder: the run folder.
        cell_diameters: source -> pixels, where patches are cut in cell diameters and the manifest has none.
        online_score: called with the teacher every `runtime.score_every` samples, and at the start and end.
        cache_folder: where decoded images are kept; None: inside the run folder.
        progress: called with the steps done and the steps planned, at the start and after each step.

    Returns:
        The outcome; `finished` is False after Ctrl-C or SIGTERM.

    Raises:
        RedDinoError: the recipe, the images or the folder do not fit, or the loss stays without a finite
            value.
    """
    runtime = choose_runtime(recipe.runtime.device, recipe.run.precision, recipe.runtime.threads)
    run = RunFolder(folder)
    # Before the images are decoded, which can take long, and for nothing if the folder holds another run.
    run.require_same(recipe, manifest.fingerprint())
    cache = open_cache(
        manifest,
        cache_folder or folder / "cache",
        cell_diameters=cell_diameters,
        max_cell_diameter=recipe.data.max_cell_diameter,
    )
    for remark in run.begin(recipe, manifest.fingerprint(), runtime.threads, runtime.precision):
        log.warning(remark)
    networks = StudentTeacher(recipe).to(runtime.device)
    for branch in (networks.student, networks.teacher):
        branch.backbone.use_fused_attention(runtime.fused_attention)
    optimizer = make_optimizer(networks.student, recipe.optim)
    step = _restore(run, networks, optimizer)
    run.open_metrics(step, recipe.runtime.tensorboard)
    run.note_failures(cache.failures)
    run.note_seen(recipe.model.start, cache)
    report = _Report(recipe, run, networks, runtime, online_score)
    report.begin(step)
    advance = progress or (lambda done, planned: None)
    advance(step, recipe.steps)

    batches = iter(make_stream(recipe, cache, start_step=step))
    with Interruption() as interruption:
        while step < recipe.steps and not interruption.asked:
            values = values_at(step, recipe)
            apply_schedule(optimizer, values)
            optimizer.zero_grad(set_to_none=True)
            for part in split(next(batches), recipe.run.accumulate):
                views = make_views(part, recipe, networks, runtime)
                with runtime.autocast():
                    targets = networks.targets(views, values.teacher_temperature)
                    losses = networks.losses(views, targets)
                (losses.total / recipe.run.accumulate).backward()  # type: ignore[no-untyped-call]
                report.add(losses, targets)
            stepped = take_step(networks, optimizer, recipe, report.finite)
            if stepped:
                networks.update_teacher(values.ema_momentum)
            step += 1
            report.end_step(step, values, skipped=not stepped)
            advance(step, recipe.steps)
            if step % recipe.runtime.checkpoint_every == 0 and step < recipe.steps:
                _save(run, step, networks, optimizer, manifest)
    if step > 0:
        _save(run, step, networks, optimizer, manifest)
    report.finish(step)
    return Outcome(step, recipe.steps, run.model)


def make_stream(recipe: Recipe, cache: ImageCache, start_step: int = 0) -> PretrainingStream:
    """The batches of a run from `start_step` on."""
    crops, augmentation, data = recipe.crops, recipe.augmentation, recipe.data
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
    )
    patches = PatchSpec(
        side=data.patch_side,
        unit=data.patch_unit,
        layout=data.layout,
        an_epoch=data.epoch_counts,
        source_exponent=data.source_exponent,
        candidates=data.candidates,
        batch_from=data.batch_from,
        batch=recipe.run.batch // recipe.run.accumulate,
    )
    return PretrainingStream(
        cache,
        multi_crop,
        patches,
        seed=recipe.seed,
        batch_size=recipe.run.batch,
        workers=recipe.runtime.workers,
        start_sample=start_step * recipe.run.batch,
        stop_sample=recipe.steps * recipe.run.batch,
    )


def split(batch: CropBatch, parts: int) -> Iterator[CropBatch]:
    """The micro-batches of a batch."""
    size = len(batch.sample_index) // parts
    for first in range(0, parts * size, size):
        part = slice(first, first + size)
        yield CropBatch(
            batch.global_crops[:, part],
            batch.local_crops[:, part],
            batch.sample_index[part],
            batch.image_row[part],
        )


def make_views(batch: CropBatch, recipe: Recipe, networks: StudentTeacher, runtime: Runtime) -> Views:
    """Normalise a micro-batch on the device, and draw its masks and dropped paths from its sample indices."""
    backbone, index = networks.student.backbone, batch.sample_index.numpy()
    torch.manual_seed(derived_seed(recipe.seed, TORCH, int(index[0])))
    masked = None
    if recipe.loss.ibot > 0 and isinstance(backbone, ViTBackbone):
        side = recipe.crops.global_size // backbone.patch_size
        masks = sample_masks(recipe.seed, index, side, recipe.masking.images, recipe.masking.patches)
        masked = MaskedPatches.of(masks.reshape(-1, side * side), runtime.device)
    crops = 2 + recipe.crops.local_count
    has_local = recipe.crops.local_count > 0
    return Views(
        _to_network(batch.global_crops, networks.card, runtime),
        _to_network(batch.local_crops, networks.card, runtime) if has_local else None,
        masked,
        _kept(recipe, index, range(2), backbone.residual_branches, runtime),
        _kept(recipe, index, range(2, crops), backbone.residual_branches, runtime),
    )


def _to_network(crops: Tensor, card: ModelCard, runtime: Runtime) -> Tensor:
    """(C, B, s, s, 3) uint8 to (C B, 3, s, s) float."""
    return normalise(crops.flatten(0, 1).to(runtime.device, non_blocking=True), card.mean, card.std)


def _kept(
    recipe: Recipe, index: np.typing.NDArray[np.int64], crops: range, branches: int, runtime: Runtime
) -> list[Tensor] | None:
    plan = drop_path_plan(recipe.seed, index, crops, branches, recipe.model.drop_path)
    return [kept.to(runtime.device) for kept in plan] if plan is not None else None


def take_step(
    networks: StudentTeacher, optimizer: torch.optim.Optimizer, recipe: Recipe, finite: bool
) -> bool:
    """Clip and step; a step without a finite loss or gradient is skipped."""
    if not finite:
        return False
    norms = [
        torch.nn.utils.clip_grad_norm_(part.parameters(), recipe.optim.clip_gradient)
        for part in networks.student_parts()
    ]
    if not all(math.isfinite(float(norm)) for norm in norms):
        return False
    optimizer.step()
    return True


def _restore(run: RunFolder, networks: StudentTeacher, optimizer: torch.optim.Optimizer) -> int:
    checkpoints = list_checkpoints(run.checkpoints)
    if not checkpoints:
        return 0
    step = load_checkpoint(checkpoints[-1], networks, optimizer)
    log.info("going on after step %d (%s)", step, checkpoints[-1].name)
    return step


def _save(
    run: RunFolder, step: int, networks: StudentTeacher, optimizer: torch.optim.Optimizer, manifest: Manifest
) -> None:
    """Write a checkpoint and the teacher's model folder."""
    recipe = networks.recipe
    save_checkpoint(run.checkpoints, step, networks, optimizer, recipe.runtime.keep_checkpoints)
    training = {
        "recipe": recipe.model_dump(mode="json", exclude={"runtime"}),
        "seed": recipe.seed,
        "data": manifest.fingerprint(),
        "images": len(set(manifest.strings("path"))),
        "sources": sorted(set(manifest.strings("source"))),
        "steps": step,
        "samples": step * recipe.run.batch,
    }
    card = ModelCard(**{**vars(networks.card), "training": training})
    save_model_folder(run.model, networks.teacher.backbone, card, networks.teacher.heads_state())


class _Report:
    """What a run says while it runs: records, signs of collapse, and online scores."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        networks: StudentTeacher,
        runtime: Runtime,
        score: OnlineScore | None,
    ) -> None:
        self.recipe, self.run, self.networks, self.runtime = recipe, run, networks, runtime
        self.score = score
        self.signs = signs.Signs(recipe.head.prototypes)
        self.finite = True
        self.tokens: Tensor | None = None
        self.skipped_in_a_row = 0
        self.clock = time.perf_counter()
        self.said: set[str] = set()

    def begin(self, step: int) -> None:
        """Say what can be known before the first step."""
        warning = signs.batch_too_small(
            self.recipe.head.prototypes, self.recipe.run.batch // self.recipe.run.accumulate
        )
        if warning and self.recipe.loss.centering == "sinkhorn":
            log.warning(warning)
        if step == 0:
            self._score(0)

    def add(self, losses: Losses, targets: Targets) -> None:
        """Take in a micro-batch."""
        self.finite = self.finite and bool(torch.isfinite(losses.total))
        values = {
            "loss": losses.total.item(),
            "dino_loss": losses.dino.item(),
            "ibot_loss": losses.ibot.item(),
            "koleo_loss": losses.koleo.item(),
        }
        self.tokens = targets.tokens
        if math.isfinite(values["loss"]):
            self.signs.add(values, targets.cls)

    def end_step(self, step: int, values: StepValues, *, skipped: bool) -> None:
        """Log and judge every `log_every` steps; score the teacher when it is due."""
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if skipped:
            self.signs.sums["skipped_steps"] = self.signs.sums.get("skipped_steps", 0.0) + 1
        if self.skipped_in_a_row >= signs.NAN_LIMIT:
            raise RedDinoError(
                f"the loss or its gradient was not finite for {signs.NAN_LIMIT} steps in a row "
                f"(step {step}); lower optim.lr or run in fp32, and begin again in a new folder"
            )
        self.finite = True
        if step % self.recipe.runtime.log_every == 0 or step == self.recipe.steps:
            self._log(step, values)
        every = self.recipe.runtime.score_every
        batch = self.recipe.run.batch
        if every and step < self.recipe.steps and step * batch // every > (step - 1) * batch // every:
            self._score(step)

    def _log(self, step: int, values: StepValues) -> None:
        means = self.signs.means()
        if "skipped_steps" in means:
            means["skipped_steps"] *= max(1, self.signs.steps)
        now = time.perf_counter()
        window = max(1, self.signs.steps) * self.recipe.run.batch / self.recipe.run.accumulate
        record = {
            "step": step,
            "samples": step * self.recipe.run.batch,
            **means,
            "rank": signs.effective_rank(self.tokens) if self.tokens is not None else 0.0,
            **vars(values),
            "samples_per_s": window / (now - self.clock),
        }
        words = signs.in_words(
            record,
            prototypes=self.recipe.head.prototypes,
            dim=self.networks.student.backbone.dim,
            batch=self.recipe.run.batch // self.recipe.run.accumulate,
            progress=step / self.recipe.steps,
        )
        self.run.log({**record, **({"signs": words} if words else {})})
        log.info(
            "step %d/%d  loss %.3f  entropy %.2f  rank %.1f  prototypes %.0f%%  %.1f samples/s",
            step, self.recipe.steps, means.get("loss", math.nan), means.get("target_entropy", math.nan),
            record["rank"], 100 * means["prototypes_used"], record["samples_per_s"],
        )  # fmt: skip
        for sentence in words:
            if sentence.split(":")[0] not in self.said:
                log.warning("step %d: %s", step, sentence)
                self.said.add(sentence.split(":")[0])
        self.signs.reset()
        self.clock = time.perf_counter()

    def _score(self, step: int) -> None:
        if self.score is None or self.run.is_scored(step):
            return
        started = time.perf_counter()
        card = ModelCard(**{**vars(self.networks.card), "weights_hash": "in training"})
        # The encoder shares the teacher's weights; it switches on nothing but evaluation, where the teacher
        # always is.
        teacher = Encoder("teacher", self.networks.teacher.backbone, card, self.runtime)
        scores = self.score(teacher)
        self.networks.teacher.backbone.use_fused_attention(self.runtime.fused_attention)
        self.run.log({"step": step, "samples": step * self.recipe.run.batch, **scores})
        log.info("step %d  %s", step, "  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
        self.clock += time.perf_counter() - started

    def finish(self, step: int) -> None:
        """Score the end of a finished run and close the logs."""
        if step >= self.recipe.steps:
            self._score(step)
        self.run.close()
