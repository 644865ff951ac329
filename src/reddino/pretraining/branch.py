"""A branch: a backbone with its heads, and what it says of the views."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from reddino.networks.backbone import Backbone, Crops, Tokens, ViTBackbone
from reddino.pretraining.data.views import Views
from reddino.pretraining.distillation.heads import GuideHeads
from reddino.pretraining.distillation.teacher import Words
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.heads import ProjectionHead
from reddino.pretraining.masking import MaskedPatches
from reddino.pretraining.run.recipe import Recipe


class Outputs(NamedTuple):
    """What a branch says of the views.

    Attributes:
        tokens: (2 B, d) class tokens of the global crops, before the head.
        global_logits: (2, B, K) head outputs of them, or None without prototypes.
        local_logits: (L, B, K) of the local crops, or None.
        patch_logits: (M, K) at the hidden patches of the global crops, or None.
        guesses: what the guide says of the clean global crops, or None without a guide.
    """

    tokens: Tensor
    global_logits: Tensor | None
    local_logits: Tensor | None
    patch_logits: Tensor | None
    guesses: Words | None = None


class Branch(nn.Module):
    """A backbone with its heads: the student, or the teacher.

    Without DINO's and iBOT's loss there is no projection head, and without a guide there are no
    `guide_heads`.
    """

    def __init__(
        self,
        backbone: Backbone,
        recipe: Recipe,
        processes: Processes = ALONE,
        guide_heads: GuideHeads | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.dino_head = _make_head(backbone.dim, recipe, processes) if recipe.has_prototypes else None
        separate = recipe.loss.ibot > 0 and not recipe.head.shared
        self.ibot_head = _make_head(backbone.dim, recipe, processes) if separate else None
        self.guide_heads = guide_heads
        self.packs_crops = recipe.runtime.pack_crops

    def forward(self, views: Views) -> Outputs:
        """Everything this branch says of the views, in one call: DDP and FSDP2 hook it."""
        masked = views.masked
        tokens, local = self._encode(views)
        global_logits = local_logits = None
        if self.dino_head is not None:
            global_logits = self.dino_head(tokens.cls).unflatten(0, (2, -1))
            if local is not None:
                local_logits = self.dino_head(local.cls).unflatten(0, (-1, global_logits.shape[1]))
        patch_logits = self.patch_logits(tokens.patches, masked) if masked is not None else None
        guesses = None
        if self.guide_heads is not None and views.guided:
            guesses = self.guide_heads(tokens)
        return Outputs(tokens.cls, global_logits, local_logits, patch_logits, guesses)

    def _encode(self, views: Views) -> tuple[Tokens, Tokens | None]:
        """Tokens of the global and of the local crops."""
        masks = views.masked.masks if views.masked is not None and views.hides else None
        crops = Crops(views.global_crops, masks, views.global_kept)
        if views.local_crops is None:
            return self.backbone(*crops), None
        local = Crops(views.local_crops, None, views.local_kept)
        if self.packs_crops and isinstance(self.backbone, ViTBackbone):
            of_global, of_local = self.backbone.encode([crops, local])
            return of_global, of_local
        return self.backbone(*crops), self.backbone(*local)

    def patch_logits(self, patches: Tensor | None, masked: MaskedPatches) -> Tensor:
        """Head outputs (M, K) of the hidden patches among (C, N, d)."""
        assert patches is not None
        hidden = patches.reshape(-1, patches.shape[-1]).index_select(0, masked.indices)
        head = self.dino_head if self.ibot_head is None else self.ibot_head
        assert head is not None
        logits: Tensor = head(hidden)
        return logits

    def heads_state(self) -> dict[str, Tensor]:
        """Everything but the timm network: heads and mask token."""
        inside = ("backbone.vit.", "backbone.network.")
        return {name: value for name, value in self.state_dict().items() if not name.startswith(inside)}


def _make_head(dim: int, recipe: Recipe, processes: Processes) -> ProjectionHead:
    head = recipe.head
    return ProjectionHead(
        dim,
        hidden=head.hidden,
        bottleneck=head.bottleneck,
        prototypes=head.prototypes,
        layers=head.layers,
        center_output=head.center_output,
        across=processes,
    )
