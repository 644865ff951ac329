"""Schedules, each a function of the step and relative to the run's length."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reddino.pretraining.run.recipe import Recipe

REFERENCE_BATCH = 1024


def cosine(step: int, steps: int, start: float, end: float) -> float:
    """Go from `start` at step 0 along half a cosine towards `end` at step `steps`."""
    return end + 0.5 * (start - end) * (1 + math.cos(math.pi * step / steps))


def warmup_cosine(step: int, steps: int, warmup: int, peak: float, end: float) -> float:
    """Rise linearly from 0 to `peak` over `warmup` steps (the first is above 0), then cosine to `end`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return cosine(step - warmup, max(1, steps - warmup), peak, end)


def linear_then_constant(step: int, ramp: int, start: float, end: float) -> float:
    """Go linearly from `start` to `end` over `ramp` steps, then `end`."""
    return end if step >= ramp else start + (end - start) * step / ramp


def risen(step: int, start: int, ramp: int) -> float:
    """Return 0 before step `start`, then linear to 1 over `ramp` steps; always 1 where `start` is 0."""
    if start == 0:
        return 1.0
    return min(1.0, max(0.0, (step - start + 1) / max(1, ramp)))


@dataclass(frozen=True)
class StepValues:
    """The scheduled values of one step."""

    lr: float
    backbone_lr: float
    last_layer_lr: float
    weight_decay: float
    ema_momentum: float
    teacher_temperature: float


def values_at(step: int, recipe: Recipe) -> StepValues:
    """Return all scheduled values at `step` of the run that `recipe` describes."""
    optim, temperature, steps = recipe.optim, recipe.temperature, recipe.steps
    peak = optim.lr * math.sqrt(recipe.run.batch / REFERENCE_BATCH)
    warmup = round(optim.warmup * steps)
    lr = warmup_cosine(step, steps, warmup, peak, optim.lr_end)
    return StepValues(
        lr=lr,
        backbone_lr=lr * risen(step, round(optim.head_warmup * steps), warmup),
        last_layer_lr=0.0 if step < round(optim.freeze_last_layer * steps) else lr,
        weight_decay=cosine(step, steps, optim.weight_decay, optim.weight_decay_end),
        ema_momentum=cosine(step, steps, optim.ema_start, optim.ema_end),
        teacher_temperature=linear_then_constant(
            step,
            round(temperature.teacher_warmup * steps),
            temperature.teacher_start,
            temperature.teacher_end,
        ),
    )
