"""A small U-Net that answers on a grid of half the resolution: how deep in a cell, how far its outline."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from finder.targets import RAYS

#: Pixels a cell at which the network looks, and pixels a step of its grid.
LOOK, STEP = 20.0, 2
#: Distance, in steps of the grid, that an answer of 0 stands for: the radius of a typical cell.
USUAL = LOOK / STEP / 2


def _block(inputs: int, outputs: int, side: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


class StarNetwork(nn.Module):
    """Pixels (n, 3, H, W), H and W divisible by 8, to logits and logarithms (n, 17, H / 2, W / 2).

    Args:
        widths: channels at half, a quarter and an eighth of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int] = (32, 48, 64)) -> None:
        super().__init__()
        one, two, three = widths
        self.first = nn.Sequential(_block(3, one, 5, STEP), _block(one, one))
        self.second = nn.Sequential(_block(one, two), _block(two, two))
        self.third = nn.Sequential(_block(two, three), _block(three, three))
        self.up_second = _block(two + three, two)
        self.up_first = _block(one + two, one)
        self.head = nn.Conv2d(one, 1 + RAYS, 1)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the answers; the first channel is the logit of the depth."""
        first = self.first(pixels)
        second = self.second(functional.max_pool2d(first, 2))
        third = self.third(functional.max_pool2d(second, 2))
        second = self.up_second(torch.cat([second, _twice(third)], 1))
        answers: Tensor = self.head(self.up_first(torch.cat([first, _twice(second)], 1)))
        return answers


def _twice(planes: Tensor) -> Tensor:
    return functional.interpolate(planes, scale_factor=2.0, mode="nearest")


def star_loss(answers: Tensor, depth: Tensor, rays: Tensor, weight: Tensor, outlined: Tensor) -> Tensor:
    """Return the loss: cross entropy of the depth, and error of the logarithm of the distances.

    Args:
        answers: (n, 17, H, W) of the network.
        depth: (n, H, W) from 0 to 1.
        rays: (n, 16, H, W) in steps of the grid.
        weight: (n, H, W) of the depth; 0 where nobody knows what is there.
        outlined: (n, H, W) 1 where the distances are known.
    """
    entropy = functional.binary_cross_entropy_with_logits(answers[:, 0], depth, reduction="none")
    wrong = (answers[:, 1:] - torch.log(rays.clamp_min(0.5) / USUAL)).abs().mean(1)
    known = depth * outlined
    seen = (weight * entropy).sum() / weight.sum().clamp_min(1)
    return seen + 0.5 * (known * wrong).sum() / known.sum().clamp_min(1)
