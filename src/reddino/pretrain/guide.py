"""The frozen network of a distillation, called guide to keep it apart from the EMA teacher."""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from reddino.errors import RedDinoError
from reddino.model.backbone import Backbone, ViTBackbone
from reddino.model.catalogue import open_backbone
from reddino.model.folder import ModelCard, at_size
from reddino.pretrain.recipe import Recipe
from reddino.smears.morphology import NAMES


class Words(NamedTuple):
    """What a guide says of crops, or what the student guesses that it says.

    Attributes:
        pooled: (C, d) pooled output of each crop, or None where that is not distilled.
        spatial: (C, N, e) features of N places on a square grid, line by line, or None.
        shapes: (C, f) hand-crafted features of the central cell, or None.
    """

    pooled: Tensor | None
    spatial: Tensor | None
    shapes: Tensor | None = None


class Symmetry(NamedTuple):
    """One of the eight symmetries of a square: quarter turns, then perhaps a flip."""

    turns: int
    flipped: bool

    def of(self, crops: Tensor) -> Tensor:
        """Crops (C, 3, s, s), turned and flipped."""
        turned = crops.rot90(self.turns, (2, 3))
        return turned.flip(3) if self.flipped else turned

    def undone(self, places: Tensor) -> Tensor:
        """A feature map (C, N, e) of such crops, line by line, as it lies on the crops before."""
        side = isqrt(places.shape[1])
        grid = places.reshape(len(places), side, side, -1)
        return (grid.flip(2) if self.flipped else grid).rot90(-self.turns, (1, 2)).flatten(1, 2)


#: The first is none; each further one is far from those before it.
SYMMETRIES = tuple(
    Symmetry(turns, flipped)
    for turns, flipped in (
        (0, False),
        (1, True),
        (2, False),
        (3, True),
        (1, False),
        (0, True),
        (3, False),
        (2, True),
    )
)


def _added(total: Tensor | None, part: Tensor) -> Tensor:
    return part.float() if total is None else total + part.float()


def _agreed(words: Tensor) -> Tensor:
    """(2 B, d) in which both crops of a sample have the mean of what was said of each."""
    first, second = words.chunk(2)
    return ((first + second) / 2).repeat(2, 1)


class Guide:
    """A frozen network beside student and teacher: no part of their state, and in no checkpoint.

    Attributes:
        name: as the recipe gives it (`distill.teacher`).
        card: its normalisation and channel order.
        weights: 16 hex digits of its weights.
        parameters: how many it has.
        dim: numbers of its pooled output; 0 where that is not distilled.
        map_side, map_dim: places along an edge of its last feature map, and numbers a place; 0 likewise.
        shape_dim: hand-crafted features that are distilled beside it; 0 likewise.
        orientations: in how many of the eight flips and quarter turns it is shown each crop.
        consensus: whether what is said of both crops of a sample is averaged.
    """

    def __init__(
        self,
        name: str,
        backbone: Backbone,
        card: ModelCard,
        *,
        pooled: bool,
        spatial: bool,
        morphology: bool = False,
        orientations: int = 1,
        consensus: bool = False,
    ) -> None:
        self.orientations, self.consensus = orientations, consensus
        self.name, self.card, self.weights = name, card, card.weights_hash
        self.parameters = sum(parameter.numel() for parameter in backbone.parameters())
        self._backbone = backbone.requires_grad_(False).eval()
        self._backbone.use_fused_attention(True)  # slow in backward passes alone, of which there is none
        self.dim = backbone.dim if pooled else 0
        self.shape_dim = len(NAMES) if morphology else 0
        whose = f"distill.teacher={name}"
        self.map_side, self.map_dim = map_shape(backbone, card.image_size, whose) if spatial else (0, 0)

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        self._backbone.to(device)

    @torch.no_grad()
    def says(self, clean: Tensor, shapes: Tensor | None = None) -> Words:
        """Pooled output and feature map of clean crops, and what was measured of them.

        Words are means over the orientations; maps are turned back before.

        Args:
            clean: (2 B, 3, s, s) crops, normalised as the card says; first all first crops, then all second.
            shapes: (2 B, f) their hand-crafted features, where these are distilled.
        """
        pooled = spatial = None
        for symmetry in SYMMETRIES[: self.orientations]:
            tokens = self._backbone(symmetry.of(clean))
            if self.dim:
                pooled = _added(pooled, tokens.cls)
            if self.map_dim:
                assert tokens.patches is not None
                spatial = _added(spatial, symmetry.undone(tokens.patches))
        found, places = (None if part is None else part / self.orientations for part in (pooled, spatial))
        if self.consensus:
            found, shapes = (None if part is None else _agreed(part) for part in (found, shapes))
        return Words(found, places, shapes)


def open_guide(recipe: Recipe) -> Guide | None:
    """The guide of a recipe with its weights, on the CPU; None where the recipe has no `distill` section.

    Raises:
        RedDinoError: the name is not known, the weights cannot be had, or the crops do not fit the network.
    """
    section, size = recipe.distill, recipe.clean_size
    if section is None or size is None:
        return None
    backbone, card = open_backbone(section.teacher)
    if isinstance(backbone, ViTBackbone) and size % backbone.patch_size:
        nearest = max(1, round(size / backbone.patch_size)) * backbone.patch_size
        raise RedDinoError(
            f"distill.teacher={section.teacher} has patches of {backbone.patch_size} px, of which {size} px "
            f"are no multiple; set distill.image_size={nearest}"
        )
    backbone, card = at_size(backbone, card, size)
    return Guide(
        section.teacher,
        backbone,
        card,
        pooled=section.pooled > 0 or section.relations > 0,
        spatial=section.spatial > 0,
        morphology=section.morphology > 0,
        orientations=section.orientations,
        consensus=section.consensus,
    )


def described(guide: Guide) -> dict[str, str]:
    """What run folders and model cards say of a guide."""
    return {"distilled_from": guide.name, "distilled_from_weights": guide.weights}


@torch.no_grad()
def map_shape(backbone: Backbone, size: int, name: str) -> tuple[int, int]:
    """Places along an edge of the last feature map at crops of `size` px, and numbers a place.

    A network without tokens is made to give its map from now on (`gives_map`), and left in evaluation.

    Raises:
        RedDinoError: the network does not take crops of that size, or has no square map; `name` says whose.
    """
    if isinstance(backbone, ViTBackbone):
        return size // backbone.patch_size, backbone.dim
    backbone.gives_map = True
    try:
        patches = backbone.eval()(torch.zeros(1, 3, size, size)).patches
    except (RuntimeError, AssertionError, RedDinoError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:160].rstrip(".")
        raise RedDinoError(
            f"{name} gives no feature map of crops of {size} px: {reason}; give it another size "
            "(crops.global_size; distill.image_size for the teacher) or set distill.spatial=0"
        ) from error
    assert patches is not None
    side = isqrt(patches.shape[1])
    if side == 0 or side * side != patches.shape[1]:
        raise RedDinoError(
            f"{name} has a feature map of {patches.shape[1]} places, which is no square grid; set "
            "distill.spatial=0"
        )
    return side, int(patches.shape[2])
