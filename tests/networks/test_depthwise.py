"""Depthwise convolutions: torch's results and names, gradients against float32, in bfloat16 on the CPU."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor, nn

from reddino.networks.depthwise import DepthwiseConv, adopt_depthwise


def gradients(layer: nn.Module, images: Tensor, *, autocast: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Output, gradient of the images, gradient of the weights, for a loss that weighs places unequally."""
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        out = layer(images)
    scale = torch.linspace(-1, 1, out.numel()).view_as(out)
    (out.float() * scale).sum().backward()
    assert images.grad is not None and isinstance(layer.weight, Tensor) and layer.weight.grad is not None
    return out.float(), images.grad, layer.weight.grad


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "side"), [(3, 2, 8), (5, 1, 4), (5, 2, 7), (7, 1, 9)])
def test_gradients__in_bfloat16_are_those_of_float32_but_for_rounding(
    kernel: int, stride: int, side: int, bias: bool
) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(6, 6, kernel, stride, kernel // 2, groups=6, bias=bias)
    ours = copy.deepcopy(plain)
    adopt_depthwise(ours)
    assert type(ours) is DepthwiseConv
    images = torch.randn(3, 6, side, side)
    for found, wanted in zip(
        gradients(ours, images, autocast=True), gradients(plain, images, autocast=False), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=0.03, atol=0.02 * float(wanted.detach().abs().max()))
    if bias:
        assert ours.bias is not None and plain.bias is not None
        torch.testing.assert_close(ours.bias.grad, plain.bias.grad, rtol=0.03, atol=0.05)


def test_float32__is_torchs_own_to_the_bit() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(8, 8, 3, 2, 1, groups=8)
    ours = copy.deepcopy(plain)
    adopt_depthwise(ours)
    images = torch.randn(2, 8, 10, 10)
    for found, wanted in zip(
        gradients(ours, images, autocast=False), gradients(plain, images, autocast=False), strict=True
    ):
        assert torch.equal(found, wanted)


def test_adopt__changes_depthwise_convolutions_and_no_name() -> None:
    network = timm.create_model("efficientnet_lite0", num_classes=0)
    names = list(network.state_dict())
    adopt_depthwise(network)
    adopted = [name for name, module in network.named_modules() if isinstance(module, DepthwiseConv)]
    assert len(adopted) == 11 and all(name.endswith("conv_dw") for name in adopted)
    assert list(network.state_dict()) == names
    others = nn.Sequential(
        nn.Conv2d(8, 8, 5, groups=4),
        nn.Conv2d(8, 16, 5, groups=8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 5, groups=8, padding="valid"),
    )
    adopt_depthwise(others)
    assert not any(isinstance(layer, DepthwiseConv) for layer in others)


def test_gradients__are_only_made_of_what_asks_for_them() -> None:
    layer = nn.Conv2d(4, 4, 5, 1, 2, groups=4)
    adopt_depthwise(layer)
    layer.weight.requires_grad_(False)
    images = torch.randn(2, 4, 6, 6, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        seen = layer(images)
        with torch.no_grad():
            torch.testing.assert_close(layer(images), seen)
    seen.float().sum().backward()
    assert images.grad is not None and layer.weight.grad is None
