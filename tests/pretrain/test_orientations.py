"""A guide that looks at crops in several orientations, and agrees with itself on both crops of a sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from reddino.model.catalogue import open_backbone
from reddino.pretrain.guide import SYMMETRIES, Guide

SIZE = 64


def guide(orientations: int = 1, consensus: bool = False) -> Guide:
    """A CNN whose words depend on which way up a crop is."""
    backbone, card = open_backbone("untrained:test_efficientnet", image_size=SIZE)
    return Guide(
        "test",
        backbone,
        card,
        pooled=True,
        spatial=True,
        morphology=True,
        orientations=orientations,
        consensus=consensus,
    )


def crops(count: int = 4) -> Tensor:
    """Smooth pictures, without any symmetry."""
    coarse = torch.from_numpy(np.random.default_rng(0).normal(size=(count, 3, 6, 6))).float()
    return functional.interpolate(coarse, SIZE, mode="bilinear")


def test_symmetries__are_the_eight_of_a_square_and_the_first_is_none() -> None:
    one = crops(1)
    seen = [symmetry.of(one) for symmetry in SYMMETRIES]
    torch.testing.assert_close(seen[0], one)
    for number, picture in enumerate(seen):
        assert all(not torch.equal(picture, other) for other in seen[:number])


@pytest.mark.parametrize("number", range(8))
def test_symmetries__turn_maps_back(number: int) -> None:
    symmetry, picture = SYMMETRIES[number], crops(2)
    places = functional.avg_pool2d(symmetry.of(picture), 16).flatten(2).transpose(1, 2)
    wanted = functional.avg_pool2d(picture, 16).flatten(2).transpose(1, 2)
    torch.testing.assert_close(symmetry.undone(places), wanted)


def test_says__in_all_orientations_does_not_depend_on_which_way_up_a_crop_is() -> None:
    picture, everywhere = crops(), guide(orientations=8)
    words = everywhere.says(picture)
    assert words.pooled is not None and words.spatial is not None
    for symmetry in SYMMETRIES[1:]:
        turned = everywhere.says(symmetry.of(picture))
        assert turned.pooled is not None and turned.spatial is not None
        torch.testing.assert_close(turned.pooled, words.pooled, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(symmetry.undone(turned.spatial), words.spatial, rtol=1e-4, atol=1e-5)
    once, again = (guide().says(one).pooled for one in (picture, SYMMETRIES[1].of(picture)))
    assert once is not None and again is not None
    assert float((once - again).abs().max()) > 1e-3  # the network itself does depend on it


def test_says__of_fewer_orientations_the_mean() -> None:
    picture = crops()
    each = [guide().says(symmetry.of(picture)).pooled for symmetry in SYMMETRIES[:3]]
    mean = guide(orientations=3).says(picture).pooled
    assert mean is not None
    torch.testing.assert_close(mean, sum(one for one in each if one is not None) / 3)


def test_consensus__is_the_mean_over_both_crops_of_a_sample_but_for_places() -> None:
    picture = crops(6)  # three samples, two crops of each: 0 goes with 3
    shapes = torch.from_numpy(np.random.default_rng(1).normal(size=(6, 5))).float()
    alone, agreed = guide().says(picture, shapes), guide(consensus=True).says(picture, shapes)
    assert alone.pooled is not None and agreed.pooled is not None
    assert alone.spatial is not None and agreed.spatial is not None and agreed.shapes is not None
    for sample in range(3):
        pair = [sample, sample + 3]
        for own, common in ((alone.pooled, agreed.pooled), (shapes, agreed.shapes)):
            torch.testing.assert_close(common[pair], own[pair].mean(dim=0, keepdim=True).expand(2, -1))
    torch.testing.assert_close(agreed.spatial, alone.spatial)
