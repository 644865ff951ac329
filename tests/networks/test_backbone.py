"""The ViT against transformers' DINOv2 and timm's own forward; drop path; other networks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import cast

import pytest
import torch
from random_weights import random_images, randomise
from torch import Tensor, nn

from reddino.foundations.errors import RedDinoError
from reddino.networks.backbone import Crops, PooledBackbone, ViTBackbone
from reddino.networks.create_backbone import create_backbone, initialise
from reddino.networks.crop_block import Kept
from reddino.networks.weights import hash_weights

SIZE, DEPTH, HEADS, PATCHES = 112, 3, 3, 64


@pytest.fixture(scope="module")
def backbone() -> ViTBackbone:
    made = create_backbone("vit_tiny_patch14", image_size=SIZE, depth=DEPTH)
    assert isinstance(made, ViTBackbone)
    randomise(made)
    made.use_fused_attention(False)
    return made.eval()


@pytest.fixture(scope="module")
def reference(backbone: ViTBackbone) -> nn.Module:
    """transformers' DINOv2 with the same weights, every one of its parameters filled."""
    transformers = pytest.importorskip("transformers")
    config = transformers.Dinov2Config(
        hidden_size=backbone.dim,
        num_attention_heads=HEADS,
        num_hidden_layers=DEPTH,
        patch_size=14,
        image_size=SIZE,
        attn_implementation="eager",
    )
    model = transformers.Dinov2Model(config)
    names = {name.split(".attention.")[-1] for name in model.state_dict() if ".attention." in name}
    model.load_state_dict(dict(_translated(backbone, modern="q_proj.weight" in names)), strict=True)
    return cast(nn.Module, model.eval())


def _translated(backbone: ViTBackbone, modern: bool) -> Iterator[tuple[str, Tensor]]:
    """Our tensors under transformers' names, which changed with its version 5."""
    attention = ("q_proj", "k_proj", "v_proj", "o_proj")
    if not modern:
        attention = ("attention.query", "attention.key", "attention.value", "output.dense")
    vit = backbone.vit
    yield "embeddings.cls_token", vit.cls_token
    yield "embeddings.mask_token", backbone.mask_token
    yield "embeddings.position_embeddings", vit.pos_embed
    for kind in ("weight", "bias"):
        yield f"embeddings.patch_embeddings.projection.{kind}", getattr(vit.patch_embed.proj, kind)
        yield f"layernorm.{kind}", getattr(vit.norm, kind)
    for i, block in enumerate(vit.blocks):
        layer = f"encoder.layer.{i}"
        yield f"{layer}.layer_scale1.lambda1", block.ls1.gamma
        yield f"{layer}.layer_scale2.lambda1", block.ls2.gamma
        for kind in ("weight", "bias"):
            parts = [*getattr(block.attn.qkv, kind).chunk(3), getattr(block.attn.proj, kind)]
            for name, part in zip(attention, parts, strict=True):
                yield f"{layer}.attention.{name}.{kind}", part
            for name, module in (("norm1", block.norm1), ("norm2", block.norm2)):
                yield f"{layer}.{name}.{kind}", getattr(module, kind)
            for name, module in (("fc1", block.mlp.fc1), ("fc2", block.mlp.fc2)):
                yield f"{layer}.mlp.{name}.{kind}", getattr(module, kind)


def some_masks(count: int) -> Tensor:
    return torch.rand(count, PATCHES, generator=torch.Generator().manual_seed(2)) < 0.3


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@torch.no_grad()
def test_vit__equals_dinov2_of_transformers(
    backbone: ViTBackbone, reference: nn.Module, masked: bool
) -> None:
    images, masks = random_images(2, SIZE), some_masks(2) if masked else None
    tokens = backbone(images, masks)
    expected = reference(images, bool_masked_pos=masks).last_hidden_state
    assert tokens.patches is not None
    assert tokens.patches.shape == (2, PATCHES, backbone.dim)
    torch.testing.assert_close(tokens.cls, expected[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, expected[:, 1:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_vit__masks_change_tokens(backbone: ViTBackbone) -> None:
    images = random_images(2, SIZE)
    assert not torch.allclose(backbone(images).cls, backbone(images, some_masks(2)).cls, atol=1e-2)


@torch.no_grad()
def test_vit__a_fully_masked_crop_does_not_depend_on_its_pixels(backbone: ViTBackbone) -> None:
    everything = torch.ones(2, PATCHES, dtype=torch.bool)
    cls = backbone(random_images(2, SIZE), everything).cls
    torch.testing.assert_close(cls[0], cls[1])


@torch.no_grad()
def test_vit__equals_forward_of_timm_at_the_native_size(backbone: ViTBackbone) -> None:
    images = random_images(2, SIZE)
    tokens = backbone(images)
    features = backbone.vit.forward_features(images)
    torch.testing.assert_close(tokens.cls, backbone.vit(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.cls, features[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, features[:, 1:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_vit__fused_and_explicit_attention_agree(backbone: ViTBackbone) -> None:
    images = random_images(2, SIZE)
    explicit = backbone(images).cls
    backbone.use_fused_attention(True)
    fused = backbone(images).cls
    backbone.use_fused_attention(False)
    torch.testing.assert_close(fused, explicit, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_vit__takes_crops_of_another_size(backbone: ViTBackbone) -> None:
    tokens = backbone(random_images(2, 42))
    assert tokens.patches is not None
    assert tokens.patches.shape == (2, 9, backbone.dim)


@torch.no_grad()
def test_drop_path__keeping_all_samples_is_the_plain_forward(backbone: ViTBackbone) -> None:
    images = random_images(3, 28)
    kept = [Kept(torch.arange(3), 1.0)] * backbone.residual_branches
    torch.testing.assert_close(backbone(images, None, kept).cls, backbone(images).cls)


@torch.no_grad()
def test_drop_path__skips_and_scales_single_branches() -> None:
    shallow = create_backbone("vit_tiny_patch14", image_size=28, depth=1)
    assert isinstance(shallow, ViTBackbone)
    randomise(shallow)
    shallow.eval()
    images, vit = random_images(4, 28), shallow.vit
    embedded = torch.cat(
        [vit.cls_token.expand(4, -1, -1), vit.patch_embed.proj(images).flatten(2).transpose(1, 2)], dim=1
    )
    block, x = vit.blocks[0], embedded + vit.pos_embed
    # Attention for samples 0 and 2, the MLP for sample 3 alone: scaled by 4 / 2 and by 4 / 1.
    after = x.clone()
    after[[0, 2]] += 2 * block.ls1(block.attn(block.norm1(x[[0, 2]])))
    x = after.clone()
    after[[3]] += 4 * block.ls2(block.mlp(block.norm2(x[[3]])))
    expected = vit.norm(after)
    tokens = shallow(images, None, [Kept(torch.tensor([0, 2]), 2.0), Kept(torch.tensor([3]), 4.0)])
    torch.testing.assert_close(tokens.cls, expected[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(tokens.patches, expected[:, 1:], atol=1e-5, rtol=1e-5)


def test_drop_path__no_gradient_through_skipped_branches(backbone: ViTBackbone) -> None:
    images = random_images(2, 28).requires_grad_()
    nobody_but_one = [Kept(torch.tensor([0]), 2.0)] * backbone.residual_branches
    backbone(images, None, nobody_but_one).cls[1].sum().backward()
    assert images.grad is not None
    # The class token only sees patches through attention, which sample 1 skips.
    assert images.grad[1].abs().max() == 0


def test_create_backbone__refuses_an_unknown_name() -> None:
    with pytest.raises(RedDinoError, match="'vit_gigantic' is neither"):
        create_backbone("vit_gigantic")


def test_create_backbone__refuses_depth_for_a_cnn() -> None:
    with pytest.raises(RedDinoError, match=r"model\.depth only fits Vision Transformers"):
        create_backbone("efficientnet_lite0", depth=3)


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "size", "places", "dim"),
    [
        ("test_resnet", 64, 4, 96),
        ("test_efficientnet", 96, 9, 256),
        ("test_mambaout", 64, 4, 64),  # channels last, and widened behind the pooling
        ("test_vit3", 160, 100, 96),  # a class token before the map
        ("resnet50-cut", 64, 16, 1024),
    ],
)
def test_pooled_backbone__gives_its_last_feature_map_where_asked(
    name: str, size: int, places: int, dim: int
) -> None:
    backbone = create_backbone(name).eval()
    assert isinstance(backbone, PooledBackbone)
    images = random_images(2, size)
    plain = backbone(images)
    backbone.gives_map = True
    found = backbone(images)
    assert plain.patches is None and found.patches is not None
    assert found.patches.shape == (2, places, dim)
    torch.testing.assert_close(found.cls, plain.cls)
    features = backbone.network.forward_features(images)
    side = round(places**0.5)
    for line, column in ((0, 0), (1, side - 1), (side - 1, 0)):
        place = {
            "test_mambaout": lambda y, x: features[:, y, x],
            "test_vit3": lambda y, x: features[:, 1 + y * side + x],
        }.get(name, lambda y, x: features[:, :, y, x])(line, column)
        torch.testing.assert_close(found.patches[:, line * side + column], place)


@torch.no_grad()
def test_pooled_backbone__gives_the_pooled_output_and_refuses_masks() -> None:
    cnn = create_backbone("efficientnet_lite0").eval()
    assert isinstance(cnn, PooledBackbone)
    images = random_images(2, 64)
    tokens = cnn(images)
    assert tokens.patches is None
    pooled = cnn.network.forward_features(images).mean(dim=(2, 3))
    torch.testing.assert_close(tokens.cls, pooled, atol=1e-5, rtol=1e-5)
    with pytest.raises(RedDinoError, match=r"no patch tokens .* loss\.ibot=0"):
        cnn(images, torch.ones(2, 4, dtype=torch.bool))


@pytest.mark.parametrize(
    ("name", "depth"), [("vit_tiny_patch14", 2), ("efficientnet_lite0", None), ("resnet10t", None)]
)
def test_initialise__is_a_function_of_the_seed(name: str, depth: int | None) -> None:
    def drawn(seed: int) -> str:
        backbone = create_backbone(name, depth=depth)
        initialise(backbone, seed)
        return hash_weights(backbone)

    state = torch.random.get_rng_state()
    first = drawn(1)
    torch.rand(5)
    assert drawn(1) == first
    assert drawn(2) != first
    torch.random.set_rng_state(state)


def test_initialise__draws_as_dinov2_does() -> None:
    backbone = create_backbone("vit_tiny_patch14", image_size=SIZE, depth=2, layer_scale=0.1)
    assert isinstance(backbone, ViTBackbone)
    initialise(backbone, 0)
    block = backbone.vit.blocks[1]
    assert float(block.mlp.fc1.weight.detach().std()) == pytest.approx(0.02, rel=0.02)
    assert float(block.attn.qkv.weight.detach().abs().max()) < 0.1
    assert float(block.attn.qkv.bias.detach().abs().max()) == 0.0
    assert float(backbone.vit.cls_token.detach().std()) == pytest.approx(1e-6, rel=0.3)
    assert float(backbone.mask_token.detach().abs().max()) == 0.0
    assert torch.equal(block.ls1.gamma.detach(), torch.full((192,), 0.1))
    fan_in = 3 * 14 * 14
    assert float(backbone.vit.patch_embed.proj.weight.detach().abs().max()) <= fan_in**-0.5
    assert float(backbone.vit.patch_embed.proj.weight.detach().std()) == pytest.approx(
        fan_in**-0.5 / 3**0.5, rel=0.02
    )


def packed_groups(backbone: ViTBackbone, requires_grad: bool = False) -> list[Crops]:
    """Masked crops of 112 px and plain ones of 42 px; one sample of each skips a branch."""
    masks = torch.rand(2, PATCHES, generator=torch.Generator().manual_seed(0)) < 0.3
    branches = backbone.residual_branches
    large = [Kept(torch.tensor([number % 2]), 2.0) for number in range(branches)]
    small = [Kept(torch.tensor([0, 2]), 1.5) for _ in range(branches)]
    images = [random_images(2, SIZE), random_images(3, 42)]
    for image in images:
        image.requires_grad_(requires_grad)
    return [Crops(images[0], masks, large), Crops(images[1], None, small)]


@pytest.mark.parametrize("fused", [False, True])
def test_packed__crops_of_two_sizes_are_encoded_as_if_apart(backbone: ViTBackbone, fused: bool) -> None:
    backbone.use_fused_attention(fused)
    apart, packed = packed_groups(backbone, True), packed_groups(backbone, True)
    weight = backbone.vit.blocks[1].attn.qkv.weight
    gradients = []
    found = [[backbone(*group) for group in apart], backbone.encode(packed)]
    for tokens, groups in zip(found, (apart, packed), strict=True):
        total = sum(group.cls.square().sum() + group.patches.sum() for group in tokens)
        gradients.append(torch.autograd.grad(total, [weight, *(group.images for group in groups)]))
    backbone.use_fused_attention(False)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(other.cls, one.cls, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(other.patches, one.patches, atol=1e-5, rtol=1e-5)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, atol=1e-4 * float(one.abs().max()), rtol=1e-4)


def test_packed__no_crop_sees_another(backbone: ViTBackbone) -> None:
    images = [random_images(2, SIZE).requires_grad_(), random_images(3, 42).requires_grad_()]
    tokens = backbone.encode([Crops(image) for image in images])
    tokens[1].cls[1].sum().backward()
    assert images[0].grad is not None and images[1].grad is not None
    assert images[0].grad.abs().max() == 0
    assert images[1].grad[[0, 2]].abs().max() == 0 < images[1].grad[1].abs().max()


def test_checkpointed__gradients_are_those_of_the_plain_backward_pass(backbone: ViTBackbone) -> None:
    gradients, recomputed = [], []
    weights = [backbone.vit.blocks[0].mlp.fc1.weight, backbone.vit.pos_embed, backbone.mask_token]
    calls = backbone.vit.blocks[0].mlp.register_forward_hook(lambda *_: recomputed.append(1))
    for checkpointed in (False, True):
        for block in backbone.blocks:
            block.checkpointed = checkpointed
        tokens = backbone.encode(packed_groups(backbone))
        total = torch.stack([group.cls.square().sum() for group in tokens]).sum()
        gradients.append(torch.autograd.grad(total, weights))
    calls.remove()
    for block in backbone.blocks:
        block.checkpointed = False
    assert len(recomputed) == 3  # once; then once forward and once more backward
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vit_small_patch14_dinov2", 22), ("vit_base_patch14_dinov2", 86), ("vit_large_patch14_dinov2", 304)],
)
def test_published__parameters_and_shapes_without_memory(name: str, millions: int) -> None:
    with torch.device("meta"):
        made = create_backbone(name, layer_scale=1e-5)
        assert isinstance(made, ViTBackbone)
        tokens = made.encode([Crops(torch.empty(2, 3, 224, 224)), Crops(torch.empty(8, 3, 98, 98))])
    # The table counts whole millions, with DINOv2's position embedding for 518 px.
    assert sum(parameter.numel() for parameter in made.vit.parameters()) // 1_000_000 == millions
    assert [group.cls.shape for group in tokens] == [(2, made.dim), (8, made.dim)]
    patches = [group.patches for group in tokens if group.patches is not None]
    assert [one.shape[1] for one in patches] == [256, 49]


def test_attend__equals_the_attention_of_the_transformers_dinov2(
    backbone: ViTBackbone, reference: nn.Module
) -> None:
    images = random_images(2, SIZE)
    with torch.no_grad():
        expected = reference(images, output_attentions=True).attentions[-1][:, :, 0, 1:]
        tokens, attention = backbone.attend(images)
        assert tokens.patches is not None
        assert torch.equal(tokens.patches, backbone(images).patches)
    assert attention.shape == (2, HEADS, PATCHES)
    torch.testing.assert_close(attention, expected, atol=2e-6, rtol=2e-4)
    # Fused attention gives no weights: it is switched off for the one block, and on again.
    backbone.use_fused_attention(True)
    with torch.no_grad():
        torch.testing.assert_close(backbone.attend(images)[1], expected, atol=2e-6, rtol=2e-4)
    assert all(block.attn.fused_attn for block in backbone.vit.blocks)
    backbone.use_fused_attention(False)


def test_attend__leaves_registers_out() -> None:
    backbone = create_backbone("vit_small_patch14_reg4_dinov2", image_size=SIZE, depth=1)
    assert isinstance(backbone, ViTBackbone)
    initialise(backbone, 0)
    backbone.eval()
    with torch.no_grad():
        tokens, attention = backbone.attend(random_images(2, SIZE))
    assert tokens.patches is not None
    assert attention.shape[-1] == tokens.patches.shape[1] == PATCHES


def test_backbone__is_pickled_and_copied_with_its_adopted_blocks() -> None:
    backbone = create_backbone("vit_tiny_patch14", image_size=56, depth=2, layer_scale=1.0)
    assert isinstance(backbone, ViTBackbone)
    initialise(backbone, 0)
    images = torch.rand(2, 3, 56, 56)
    expected = backbone.eval()(images).cls
    for again in (pickle.loads(pickle.dumps(backbone)), copy.deepcopy(backbone)):
        assert torch.equal(again(images).cls, expected)
        assert [type(block) for block in again.vit.blocks] == [type(block) for block in backbone.vit.blocks]
