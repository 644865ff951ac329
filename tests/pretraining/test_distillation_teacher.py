"""A distillation teacher that is shown crops in several orientations, and averages over both crops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reddino.networks.catalogue import open_backbone
from reddino.pretraining.distillation.teacher import SYMMETRIES, DistillationTeacher, FrozenNetwork, Symmetry

SIZE = 64


def teacher(orientations: int = 1, consensus: bool = False) -> DistillationTeacher:
    """A CNN whose features depend on which way up a crop is."""
    backbone, card = open_backbone("untrained:test_efficientnet", image_size=SIZE)
    return DistillationTeacher(
        [FrozenNetwork("test", backbone, card)],
        pooled=True,
        spatial=True,
        morphology=True,
        orientations=orientations,
        consensus=consensus,
    )


def crops(count: int = 4) -> Tensor:
    """Smooth pictures (count, SIZE, SIZE, 3) uint8, without any symmetry."""
    coarse = torch.from_numpy(np.random.default_rng(0).uniform(0, 255, size=(count, 3, 6, 6))).float()
    return functional.interpolate(coarse, SIZE, mode="bilinear").permute(0, 2, 3, 1).byte()


def turned(symmetry: Symmetry, pictures: Tensor) -> Tensor:
    return symmetry.of(pictures.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


def test_symmetries__are_the_eight_of_a_square_and_the_first_is_none() -> None:
    one = crops(1)
    seen = [turned(symmetry, one) for symmetry in SYMMETRIES]
    torch.testing.assert_close(seen[0], one)
    for number, picture in enumerate(seen):
        assert all(not torch.equal(picture, other) for other in seen[:number])


@pytest.mark.parametrize("number", range(8))
def test_symmetries__turn_maps_back(number: int) -> None:
    symmetry, picture = SYMMETRIES[number], crops(2).permute(0, 3, 1, 2).float()
    places = functional.avg_pool2d(symmetry.of(picture), 16).flatten(2).transpose(1, 2)
    wanted = functional.avg_pool2d(picture, 16).flatten(2).transpose(1, 2)
    torch.testing.assert_close(symmetry.undone(places), wanted)


def test_features__in_all_orientations_does_not_depend_on_which_way_up_a_crop_is() -> None:
    picture, everywhere = crops(), teacher(orientations=8)
    features = everywhere.features(picture)
    assert features.pooled is not None and features.spatial is not None
    for symmetry in SYMMETRIES[1:]:
        again = everywhere.features(turned(symmetry, picture))
        assert again.pooled is not None and again.spatial is not None
        torch.testing.assert_close(again.pooled, features.pooled, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(symmetry.undone(again.spatial), features.spatial, rtol=1e-4, atol=1e-5)
    once, other = (teacher().features(one).pooled for one in (picture, turned(SYMMETRIES[1], picture)))
    assert once is not None and other is not None
    assert float((once - other).abs().max()) > 1e-3  # the network itself does depend on it


def test_features__of_fewer_orientations_the_mean() -> None:
    picture = crops()
    each = [teacher().features(turned(symmetry, picture)).pooled for symmetry in SYMMETRIES[:3]]
    mean = teacher(orientations=3).features(picture).pooled
    assert mean is not None
    torch.testing.assert_close(mean, sum(one for one in each if one is not None) / 3)


def test_consensus__is_the_mean_over_both_crops_of_a_sample_but_for_places() -> None:
    picture = crops(6)  # three samples, two crops of each: 0 goes with 3
    morphology = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 5))).float()
    alone, agreed = (
        teacher().features(picture, morphology),
        teacher(consensus=True).features(picture, morphology),
    )
    assert alone.pooled is not None and agreed.pooled is not None
    assert alone.spatial is not None and agreed.spatial is not None and agreed.morphology is not None
    for sample in range(3):
        pair = [sample, sample + 3]
        for own, common in ((alone.pooled, agreed.pooled), (morphology, agreed.morphology)):
            torch.testing.assert_close(common[pair], own[pair].mean(dim=0, keepdim=True).expand(2, -1))
    torch.testing.assert_close(agreed.spatial, alone.spatial)


def test_teacher__of_several_networks_has_the_features_of_each_at_its_own_size() -> None:
    picture = crops()
    (small, its_card), (large, other_card) = (
        open_backbone("untrained:test_efficientnet", image_size=SIZE // 2, seed=1),
        open_backbone("untrained:test_resnet", image_size=SIZE),
    )
    card = replace(other_card, mean=(0.1, 0.2, 0.3), std=(0.5, 0.4, 0.3), channel_order="BGR")
    networks = [FrozenNetwork("small", small, its_card), FrozenNetwork("large", large, card)]
    both = DistillationTeacher(networks, pooled=True, spatial=False, orientations=2)
    assert both.dim == small.dim + large.dim and both.names == ("small", "large")
    assert both.weights == f"{its_card.weights_hash} + {card.weights_hash}"
    halves = picture.float().reshape(4, SIZE // 2, 2, SIZE // 2, 2, 3).mean(dim=(2, 4)).round().byte()
    alone = [
        DistillationTeacher([network], pooled=True, spatial=False, orientations=2).features(pixels).pooled
        for network, pixels in zip(networks, (halves, picture), strict=True)
    ]
    found = both.features(picture).pooled
    assert found is not None and alone[0] is not None and alone[1] is not None
    torch.testing.assert_close(found[:, small.dim :], alone[1])
    # Antialiased halving and the mean of four pixels differ a little.
    torch.testing.assert_close(found[:, : small.dim], alone[0], rtol=0.05, atol=0.05)
