"""Teacher targets: Sinkhorn-Knopp (RedDino's choice) or softmax with a moving-average centre (DINO's)."""

from __future__ import annotations

import torch
from torch import Tensor


def sinkhorn_knopp(logits: Tensor, temperature: float, iterations: int = 3) -> Tensor:
    """Assign samples to prototypes so that every prototype gets an equal share (SwAV; DINOv2; Cuturi 2013).

    Starting from exp(logits / temperature), prototypes are scaled to a mass of 1/K each and samples to 1/B
    each, in turn. Rows that only pad a batch must be left out before: they would take mass.

    Args:
        logits: (B, K) teacher outputs, any float type; computed in float32.
        temperature: of the teacher.
        iterations: of row and column scaling.

    Returns:
        (B, K) float32, each row a distribution; (0, K) for an empty batch.
    """
    samples, prototypes = logits.shape
    if samples == 0:
        return logits.float()
    scaled = logits.float() / temperature
    assignment = torch.exp(scaled - scaled.max())
    for _ in range(iterations):
        assignment = assignment / (assignment.sum(dim=0, keepdim=True).clamp_min(1e-30) * prototypes)
        assignment = assignment / (assignment.sum(dim=1, keepdim=True).clamp_min(1e-30) * samples)
    return assignment * samples


def centred_softmax(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """softmax((logits - center) / temperature) over prototypes: (B, K), center (1, K)."""
    return torch.softmax((logits.float() - center) / temperature, dim=-1)


def moved_center(center: Tensor, logits: Tensor, momentum: float) -> Tensor:
    """The centre after a batch: momentum * center + (1 - momentum) * mean of `logits` (DINO, eq. 4)."""
    if len(logits) == 0:
        return center
    return center * momentum + logits.float().mean(dim=0, keepdim=True) * (1 - momentum)


def target_entropy(targets: Tensor) -> Tensor:
    """Mean entropy in nats of (B, K) target distributions; ln K when they are uniform."""
    entropy: Tensor = torch.special.entr(targets).sum(dim=-1).mean()
    return entropy
