"""The log of a run while it runs: records of every loss term, collapse diagnostics, and online scores."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.encoder import Encoder
from reddino.pretraining.dinov2 import Outputs, StudentTeacher, Targets
from reddino.pretraining.distributed.parallel import whole_teacher
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.run.diagnostics import (
    NAN_LIMIT,
    CollapseDiagnostics,
    batch_too_small,
    collapse_warnings,
    effective_rank,
    recent_losses,
)
from reddino.pretraining.run.folder import RunFolder, read_metrics
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.schedules import StepValues

log = logging.getLogger(__name__)

#: Scores of the teacher while it trains: named numbers, such as the 20-NN macro F1 on labelled cells.
OnlineScore = Callable[[Encoder], dict[str, float]]


class Report:
    """Records of every micro-batch, taken in by all processes; the first one writes, logs and scores."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        networks: StudentTeacher,
        runtime: Runtime,
        *,
        processes: Processes,
        score: OnlineScore | None,
    ) -> None:
        self.recipe, self.run, self.networks, self.runtime = recipe, run, networks, runtime
        self.processes, self.score = processes, score
        prototypes = recipe.head.prototypes if recipe.has_prototypes else 0
        self.diagnostics = CollapseDiagnostics(prototypes, processes)
        self.tokens: Tensor | None = None
        self.skipped = self.skipped_in_a_row = 0
        self.clock = time.perf_counter()
        self.warned_of: set[str] = set()
        self.losses: list[tuple[int, float]] = []

    @property
    def micro_batch(self) -> int:
        """Samples over which targets are balanced."""
        return self.recipe.run.batch // self.recipe.run.accumulate

    def begin(self, step: int) -> None:
        """Warn of what can be known before the first step, and score the start."""
        warning = batch_too_small(self.recipe.head.prototypes, self.micro_batch)
        balanced = self.recipe.has_prototypes and self.recipe.loss.centering == "sinkhorn"
        if warning and balanced and self.processes.is_main:
            log.warning(warning)
        # A run that continues is judged by what it did before, too.
        earlier = read_metrics(self.run.folder)
        self.losses = [(r["step"], r["dino_loss"]) for r in earlier if r["step"] <= step and "dino_loss" in r]
        if step == 0:
            self._score(0)

    def add(self, total: Tensor, losses: Mapping[str, Tensor], targets: Targets, outputs: Outputs) -> None:
        """Take in a micro-batch: every term is recorded by its name. Nothing here waits for the device.

        The rank is that of the teacher's class tokens, or of the student's without prototypes.
        """
        self.tokens = outputs.tokens.detach() if targets.tokens is None else targets.tokens
        values = {"loss": total, **{f"{name}_loss": loss for name, loss in losses.items()}}
        self.diagnostics.add(values, targets.cls)

    def end_step(self, step: int, values: StepValues, *, skipped: bool) -> None:
        """Write a record every `log_every` steps; score the teacher when it is due."""
        self.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if self.skipped_in_a_row >= NAN_LIMIT:
            raise RedDinoError(
                f"the loss or its gradient was not finite for {NAN_LIMIT} steps in a row "
                f"(step {step}); lower optim.lr or run in fp32, and restart in a new folder"
            )
        if step % self.recipe.runtime.log_every == 0 or step == self.recipe.steps:
            self._log(step, values)
        every = self.recipe.online.every
        batch = self.recipe.run.batch
        if every and step < self.recipe.steps and step * batch // every > (step - 1) * batch // every:
            self._score(step)

    def _log(self, step: int, values: StepValues) -> None:
        means = self.diagnostics.means()
        if self.skipped:
            means["skipped_steps"] = float(self.skipped)
        tokens = self.processes.gather(self.tokens) if self.tokens is not None else None
        if self.processes.is_main:
            self._write(step, means, tokens, values)
        self.diagnostics.reset()
        self.skipped = 0
        self.clock = time.perf_counter()

    def _write(self, step: int, means: dict[str, float], tokens: Tensor | None, values: StepValues) -> None:
        samples = max(1, self.diagnostics.seen) * self.micro_batch
        record = {
            "step": step,
            "samples": step * self.recipe.run.batch,
            **means,
            "rank": effective_rank(tokens) if tokens is not None else 0.0,
            **vars(values),
            "samples_per_s": samples / (time.perf_counter() - self.clock),
        }
        if "dino_loss" in means:
            self.losses.append((step, means["dino_loss"]))
        warnings = collapse_warnings(
            record,
            prototypes=self.recipe.head.prototypes,
            dim=self.networks.student.backbone.dim,
            batch=self.micro_batch,
            progress=step / self.recipe.steps,
            losses=recent_losses(self.losses, self.recipe.steps, self.recipe.optim.warmup),
        )
        self.run.log({**record, **({"signs": warnings} if warnings else {})})
        log.info("step %d/%d  %s", step, self.recipe.steps, _line(record))
        for warning in warnings:
            kind = warning.split(":")[0]
            if kind not in self.warned_of:
                log.warning("step %d: %s", step, warning)
                self.warned_of.add(kind)

    def _score(self, step: int) -> None:
        """Score in the first process; the others wait, however long it takes."""
        score = self.score
        if not self.processes.from_main(lambda: score is not None and not self.run.is_scored(step)):
            return
        started = time.perf_counter()
        backbone = whole_teacher(self.networks, self.processes)
        if backbone is not None and score is not None:
            card = replace(self.networks.card, weights_hash="in training")
            # The encoder shares the teacher's weights; it only switches to evaluation mode, in which the
            # teacher always is.
            scores = score(Encoder("teacher", backbone, card, self.runtime))
            backbone.use_fused_attention(self.runtime.fused_attention)
            self.run.log({"step": step, "samples": step * self.recipe.run.batch, **scores})
            log.info("step %d  %s", step, "  ".join(f"{name} {value:.3f}" for name, value in scores.items()))
        self.processes.wait()
        self.clock += time.perf_counter() - started

    def finish(self, step: int) -> None:
        """Score the end of a finished run and close the logs."""
        if self.skipped_in_a_row and self.processes.is_main:
            log.warning(
                "the last %d steps were left out, since their loss or gradient was not finite: the run may "
                "be diverging; compare the model with one of a lower optim.lr",
                self.skipped_in_a_row,
            )
        if step >= self.recipe.steps:
            self._score(step)
        self.run.close()


def _line(record: Mapping[str, float]) -> str:
    """Return a record in a line: the loss, its terms where they are several, and the diagnostics."""
    terms = {name: value for name, value in record.items() if name.endswith("_loss") and value != 0}
    shown = {
        "loss": "loss {:.3f}",
        **({name: f"{name.removesuffix('_loss')} {{:.3f}}" for name in terms} if len(terms) > 1 else {}),
        "target_entropy": "entropy {:.2f}",
        "rank": "rank {:.1f}",
        "prototypes_used": "prototypes {:.0%}",
        "samples_per_s": "{:.1f} samples/s",
    }
    record = {"loss": math.nan, **record}
    return "  ".join(form.format(record[name]) for name, form in shown.items() if name in record)
