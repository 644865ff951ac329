"""What a run says while it runs: records, signs of collapse, and online scores."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime
from reddino.networks.encoder import Encoder
from reddino.pretraining.branch import Outputs
from reddino.pretraining.dinov2 import Losses, StudentTeacher, Targets
from reddino.pretraining.distributed.parallel import whole_teacher
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.run import diagnostics as signs
from reddino.pretraining.run.folder import RunFolder, read_metrics
from reddino.pretraining.run.recipe import Recipe
from reddino.pretraining.schedules import StepValues

log = logging.getLogger(__name__)

#: Scores the teacher while it trains: named numbers, such as the 20-NN macro F1 on labelled cells.
OnlineScore = Callable[[Encoder], dict[str, float]]


class Report:
    """Takes in every micro-batch in all processes; the first one writes, logs and scores."""

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
        self.signs = signs.Signs(recipe.head.prototypes if recipe.has_prototypes else 0, processes)
        self._finite: Tensor | None = None
        self.tokens: Tensor | None = None
        self.skipped = self.skipped_in_a_row = 0
        self.clock = time.perf_counter()
        self.said: set[str] = set()
        self.losses: list[tuple[int, float]] = []

    @property
    def micro_batch(self) -> int:
        """Samples over which targets are balanced."""
        return self.recipe.run.batch // self.recipe.run.accumulate

    def begin(self, step: int) -> None:
        """Say what can be known before the first step."""
        warning = signs.batch_too_small(self.recipe.head.prototypes, self.micro_batch)
        balanced = self.recipe.has_prototypes and self.recipe.loss.centering == "sinkhorn"
        if warning and balanced and self.processes.is_main:
            log.warning(warning)
        # A run that goes on is judged by what it did before, too.
        earlier = read_metrics(self.run.folder)
        self.losses = [(r["step"], r["dino_loss"]) for r in earlier if r["step"] <= step and "dino_loss" in r]
        if step == 0:
            self._score(0)

    def add(self, losses: Losses, targets: Targets, outputs: Outputs) -> None:
        """Take in a micro-batch; nothing here waits for the device.

        The rank is that of the teacher's class tokens, or of the student's where the teacher is not asked.
        """
        finite = torch.isfinite(losses.total.detach())
        self._finite = finite if self._finite is None else self._finite & finite
        self.tokens = outputs.tokens.detach() if targets.tokens is None else targets.tokens
        values = {
            "loss": losses.total,
            "dino_loss": losses.dino,
            "ibot_loss": losses.ibot,
            "koleo_loss": losses.koleo,
        }
        values |= {f"{name}_loss": loss for name, loss in losses.guided.items()}
        self.signs.add(values, targets.cls)

    def is_finite(self) -> bool:
        """Whether every loss of this step was finite, in all processes."""
        here = self._finite is None or bool(self._finite)
        return not self.processes.any(not here)

    def end_step(self, step: int, values: StepValues, *, skipped: bool) -> None:
        """Log and judge every `log_every` steps; score the teacher when it is due."""
        self.skipped += skipped
        self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
        if self.skipped_in_a_row >= signs.NAN_LIMIT:
            raise RedDinoError(
                f"the loss or its gradient was not finite for {signs.NAN_LIMIT} steps in a row "
                f"(step {step}); lower optim.lr or run in fp32, and begin again in a new folder"
            )
        self._finite = None
        if step % self.recipe.runtime.log_every == 0 or step == self.recipe.steps:
            self._log(step, values)
        every = self.recipe.runtime.score_every
        batch = self.recipe.run.batch
        if every and step < self.recipe.steps and step * batch // every > (step - 1) * batch // every:
            self._score(step)

    def _log(self, step: int, values: StepValues) -> None:
        means = self.signs.means()
        if self.skipped:
            means["skipped_steps"] = float(self.skipped)
        tokens = self.processes.gather(self.tokens) if self.tokens is not None else None
        if self.processes.is_main:
            self._write(step, means, tokens, values)
        self.signs.reset()
        self.skipped = 0
        self.clock = time.perf_counter()

    def _write(self, step: int, means: dict[str, float], tokens: Tensor | None, values: StepValues) -> None:
        samples = max(1, self.signs.seen) * self.micro_batch
        record = {
            "step": step,
            "samples": step * self.recipe.run.batch,
            **means,
            "rank": signs.effective_rank(tokens) if tokens is not None else 0.0,
            **vars(values),
            "samples_per_s": samples / (time.perf_counter() - self.clock),
        }
        if "dino_loss" in means:
            self.losses.append((step, means["dino_loss"]))
        words = signs.in_words(
            record,
            prototypes=self.recipe.head.prototypes,
            dim=self.networks.student.backbone.dim,
            batch=self.micro_batch,
            progress=step / self.recipe.steps,
            losses=signs.recent_losses(self.losses, self.recipe.steps, self.recipe.optim.warmup),
        )
        self.run.log({**record, **({"signs": words} if words else {})})
        log.info("step %d/%d  %s", step, self.recipe.steps, _line(record))
        for sentence in words:
            if sentence.split(":")[0] not in self.said:
                log.warning("step %d: %s", step, sentence)
                self.said.add(sentence.split(":")[0])

    def _score(self, step: int) -> None:
        """Score in the first process; the others wait, however long it takes."""
        score = self.score
        if not self.processes.from_main(lambda: score is not None and not self.run.is_scored(step)):
            return
        started = time.perf_counter()
        backbone = whole_teacher(self.networks, self.processes)
        if backbone is not None and score is not None:
            card = replace(self.networks.card, weights_hash="in training")
            # The encoder shares the teacher's weights; it switches on nothing but evaluation, where the
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


def _line(record: dict[str, float]) -> str:
    """A record in a line: what there is of it."""
    shown = {
        "loss": "loss {:.3f}",
        "pooled_loss": "pooled {:.3f}",
        "spatial_loss": "spatial {:.3f}",
        "morphology_loss": "morphology {:.3f}",
        "relations_loss": "relations {:.3f}",
        "target_entropy": "entropy {:.2f}",
        "rank": "rank {:.1f}",
        "prototypes_used": "prototypes {:.0%}",
        "samples_per_s": "{:.1f} samples/s",
    }
    record = {"loss": math.nan, **record}
    return "  ".join(form.format(record[name]) for name, form in shown.items() if name in record)
