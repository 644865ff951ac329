"""The frozen networks of a distillation: the distillation teacher, apart from the EMA teacher of DINOv2."""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Backbone, ViTBackbone
from reddino.networks.catalogue import open_backbone
from reddino.networks.folder import ModelCard, at_size
from reddino.networks.graph import normalise
from reddino.pretraining.run.recipe import Recipe
from reddino.rbc.morphology import NAMES


class TeacherFeatures(NamedTuple):
    """Features of crops: the teacher's, or the student's predictions of them.

    Attributes:
        pooled: (C, d) pooled output of each crop, or None where that is not distilled.
        spatial: (C, N, e) features of N places on a square grid, line by line, or None.
        morphology: (C, f) hand-crafted features of the central cell, or None.
    """

    pooled: Tensor | None
    spatial: Tensor | None
    morphology: Tensor | None = None


class Symmetry(NamedTuple):
    """One of the eight symmetries of a square: quarter turns, then perhaps a flip."""

    turns: int
    flipped: bool

    def of(self, crops: Tensor) -> Tensor:
        """Turn and flip crops (C, 3, s, s)."""
        turned = crops.rot90(self.turns, (2, 3))
        return turned.flip(3) if self.flipped else turned

    def undone(self, places: Tensor) -> Tensor:
        """Turn a feature map (C, N, e) of such crops, line by line, back to the crops as they were before."""
        side = isqrt(places.shape[1])
        grid = places.reshape(len(places), side, side, -1)
        return (grid.flip(2) if self.flipped else grid).rot90(-self.turns, (1, 2)).flatten(1, 2)


#: The first changes nothing; each further one is far from those before it.
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


def _averaged(features: Tensor) -> Tensor:
    """Give both crops of a sample the mean of their features (2 B, d)."""
    first, second = features.chunk(2)
    return ((first + second) / 2).repeat(2, 1)


class FrozenNetwork(NamedTuple):
    """One network of a teacher: its name in the recipe, and its size, colours and channel order."""

    name: str
    backbone: Backbone
    card: ModelCard

    def input_of(self, clean: Tensor) -> Tensor:
        """Turn crops (C, s, s, 3) uint8 RGB into the network's input (C, 3, c, c)."""
        card = self.card
        pixels = clean.flip(-1) if card.channel_order == "BGR" else clean
        crops, size = normalise(pixels, card.mean, card.std), card.image_size
        if crops.shape[-1] == size:
            return crops
        return functional.interpolate(crops, (size, size), mode="bilinear", antialias=True)


class DistillationTeacher:
    """Frozen networks apart from student and EMA teacher: no part of their state, and in no checkpoint.

    Attributes:
        names: of the networks, as the recipe gives them (`distill.teacher`).
        name: all names, joined by " + ".
        weights: 16 hex digits of the weights of each network, joined by " + ".
        parameters: their number, over all networks.
        widths: numbers of the pooled output of each network.
        dim: of these outputs side by side; 0 where they are not distilled.
        map_side, map_dim: places along an edge of the last feature map of the one network, and numbers at
            each place; 0 where the map is not distilled.
        morphology_dim: hand-crafted features that are distilled with them; 0 where they are not.
        orientations: in how many of the eight flips and quarter turns each crop is shown.
        consensus: whether features are averaged over both crops of a sample.
    """

    def __init__(
        self,
        networks: Sequence[FrozenNetwork],
        *,
        pooled: bool,
        spatial: bool,
        morphology: bool = False,
        orientations: int = 1,
        consensus: bool = False,
    ) -> None:
        self.orientations, self.consensus = orientations, consensus
        self._networks = tuple(networks)
        self.names = tuple(network.name for network in networks)
        self.name = " + ".join(self.names)
        self.weights = " + ".join(network.card.weights_hash for network in networks)
        self.parameters = 0
        for network in networks:
            self.parameters += sum(parameter.numel() for parameter in network.backbone.parameters())
            network.backbone.requires_grad_(False).eval()
            # It is slow in backward passes only, and a teacher has none.
            network.backbone.use_fused_attention(True)
        self.widths = tuple(network.backbone.dim for network in networks)
        self.dim = sum(self.widths) if pooled else 0
        self.morphology_dim = len(NAMES) if morphology else 0
        self.map_side = self.map_dim = 0
        if spatial:
            (only,) = networks
            size, whose = only.card.image_size, f"distill.teacher={only.name}"
            self.map_side, self.map_dim = map_shape(only.backbone, size, whose)

    @property
    def provenance(self) -> dict[str, str]:
        """The entries of run folders and model cards that name this teacher."""
        return {"distilled_from": self.name, "distilled_from_weights": self.weights}

    def to(self, device: torch.device) -> None:
        """Move the weights."""
        for network in self._networks:
            network.backbone.to(device)

    @torch.no_grad()
    def features(self, clean: Tensor, morphology: Tensor | None = None) -> TeacherFeatures:
        """Compute pooled outputs and feature map of clean crops, and pass on what was measured of them.

        Features are means over the orientations; maps are turned back before.

        Args:
            clean: (2 B, s, s, 3) uint8 RGB crops; first all first crops, then all second.
            morphology: (2 B, f) their hand-crafted features, where these are distilled.
        """
        used = self._networks if self.dim or self.map_dim else ()
        found = [self._of_network(network, network.input_of(clean)) for network in used]
        pooled = torch.cat([one for one, _ in found], dim=1) if self.dim else None
        if self.consensus:
            pooled, morphology = (None if part is None else _averaged(part) for part in (pooled, morphology))
        return TeacherFeatures(pooled, found[0][1] if self.map_dim else None, morphology)

    def _of_network(self, network: FrozenNetwork, crops: Tensor) -> tuple[Tensor, Tensor | None]:
        """Compute one network's pooled outputs (C, d) of crops (C, 3, c, c), and its map where distilled."""
        pooled = spatial = None
        for symmetry in SYMMETRIES[: self.orientations]:
            tokens = network.backbone(symmetry.of(crops))
            pooled = _added(pooled, tokens.cls)
            if self.map_dim:
                assert tokens.patches is not None
                spatial = _added(spatial, symmetry.undone(tokens.patches))
        assert pooled is not None
        return pooled / self.orientations, None if spatial is None else spatial / self.orientations


def open_teacher(recipe: Recipe) -> DistillationTeacher | None:
    """Open the teacher of a recipe with all weights, on the CPU; None without a `distill` section.

    Raises:
        RedDinoError: the name is not known, the weights cannot be had, or the crops do not fit the network.
    """
    section = recipe.distill
    if section is None:
        return None
    sizes = section.sizes(recipe.crops.global_size)
    return DistillationTeacher(
        [_open_network(name, size) for name, size in zip(section.teacher, sizes, strict=True)],
        pooled=section.pooled > 0 or section.relations > 0,
        spatial=section.spatial > 0,
        morphology=section.morphology > 0,
        orientations=section.orientations,
        # Precomputed features are the same for both crops anyway, and other cells stand next to each other.
        consensus=section.consensus and not section.once,
    )


def _open_network(name: str, size: int) -> FrozenNetwork:
    backbone, card = open_backbone(name)
    if isinstance(backbone, ViTBackbone) and size % backbone.patch_size:
        nearest = max(1, round(size / backbone.patch_size)) * backbone.patch_size
        raise RedDinoError(
            f"{size} px are not a multiple of the patch size {backbone.patch_size}: distill.teacher={name}; "
            f"set distill.image_size={nearest}"
        )
    return FrozenNetwork(name, *at_size(backbone, card, size))


@torch.no_grad()
def map_shape(backbone: Backbone, size: int, name: str) -> tuple[int, int]:
    """Return the places along an edge of the last feature map at crops of `size` px, and numbers per place.

    A network without tokens is made to give its map from now on (`gives_map`), and left in evaluation.

    Raises:
        RedDinoError: the network does not take crops of that size, or no square map; errors call it `name`.
    """
    if isinstance(backbone, ViTBackbone):
        return size // backbone.patch_size, backbone.dim
    backbone.gives_map = True
    try:
        patches = backbone.eval()(torch.zeros(1, 3, size, size)).patches
    except (RuntimeError, AssertionError, RedDinoError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:160].rstrip(".")
        raise RedDinoError(
            f"no feature map of crops of {size} px ({reason}): {name}; choose another size "
            "(crops.global_size; distill.image_size for the teacher) or set distill.spatial=0"
        ) from error
    assert patches is not None
    side = isqrt(patches.shape[1])
    if side == 0 or side * side != patches.shape[1]:
        raise RedDinoError(
            f"a feature map of {patches.shape[1]} places is not a square grid: {name}; set distill.spatial=0"
        )
    return side, int(patches.shape[2])
