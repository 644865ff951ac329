"""Signs of collapse: measured while training runs, and said in words."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from reddino.pretrain.centering import target_entropy
from reddino.pretrain.distribution import ALONE, Processes

NAN_LIMIT = 10


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the normalised singular values of centred features (Roy & Vetterli 2007).

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


class Signs:
    """Sums over the micro-batches since the last report, kept on the device: nothing waits for them.

    Args:
        prototypes: K; 0 where nothing is compared by prototypes, which then nothing is said of.
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

        One with a scalar that is not finite counts as seen, and for nothing else.
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
        """Means over the window, and the share of prototypes that were some sample's first choice."""
        if self._sums is None:
            return {"prototypes_used": 0.0} if self._prototypes else {}
        *sums, count = self._across.sum(self._sums).tolist()
        means = {name: total / count for name, total in zip(self._names, sums, strict=True)} if count else {}
        if self._used is None:
            return means
        return {**means, "prototypes_used": float(self._across.largest(self._used).mean())}


def in_words(
    record: dict[str, float], *, prototypes: int, dim: int, batch: int, progress: float
) -> list[str]:
    """What a record of the log says about collapse, a sentence a sign; empty when all is well.

    Args:
        record: means of a window (`dino_loss`, `target_entropy`, `rank`, `prototypes_used`, `skipped_steps`).
        prototypes: K.
        dim: of the class token.
        batch: samples of one (micro-)batch, of all processes.
        progress: share of the run that is done; what is normal at the start is not said then.
    """
    words = []
    uniform = math.log(prototypes)
    if record.get("skipped_steps"):
        words.append(
            f"{record['skipped_steps']:.0f} steps gave no finite loss and were skipped: lower "
            "optim.lr or run in fp32"
        )
    if progress < 0.1:
        return words
    if record.get("dino_loss", 0.0) > 0.995 * uniform:
        words.append(
            f"the loss sits at ln K = {uniform:.2f}, as if every output were uniform: try a lower "
            "temperature.teacher_start, fewer head.prototypes, or head.center_output=true"
        )
    if record.get("target_entropy", 0.0) > 0.98 * uniform:
        words.append(
            f"the targets are almost uniform (entropy {record['target_entropy']:.2f} of at most "
            f"{uniform:.2f}): the teacher tells images hardly apart; lower temperature.teacher_start"
        )
    reachable = min(1.0, 2 * batch / prototypes)
    if record.get("prototypes_used", 1.0) < 0.05 * reachable:
        words.append(
            f"only {record['prototypes_used']:.1%} of the prototypes are in use: the output "
            "collapses onto few of them; use loss.centering=sinkhorn, or a higher temperature.teacher_end"
        )
    if record.get("rank", dim) < 0.02 * min(dim, 2 * batch):
        words.append(
            f"the class tokens vary along about {record['rank']:.1f} of {dim} directions: the "
            "features collapse; lower optim.lr, or raise optim.ema_start"
        )
    return words


def batch_too_small(prototypes: int, batch: int) -> str | None:
    """A sentence if prototypes are too many for balanced targets to become sharp (floor ln(K / B))."""
    floor = math.log(max(1.0, prototypes / (2 * batch)))
    if floor > 0.5 * math.log(prototypes):
        return (
            f"head.prototypes={prototypes} is many for {2 * batch} class tokens in a batch: "
            f"Sinkhorn-Knopp keeps the targets' entropy near {floor:.1f} or above; "
            "use fewer prototypes or a larger batch"
        )
    return None
