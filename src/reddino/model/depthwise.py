"""Depthwise convolutions whose gradients in bfloat16 keep up with their forward pass on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Gradients of images, of weights.
_IMAGES, _WEIGHTS, _BOTH = (True, False, False), (False, True, False), (True, True, False)


class DepthwiseConv(nn.Conv2d):
    """A convolution of each channel by itself; weights and results are `nn.Conv2d`'s.

    oneDNN multiplies bfloat16 fast going forward, but its gradients of depthwise weights, and all gradients
    at a stride of 2, take up to ten times as long as in float32, and were three quarters of a step of
    EfficientNet-Lite0. Those are computed in float32 here, under autocast on a CPU; the rest stays as it is.
    """

    def forward(self, images: Tensor) -> Tensor:
        if not (images.device.type == "cpu" and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
            return super().forward(images)
        kind = torch.get_autocast_dtype("cpu")
        weights, bias = self.weight.to(kind), self.bias if self.bias is None else self.bias.to(kind)
        convolved: Tensor = _Convolution.apply(images.to(kind), weights, self.stride, self.padding)
        return convolved if bias is None else convolved + bias[:, None, None]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, weights: Tensor, stride: Any, padding: Any) -> Tensor:
        ctx.save_for_backward(images, weights)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(images, weights, None, stride, padding, 1, len(weights))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        images, weights = ctx.saved_tensors
        exact = gradient.float(), images.float(), weights.float()

        def gradients(of: tuple[Tensor, Tensor, Tensor], wanted: tuple[bool, ...]) -> list[Tensor]:
            return list(
                torch.ops.aten.convolution_backward(
                    *of, None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), len(weights), wanted
                )
            )

        if max(ctx.stride) > 1:
            of_images, of_weights, _ = gradients(exact, _BOTH)
        else:
            of_images = gradients((gradient, images, weights), _IMAGES)[0]
            of_weights = gradients(exact, _WEIGHTS)[1]
        return of_images.to(images.dtype), of_weights.to(weights.dtype), None, None


def adopt_depthwise(network: nn.Module) -> None:
    """Make a network's plain depthwise convolutions ones of this kind; its parameters keep their names."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_depthwise(module):
            module.__class__ = DepthwiseConv


def _is_depthwise(layer: nn.Conv2d) -> bool:
    alone = layer.groups == layer.in_channels == layer.out_channels > 1
    return alone and layer.dilation == (1, 1) and layer.padding_mode == "zeros" and layer.padding != "same"
