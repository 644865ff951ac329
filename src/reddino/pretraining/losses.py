"""The mathematics of DINOv2's objective: targets from the teacher's outputs, and the loss terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from reddino.foundations.errors import RedDinoError
from reddino.pretraining.distributed.processes import ALONE, Processes

T = TypeVar("T")


def sinkhorn_knopp(
    logits: Tensor, temperature: float, iterations: int = 3, across: Processes = ALONE
) -> Tensor:
    """Assign samples to prototypes so that all prototypes are used equally (SwAV; DINOv2; Cuturi 2013).

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
    # In place throughout: masked patches times prototypes are gigabytes on a GPU.
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
    """Return softmax((logits - center) / temperature) over prototypes: (B, K), center (1, K)."""
    return torch.softmax((logits.float() - center) / temperature, dim=-1)


def moved_center(center: Tensor, logits: Tensor, momentum: float, across: Processes = ALONE) -> Tensor:
    """Return the centre after a batch: momentum * center + (1 - momentum) * mean of `logits` (DINO, eq. 4).

    The mean is over the rows of all processes. Without any row the centre stays.
    """
    sums = torch.cat([logits.float().sum(dim=0), logits.new_full((1,), len(logits), dtype=torch.float32)])
    sums = across.sum(sums)
    mean = sums[None, :-1] / sums[-1].clamp_min(1)
    return torch.where(sums[-1] > 0, center * momentum + mean * (1 - momentum), center)


def target_entropy(targets: Tensor) -> Tensor:
    """Return the mean entropy in nats of (B, K) target distributions; ln K when they are uniform."""
    entropy: Tensor = torch.special.entr(targets).sum(dim=-1).mean()
    return entropy


def cross_entropy(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """Return -sum_k target_k log softmax(logits / temperature)_k of each row: (B, K), (B, K) -> (B,)."""
    return -(targets * functional.log_softmax(logits.float() / temperature, dim=-1)).sum(dim=-1)


def dino_loss(
    targets: Tensor, global_logits: Tensor, local_logits: Tensor | None, temperature: float
) -> Tensor:
    """Return the mean cross-entropy over all pairs of a teacher view and another student view (DINO, eq. 3).

    The paper's equation is shorthand: the teacher's and the student's output are of different views of one
    image. The mean is over the pairs that exist, so a run without local crops is scaled as one with them.
    Every local crop meets both teacher views, so its cross-entropy is with the sum of the two targets.

    Args:
        targets: (2, B, K) teacher distributions of the two global crops.
        global_logits: (2, B, K) student outputs of the same crops.
        local_logits: (L, B, K) student outputs of the local crops, or None.
        temperature: of the student.
    """
    batch = targets.shape[1]
    pairs = 2
    log_global = functional.log_softmax(global_logits.float() / temperature, dim=-1)
    total = -(targets.flip(0) * log_global).sum()
    if local_logits is not None and len(local_logits):
        log_local = functional.log_softmax(local_logits.float() / temperature, dim=-1)
        total = total - (targets.sum(dim=0) * log_local.sum(dim=0)).sum()
        pairs += 2 * len(local_logits)
    return total / (pairs * batch)


def ibot_loss(targets: Tensor, logits: Tensor, weights: Tensor, crops: int, temperature: float) -> Tensor:
    """Return the cross-entropy of masked patches: mean within a crop, summed over crops, over their number.

    As in DINOv2, crops without a mask count in the denominator: with half of the crops masked, the term
    weighs half.

    Args:
        targets: (M, K) teacher distributions at the masked patches.
        logits: (M, K) student outputs there.
        weights: (M,) 1 / masked patches of the same crop.
        crops: global crops in the batch, masked or not.
        temperature: of the student.
    """
    return (cross_entropy(targets, logits, temperature) * weights).sum() / crops


def koleo_loss(tokens: Tensor) -> Tensor:
    """Return the KoLeo regulariser: -mean log nearest distance (Sablayrolles et al. 2019, eq. 4).

    Args:
        tokens: (B, d) student class tokens before the head, of one global crop; normalised here.
    """
    x = functional.normalize(tokens.float(), dim=-1, eps=1e-8)
    # Autocast would round similarities to bfloat16, in which many neighbours are equally near.
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        similarity = x @ x.T
        similarity.fill_diagonal_(-1.0)
        nearest = similarity.argmax(dim=1)
    distance = (x - x[nearest]).add(1e-8).norm(dim=-1)
    return -torch.log(distance + 1e-8).mean()


def require_same_names(terms: Mapping[str, T], weights: Mapping[str, float]) -> dict[str, tuple[T, float]]:
    """Pair the terms of the loss with their weights in the recipe, in the order of the terms.

    A term that nothing weighs, or a weight without a term, would be passed over without a word.

    Raises:
        RedDinoError: names the first of them.
    """
    for name in weights.keys() - terms.keys():
        raise RedDinoError(f"loss.{name} is a weight without a term: add it to StudentTeacher.loss_terms")
    for name in terms.keys() - weights.keys():
        raise RedDinoError(f"the loss term '{name}' has no weight: add it to LossSection")
    return {name: (term, weights[name]) for name, term in terms.items()}


def total_loss(terms: Mapping[str, Tensor], *weights: Mapping[str, float]) -> Tensor:
    """Return the weighted sum of the loss terms.

    Args:
        terms: scalars by name.
        weights: of the recipe, a mapping for each of its sections; names without a term are passed over.
            Sections are summed one by one, which settles the rounding.
    """
    sections = [[weight * terms[name] for name, weight in one.items() if name in terms] for one in weights]
    return torch.as_tensor(sum(sum(section) for section in sections))
