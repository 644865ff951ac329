"""The projection head: a three-layer MLP, a normalised bottleneck, and weight-normalised prototypes."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.run.recipe_sections import HeadSection


class ProjectionHead(nn.Module):
    """A map from tokens to similarities with prototypes (DINO, section 3.1).

    Prototypes keep norm 1, as DINO's do by default; DINOv2's start at norm 1 and learn theirs.

    With `center_output` (not in the paper) the bottleneck is centred over the batch before it is normalised,
    which spreads the almost equal outputs of an untrained network; over the part of it in every process.
    """

    def __init__(
        self,
        dim: int,
        *,
        hidden: int,
        bottleneck: int,
        prototypes: int,
        layers: int = 3,
        center_output: bool = False,
        across: Processes = ALONE,
    ) -> None:
        super().__init__()
        widths = [dim, *[hidden] * (layers - 1), bottleneck]
        modules: list[nn.Module] = []
        for i, (width_in, width_out) in enumerate(pairwise(widths)):
            modules += [nn.GELU()] if i else []
            modules.append(nn.Linear(width_in, width_out))
        self.mlp = nn.Sequential(*modules)
        self.prototypes = nn.Parameter(torch.empty(prototypes, bottleneck))
        self.center_output = center_output
        self.across = across

    @classmethod
    def of(cls, section: HeadSection, dim: int, across: Processes = ALONE) -> ProjectionHead:
        """Make the head of a recipe on tokens of `dim` numbers."""
        return cls(
            dim,
            hidden=section.hidden,
            bottleneck=section.bottleneck,
            prototypes=section.prototypes,
            layers=section.layers,
            center_output=section.center_output,
            across=across,
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the weights: truncated normal 0.02, zero biases; prototypes uniform on the sphere."""
        with torch.no_grad():
            for module in self.mlp:
                if isinstance(module, nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                    nn.init.zeros_(module.bias)
            self.prototypes.normal_(generator=generator)
            self.prototypes.div_(self.prototypes.norm(dim=-1, keepdim=True))

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (n, dim) tokens to (n, prototypes) cosine similarities."""
        x = self.mlp(tokens)
        if self.center_output:
            x = centred(x, self.across)
        x = functional.normalize(x, dim=-1, eps=1e-6 if x.dtype == torch.float16 else 1e-12)
        return functional.linear(x, functional.normalize(self.prototypes, dim=-1).to(x.dtype))


def centred(x: Tensor, across: Processes = ALONE) -> Tensor:
    """Subtract from (n, d) the mean of the rows of all processes; a single row stays as it is."""
    if across.count == 1:
        return x - x.mean(dim=0, keepdim=True) if len(x) > 1 else x
    count = x.new_full((1,), len(x), dtype=torch.float32)
    sums = across.sum_with_gradient(torch.cat([x.float().sum(dim=0), count]))
    mean = sums[None, :-1] / sums[-1].clamp_min(1)
    return torch.where(sums[-1] > 1, x - mean.to(x.dtype), x)
