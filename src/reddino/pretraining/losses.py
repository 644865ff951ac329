"""The loss terms: DINO on class tokens, iBOT on masked patch tokens, KoLeo."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def cross_entropy(targets: Tensor, logits: Tensor, temperature: float) -> Tensor:
    """-sum_k target_k log softmax(logits / temperature)_k for each row: (B, K), (B, K) -> (B,)."""
    return -(targets * functional.log_softmax(logits.float() / temperature, dim=-1)).sum(dim=-1)


def dino_loss(
    targets: Tensor, global_logits: Tensor, local_logits: Tensor | None, temperature: float
) -> Tensor:
    """Mean cross-entropy over all pairs of a teacher view and a different student view (DINO, eq. 3).

    The description's equation is shorthand: the teacher's and the student's output are of different views of
    one image. The mean is over the pairs that exist, so a run without local crops is scaled as one with them.
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
    """Cross-entropy of masked patches: mean within each crop, summed over crops, divided by their number.

    As in DINOv2, crops without a mask count in the denominator: with half of the crops masked, the term
    weighs half.

    Args:
        targets: (M, K) teacher distributions at the masked patches.
        logits: (M, K) student outputs there.
        weights: (M,) 1 / masked patches of the same crop.
        crops: global crops in the batch, masked or not.
    """
    return (cross_entropy(targets, logits, temperature) * weights).sum() / crops


def koleo_loss(tokens: Tensor) -> Tensor:
    """Kozachenko-Leonenko regulariser (Sablayrolles et al. 2019, eq. 4): -mean log nearest distance.

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
