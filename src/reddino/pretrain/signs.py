"""Signs of collapse: measured while training runs, and said in words."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from reddino.pretrain.centering import target_entropy

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


@dataclass
class Signs:
    """Sums over the steps since the last report."""

    prototypes: int
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    used: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin a new window."""
        self.steps, self.sums = 0, {}
        self.used = torch.zeros(self.prototypes, dtype=torch.bool)

    def add(self, values: dict[str, float], cls_targets: Tensor) -> None:
        """Take in a step: its scalars, and the class-token targets (2, B, K)."""
        self.steps += 1
        flat = cls_targets.flatten(0, 1)
        for name, value in {**values, "target_entropy": float(target_entropy(flat))}.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.used[flat.argmax(dim=-1).cpu()] = True

    def means(self) -> dict[str, float]:
        """Means over the window, and the share of prototypes that were some sample's first choice."""
        means = {name: value / max(1, self.steps) for name, value in self.sums.items()}
        return {**means, "prototypes_used": float(self.used.float().mean())}


def in_words(
    record: dict[str, float], *, prototypes: int, dim: int, batch: int, progress: float
) -> list[str]:
    """What a record of the log says about collapse, a sentence a sign; empty when all is well.

    Args:
        record: means of a window (`dino_loss`, `target_entropy`, `rank`, `prototypes_used`, `skipped_steps`).
        prototypes: K.
        dim: of the class token.
        batch: samples of one (micro-)batch.
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
