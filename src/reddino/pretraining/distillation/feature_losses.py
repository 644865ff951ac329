"""The losses of a distillation: features against features, and neighbourhoods against neighbourhoods."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from reddino.pretraining.distillation.teacher import TeacherFeatures


def feature_loss(targets: Tensor, predictions: Tensor) -> Tensor:
    """Return half the cosine distance and half the smooth L1 distance, as UNIC (Sariyildiz et al. 2024).

    Means over all rows. The cosine compares the direction of a whole vector, smooth L1 each number, with
    little weight on the long tails of rectified features.

    Args:
        targets: (..., d) standardised features of the teacher.
        predictions: (..., d) of the student.
    """
    predictions = predictions.float()
    cosine = 1 - functional.cosine_similarity(predictions, targets, dim=-1).mean()
    return 0.5 * cosine + 0.5 * functional.smooth_l1_loss(predictions, targets)


def teacher_metric(features: TeacherFeatures, widths: Sequence[int]) -> Tensor:
    """Return (C, d) vectors whose distances are the teacher's: each part of them has length 1.

    Args:
        features: standardised; of pooled and morphology features, those that there are.
        widths: numbers of the pooled features of each network, each of which is a part.
    """
    networks = [] if features.pooled is None else torch.split(features.pooled, list(widths), dim=-1)
    morphology = [] if features.morphology is None else [features.morphology]
    return torch.cat([functional.normalize(part, dim=-1) for part in (*networks, *morphology)], dim=-1)


def relation_loss(targets: Tensor, tokens: Tensor, temperature: float) -> Tensor:
    """Return how far the student's neighbours are from being the teacher's.

    For each crop the others are weighed by softmax(-squared distance / temperature), with distances as
    fractions of their mean; the loss is the mean Kullback-Leibler divergence of the teacher's weights from
    the student's. It is of the embedding itself, without a head: nearest neighbours read raw distances there.

    Args:
        targets: (C, d) vectors with the teacher's distances.
        tokens: (C, e) student's pooled output; neither its scale nor its mean matters.
        temperature: as a fraction of the mean squared distance.
    """
    wanted, found = (_log_weights(part.float(), temperature) for part in (targets, tokens))
    return functional.kl_div(found, wanted, reduction="sum", log_target=True) / len(targets)


def _log_weights(vectors: Tensor, temperature: float) -> Tensor:
    """Return (C, C - 1) log-softmax of -squared distance to the others, over its mean and the temperature."""
    count = len(vectors)
    lengths = vectors.square().sum(dim=1)
    # Autocast would round the product to bfloat16, and the difference of near crops is lost in that.
    with torch.autocast(vectors.device.type, enabled=False):
        # Not cdist: its gradient is not finite where two crops are the same.
        distances = (lengths[:, None] + lengths[None] - 2 * vectors @ vectors.T).clamp_min(0)
    # All but the diagonal, which stands count + 1 places apart. A mask would make the CPU wait for a GPU.
    distances = distances.flatten()[1:].reshape(count - 1, count + 1)[:, :-1].reshape(count, count - 1)
    return functional.log_softmax(-distances / (temperature * distances.mean().clamp_min(1e-12)), dim=1)
