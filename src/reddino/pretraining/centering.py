"""Teacher targets: Sinkhorn-Knopp (RedDino's choice) or softmax with a moving-average centre (DINO's)."""

from __future__ import annotations

import torch
from torch import Tensor

from reddino.pretraining.distributed.processes import ALONE, Processes


def sinkhorn_knopp(
    logits: Tensor, temperature: float, iterations: int = 3, across: Processes = ALONE
) -> Tensor:
    """Assign samples to prototypes so that every prototype gets an equal share (SwAV; DINOv2; Cuturi 2013).

    Starting from exp(logits / temperature), prototypes are scaled to a mass of 1/K each and samples to 1/B
    each, in turn. Rows that only pad a batch must be left out before: they would take mass.

    Args:
        logits: (B, K) teacher outputs, any float type; computed in float32.
        temperature: of the teacher.
        iterations: of row and column scaling.
        across: the processes that hold a part of the batch each, of any size, also none: B counts them all.

    Returns:
        (B, K) float32, each row a distribution; (0, K) for an empty batch.
    """
    prototypes = logits.shape[1]
    samples = across.sum(logits.new_full((), len(logits), dtype=torch.float32)).clamp_min(1)
    # In place throughout: hidden patches times prototypes are gigabytes on a GPU.
    assignment = logits.detach().to(torch.float32, copy=True).div_(temperature)
    # One shift for all: a prototype's mass is summed over the processes.
    peak = assignment.max() if len(assignment) else assignment.new_full((), -torch.inf)
    assignment.sub_(across.largest(peak)).exp_()
    for _ in range(iterations):
        mass = across.sum(assignment.sum(dim=0, keepdim=True))
        assignment.div_(mass.clamp_min(1e-30) * prototypes)
        assignment.div_(assignment.sum(dim=1, keepdim=True).clamp_min(1e-30) * samples)
    return assignment.mul_(samples)


def centred_softmax(logits: Tensor, center: Tensor, temperature: float) -> Tensor:
    """softmax((logits - center) / temperature) over prototypes: (B, K), center (1, K)."""
    return torch.softmax((logits.float() - center) / temperature, dim=-1)


def moved_center(center: Tensor, logits: Tensor, momentum: float, across: Processes = ALONE) -> Tensor:
    """The centre after a batch: momentum * center + (1 - momentum) * mean of `logits` (DINO, eq. 4).

    The mean is over the rows of all processes; without any the centre stays.
    """
    sums = torch.cat([logits.float().sum(dim=0), logits.new_full((1,), len(logits), dtype=torch.float32)])
    sums = across.sum(sums)
    mean = sums[None, :-1] / sums[-1].clamp_min(1)
    return torch.where(sums[-1] > 0, center * momentum + mean * (1 - momentum), center)


def target_entropy(targets: Tensor) -> Tensor:
    """Mean entropy in nats of (B, K) target distributions; ln K when they are uniform."""
    entropy: Tensor = torch.special.entr(targets).sum(dim=-1).mean()
    return entropy
