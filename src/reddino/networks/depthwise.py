"""Depthwise convolutions whose gradients in bfloat16 keep up with their forward pass on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class DepthwiseConv(nn.Conv2d):
    """A convolution of each channel by itself; weights and results are `nn.Conv2d`'s.

    oneDNN multiplies bfloat16 fast going forward, but its gradients of wide depthwise weights, and all
    gradients at a stride of 2, take up to ten times as long as in float32, and were three quarters of a step
    of EfficientNet-Lite0. Those are computed in float32 here, under autocast on a CPU; the rest stays as it
    is.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Convolve images (n, c, h, w) to (n, c, H, W), as `nn.Conv2d` does."""
        on_cpu = images.device.type == "cpu" and images.dtype != torch.float64 and images.ndim == 4
        if not (on_cpu and torch.is_autocast_enabled("cpu") and torch.is_grad_enabled()):
            return super().forward(images)
        kind = torch.get_autocast_dtype("cpu")
        bias = None if self.bias is None else self.bias.to(kind)
        geometry = self.stride, self.padding
        convolved: Tensor = _Convolution.apply(images.to(kind), self.weight.to(kind), bias, geometry)
        return convolved


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weights: Tensor, bias: Tensor | None, geometry: tuple[Any, Any]
    ) -> Tensor:
        ctx.save_for_backward(images, weights)
        ctx.stride, ctx.padding = stride, padding = geometry
        return functional.conv2d(images, weights, bias, stride, padding, 1, len(weights))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weights = ctx.saved_tensors
        needs_images, needs_weights, needs_bias = ctx.needs_input_grad[:3]

        def gradients(kind: torch.dtype, of_images: bool, of_weights: bool) -> tuple[Tensor | None, ...]:
            if not (of_images or of_weights):
                return None, None
            tensors = (part.to(kind) for part in (gradient, images, weights))
            options = (None, ctx.stride, ctx.padding, (1, 1), False, (0, 0), len(weights))
            found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
                *tensors, *options, (of_images, of_weights, False)
            )
            return found

        # The gradient of the images is another such convolution, unless it has to be spread out first.
        spread_out = max(ctx.stride) > 1
        exact = gradients(torch.float32, needs_images and spread_out, needs_weights)
        own = exact if spread_out else gradients(images.dtype, needs_images, False)
        of_images, of_weights = (
            None if part is None else part.to(images.dtype) for part in (own[0], exact[1])
        )
        return of_images, of_weights, gradient.sum((0, 2, 3)) if needs_bias else None, None


def adopt_depthwise(network: nn.Module) -> None:
    """Make a network's plain depthwise convolutions ones of this kind; its parameters keep their names."""
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_depthwise(module):
            module.__class__ = DepthwiseConv


def _is_depthwise(layer: nn.Conv2d) -> bool:
    """Return whether a layer is depthwise, of a kind that is slow: 3 x 3 at a stride of 1 is not."""
    alone = layer.groups == layer.in_channels == layer.out_channels > 1
    plain = layer.dilation == (1, 1) and layer.padding_mode == "zeros" and isinstance(layer.padding, tuple)
    return alone and plain and (max(layer.stride) > 1 or max(layer.kernel_size) > 3)
