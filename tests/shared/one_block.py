"""Student and teacher of a ViT with one block, for tests of single steps."""

from __future__ import annotations

from typing import Any

import torch

from reddino.pretraining.dinov2 import Branch, StudentTeacher
from reddino.pretraining.heads import ProjectionHead
from reddino.pretraining.run.recipe import Recipe, make_recipe

BATCH = 3


def recipe(**sections: dict[str, Any]) -> Recipe:
    """A one-block ViT on 56 and 28 px."""
    content: dict[str, Any] = {
        "model": {"backbone": "vit_tiny_patch14", "depth": 1, "layer_scale": 0.1, "drop_path": 0.0},
        "crops": {"global_size": 56, "local_size": 28, "local_count": 2},
        "augmentation": {"operations": ["Blur"], "choose": 1},
        "head": {"hidden": 8, "bottleneck": 4, "prototypes": 6},
        "run": {"samples": 12, "batch": BATCH},
    }
    for section, keys in sections.items():
        content[section] = {**content.get(section, {}), **keys}
    return make_recipe(content, "test")


def apart(networks: StudentTeacher) -> StudentTeacher:
    """Move the teacher away from the student, as training does, and give it a mask token."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in networks.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return networks


def head_of(branch: Branch) -> ProjectionHead:
    """The head with prototypes, which these recipes have."""
    assert branch.dino_head is not None
    return branch.dino_head
