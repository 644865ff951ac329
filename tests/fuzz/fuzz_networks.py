"""The smallest networks that a checkpoint can be restored into."""

from __future__ import annotations

import torch

from reddino.pretraining.build import build_networks
from reddino.pretraining.dinov2 import StudentTeacher
from reddino.pretraining.optim import make_optimizer
from reddino.pretraining.run.recipe import read_recipe

SMALL = (
    "model.depth=1",
    "crops.global_size=56",
    "crops.local_size=28",
    "head.hidden=8",
    "head.bottleneck=8",
    "head.prototypes=8",
    "runtime.workers=0",
    "runtime.threads=1",
)


def small_networks() -> tuple[StudentTeacher, torch.optim.AdamW]:
    """Student, teacher and optimizer of the recipe vit-tiny-scratch in miniature, as freshly drawn."""
    networks = build_networks(read_recipe("vit-tiny-scratch", SMALL))
    return networks, make_optimizer(networks.student, networks.recipe.optim)
