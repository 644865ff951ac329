"""AdamW with DINOv2's rate and decay for each parameter."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import nn

from reddino.networks.backbone import ViTBackbone
from reddino.pretraining.run.recipe_sections import OptimSection
from reddino.pretraining.schedules import StepValues

_START_OF_BACKBONE = ("cls_token", "mask_token", "pos_embed", "patch_embed", "reg_token")


def layer_of(name: str, depth: int) -> int:
    """Return the layer for rate decay: 0 of embeddings, i + 1 of block i, depth + 1 after the blocks."""
    parts = name.split(".")
    if any(part in _START_OF_BACKBONE for part in parts):
        return 0
    if "blocks" in parts:
        return int(parts[parts.index("blocks") + 1]) + 1
    return depth + 1


def decays(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: not to biases, norms and LayerScale."""
    return not (parameter.ndim <= 1 or name.endswith(".bias") or "gamma" in name)


def rate_multiplier(name: str, backbone: nn.Module, optim: OptimSection) -> float:
    """Return the factor on the base rate: backbone, layer-wise decay and patch embedding."""
    if not name.startswith("backbone."):
        return 1.0
    factor = optim.backbone_lr
    if isinstance(backbone, ViTBackbone):
        depth = backbone.depth
        factor *= optim.layer_decay ** (depth + 1 - layer_of(name, depth))
        factor *= optim.patch_embed_lr if "patch_embed" in name else 1.0
    return factor


def parameter_groups(student: nn.Module, optim: OptimSection) -> list[dict[str, Any]]:
    """Group the parameters that share a rate factor and a decay.

    Checkpoints number parameters group by group. So the backbone has groups of its own only where its
    schedule differs (`head_warmup`), and runs from before there was one continue.

    Args:
        student: a `backbone` and its heads.
        optim: rates and decays.
    """
    backbone = student.get_submodule("backbone")
    groups: dict[tuple[float, bool, bool, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in student.named_parameters():
        if parameter.requires_grad:
            last = name.endswith("_head.prototypes")
            waits = optim.head_warmup > 0 and name.startswith("backbone.")
            key = (rate_multiplier(name, backbone, optim), decays(name, parameter), last, waits)
            groups[key].append(parameter)
    return [
        {
            "params": parameters,
            "rate_multiplier": rate,
            "decays": decay,
            "last_layer": last,
            "waits": waits,
        }
        for (rate, decay, last, waits), parameters in groups.items()
    ]


def make_optimizer(student: nn.Module, optim: OptimSection) -> torch.optim.AdamW:
    """Make AdamW over the student; `apply_schedule` sets its rates before each step."""
    return torch.optim.AdamW(parameter_groups(student, optim), lr=optim.lr, betas=optim.betas, fused=True)


def apply_schedule(optimizer: torch.optim.Optimizer, values: StepValues) -> None:
    """Set rate and decay of each group for one step."""
    for group in optimizer.param_groups:
        lr = values.last_layer_lr if group["last_layer"] else values.lr
        lr = values.backbone_lr if group["waits"] else lr
        group["lr"] = lr * group["rate_multiplier"]
        group["weight_decay"] = values.weight_decay if group["decays"] else 0.0
