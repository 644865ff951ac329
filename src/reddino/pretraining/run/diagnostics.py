"""Collapse diagnostics: measured while training runs, and the warnings that they give reason for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import torch
from torch import Tensor

from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.losses import target_entropy

NAN_LIMIT = 10
#: A plateau is judged over this fraction of a run, and at least so many records.
PLATEAU_FRACTION, PLATEAU_RECORDS = 0.2, 3
#: At ln K is a loss that lies less than this fraction of ln K below it, and has fallen by less than that
#: fraction over the window. Of the runs on synthetic smears that were examined, those that learned came
#: 0.002 to 0.02 below ln K within half of their length, if slowly; the others never came 0.001 below it.
PLATEAU_DEPTH, PLATEAU_FALL = 0.002, 0.001


def effective_rank(features: Tensor) -> float:
    """Return exp of the entropy of the normalised singular values of centred features (Roy & Vetterli 2007).

    Args:
        features: (n, d).

    Returns:
        From 1 (all variance along one direction) to min(n - 1, d); 0 if the features do not vary at all or
        hold a NaN.
    """
    x = features.float()
    x = x - x.mean(dim=0)
    if not torch.isfinite(x).all():
        return 0.0
    values = torch.linalg.svdvals(x)
    total = values.sum()
    if total <= 1e-12:
        return 0.0
    return float(torch.exp(torch.special.entr(values / total).sum()))


class CollapseDiagnostics:
    """Sums over the micro-batches since the last report, kept on the device: nothing waits for them.

    Args:
        prototypes: K; 0 where nothing is compared by prototypes, of which nothing is measured then.
        across: processes that saw a part of every micro-batch each.
    """

    def __init__(self, prototypes: int, across: Processes = ALONE) -> None:
        self._prototypes, self._across = prototypes, across
        self.reset()

    def reset(self) -> None:
        """Begin a new window."""
        self.seen = 0
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._used: Tensor | None = None

    def add(self, values: Mapping[str, float | Tensor], cls_targets: Tensor | None = None) -> None:
        """Take in a micro-batch: its scalars, and the class-token targets (2, B, K).

        A micro-batch with a scalar that is not finite counts as seen, and for nothing else.
        """
        flat = None if cls_targets is None else cls_targets.flatten(0, 1)
        named = dict(values) if flat is None else {**values, "target_entropy": target_entropy(flat)}
        row = torch.stack([torch.as_tensor(value).detach().double() for value in named.values()])
        finite = torch.isfinite(row).all()
        row = torch.cat([torch.where(finite, row, 0.0), finite[None].double()])
        self._names, self.seen = tuple(named), self.seen + 1
        self._sums = row if self._sums is None else self._sums + row
        if flat is not None:
            used = torch.zeros(self._prototypes, dtype=torch.float32, device=flat.device)
            used[flat.argmax(dim=-1)] = finite.float()
            self._used = used if self._used is None else torch.maximum(self._used, used)

    def means(self) -> dict[str, float]:
        """Return means over the window, and the fraction of prototypes that were a sample's first choice."""
        if self._sums is None:
            return {"prototypes_used": 0.0} if self._prototypes else {}
        *sums, count = self._across.sum(self._sums).tolist()
        means = {name: total / count for name, total in zip(self._names, sums, strict=True)} if count else {}
        if self._used is None:
            return means
        return {**means, "prototypes_used": float(self._across.largest(self._used).mean())}


def recent_losses(history: Sequence[tuple[int, float]], steps: int, warmup: float) -> list[float]:
    """Return the losses by which a plateau is judged, oldest first; none as long as there are too few.

    Args:
        history: (step, DINO loss) of the records of a run so far, in order.
        steps: of the whole run.
        warmup: fraction of the run in which the rate rises; what comes before its end does not count.
    """
    after = [(step, loss) for step, loss in history if step >= warmup * steps]
    if len(after) < PLATEAU_RECORDS:
        return []
    first = after[-1][0] - PLATEAU_FRACTION * steps
    inside = sum(step >= first for step, _ in after)
    return [loss for _, loss in after[-max(inside, PLATEAU_RECORDS) :]]


def is_plateau(losses: Sequence[float], prototypes: int) -> bool:
    """Whether a student has learned nothing of the targets, and is not about to.

    The cross-entropy of any targets with a uniform output is ln K. A student that learns slowly is near ln K
    for long too, but gets lower and lower.

    Args:
        losses: DINO losses of a window, oldest first.
        prototypes: K.
    """
    half = len(losses) // 2
    if half == 0:
        return False
    uniform = math.log(prototypes)
    fallen = fmean(losses[:half]) - fmean(losses[-half:])
    return fmean(losses) > (1 - PLATEAU_DEPTH) * uniform and fallen < PLATEAU_FALL * uniform


def collapse_warnings(
    record: Mapping[str, float],
    *,
    prototypes: int,
    dim: int,
    batch: int,
    progress: float,
    losses: Sequence[float] = (),
) -> list[str]:
    """Return the warnings that a record of the log gives reason for, a sentence each; none when all is well.

    Args:
        record: means of a window (`dino_loss`, `target_entropy`, `rank`, `prototypes_used`, `skipped_steps`).
        prototypes: K.
        dim: of the class token.
        batch: samples of one (micro-)batch, of all processes.
        progress: fraction of the run that is done; what is normal at the start gives no warning then.
        losses: `recent_losses`, the record's own among them.
    """
    warnings = []
    uniform = math.log(prototypes)
    if record.get("skipped_steps"):
        warnings.append(
            f"{record['skipped_steps']:.0f} steps gave no finite loss and were skipped: lower "
            "optim.lr or run in fp32"
        )
    if progress < 0.1:
        return warnings
    if is_plateau(losses, prototypes):
        warnings.append(
            f"the loss stays at ln K: {losses[0]:.3f} before, {losses[-1]:.3f} now, {uniform:.3f} for a "
            "student that separates nothing; try fewer head.prototypes, larger crops, a higher optim.lr, "
            "or head.center_output=true"
        )
    if record.get("target_entropy", 0.0) > 0.98 * uniform:
        warnings.append(
            f"the targets are almost uniform (entropy {record['target_entropy']:.2f} of at most "
            f"{uniform:.2f}): the teacher hardly separates images; lower temperature.teacher_start"
        )
    reachable = min(1.0, 2 * batch / prototypes)
    if record.get("prototypes_used", 1.0) < 0.05 * reachable:
        warnings.append(
            f"only {record['prototypes_used']:.1%} of the prototypes are in use: the output "
            "collapses onto few of them; use loss.centering=sinkhorn, or a higher temperature.teacher_end"
        )
    if record.get("rank", dim) < 0.02 * min(dim, 2 * batch):
        warnings.append(
            f"the class tokens vary along about {record['rank']:.1f} of {dim} directions: the "
            "features collapse; lower optim.lr, or raise optim.ema_start"
        )
    return warnings


def batch_too_small(prototypes: int, batch: int) -> str | None:
    """Return a warning if prototypes are too many for balanced targets to become sharp (floor ln(K / B))."""
    floor = math.log(max(1.0, prototypes / (2 * batch)))
    if floor > 0.5 * math.log(prototypes):
        return (
            f"head.prototypes={prototypes} is many for {2 * batch} class tokens in a batch: "
            f"Sinkhorn-Knopp keeps the targets' entropy near {floor:.1f} or above; "
            "use fewer prototypes or a larger batch"
        )
    return None
