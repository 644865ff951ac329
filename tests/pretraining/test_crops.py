"""Multi-crop: geometry of random resized crops, resizing without aliasing, flips and quarter turns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from reddino.pretraining.augmentation.crops import (
    MultiCrop,
    random_crop_box,
    random_orientation,
    resize_square,
)
from reddino.pretraining.augmentation.pixel_operations import PixelOperations


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def area_weights(old: int, new: int) -> NDArray[np.float64]:
    """(new, old): the share of each old pixel in each new one, from the overlap of their intervals."""
    edges = np.arange(new + 1) * old / new
    low, high = edges[:-1, None], edges[1:, None]
    pixel = np.arange(old)[None]
    overlap = np.clip(np.minimum(high, pixel + 1) - np.maximum(low, pixel), 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True))


def plain(**changes: Any) -> MultiCrop:
    values: dict[str, Any] = {
        "global_size": 56,
        "global_scale": (0.32, 1.0),
        "local_size": 28,
        "local_scale": (0.05, 0.32),
        "local_count": 3,
        "operations": PixelOperations([]),
        "horizontal_flip": 0.0,
        "vertical_flip": 0.0,
        "quarter_turn": 0.0,
    }
    return MultiCrop(**(values | changes))


@pytest.mark.parametrize("scale", [(0.32, 1.0), (0.05, 0.32)])
def test_crop_box__area_is_uniform_and_aspect_log_uniform(scale: tuple[float, float]) -> None:
    # Small shares always fit, so that no draw is rejected and the distributions are the drawn ones.
    generator, size = rng(1), 4000
    scale = (scale[0] / 2, scale[1] / 2)
    boxes = [random_crop_box(size, size, scale, generator) for _ in range(4000)]
    shares = np.array([box.width * box.height / size**2 for box in boxes])
    aspects = np.array([math.log(box.width / box.height) for box in boxes])
    span = math.log(4 / 3)
    assert stats.kstest(shares, stats.uniform(scale[0], scale[1] - scale[0]).cdf).pvalue > 1e-3
    assert stats.kstest(aspects, stats.uniform(-span, 2 * span).cdf).pvalue > 1e-3
    places = np.array([box.x / (size - box.width) for box in boxes])
    assert stats.kstest(places, stats.uniform(0, 1).cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (17, 300), (1, 1)])
def test_crop_box__lies_inside_and_keeps_its_limits(shape: tuple[int, int]) -> None:
    height, width = shape
    for seed in range(300):
        box = random_crop_box(height, width, (0.32, 1.0), rng(seed))
        assert box.x >= 0 and box.x + box.width <= width
        assert box.y >= 0 and box.y + box.height <= height
        if min(shape) > 40:
            assert 0.32 * 0.96 < box.width * box.height / (height * width) <= 1.0
            assert 0.75 * 0.97 < box.width / box.height < 4 / 3 * 1.03


def test_resize__shrinks_by_area() -> None:
    image = noise(131, 97)
    rows, columns = area_weights(131, 56), area_weights(97, 56)
    expected = np.einsum("ah,bw,hwc->abc", rows, columns, image.astype(float))
    assert np.abs(resize_square(image, 56) - expected).max() <= 1.0


def test_resize__grows_bicubically() -> None:
    image = noise(20, 33)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    # torch uses the same kernel (a = -0.75) and the same pixel centres.
    expected = torch.nn.functional.interpolate(tensor, (70, 70), mode="bicubic")[0].permute(1, 2, 0)
    assert np.abs(resize_square(image, 70) - expected.clamp(0, 255).numpy()).max() <= 1.0


@pytest.mark.parametrize("shape", [(200, 200), (200, 40), (40, 200)])
def test_resize__does_not_alias(shape: tuple[int, int]) -> None:
    y, x = np.mgrid[: shape[0], : shape[1]]
    stripes = (x if shape[1] == 200 else y) % 2 * 255
    image = np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8)
    assert np.abs(resize_square(image, 50).astype(float) - 127.5).max() <= 1.0


def test_multi_crop__is_one_resize_of_the_drawn_rectangle() -> None:
    image, generator = noise(150, 180), rng(5)
    global_crops, local_crops = plain()(image, rng(5))
    for crops, scale in ((global_crops, (0.32, 1.0)), (local_crops, (0.05, 0.32))):
        for crop in crops:
            box = random_crop_box(150, 180, scale, generator)
            _ = random_orientation(generator, 0, 0, 0)  # draws its numbers too
            part = image[box.y : box.y + box.height, box.x : box.x + box.width]
            np.testing.assert_array_equal(crop, resize_square(part, crop.shape[0]))


def test_multi_crop__has_the_shapes_and_depends_on_the_generator_alone() -> None:
    image = noise(80, 80)
    crops = plain(
        operations=PixelOperations(["Blur", "GaussNoise", "RandomFog"], choose=2), quarter_turn=0.85
    )
    first = crops(image, rng(3))
    assert first[0].shape == (2, 56, 56, 3) and first[1].shape == (3, 28, 28, 3)
    assert first[0].dtype == first[1].dtype == np.uint8
    crops(image, rng(4))
    for one, other in zip(first, crops(image, rng(3)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (first[0] != crops(image, rng(4))[0]).any()


@pytest.mark.parametrize("size", [56, 80])
def test_multi_crop__clean_crops_are_the_global_ones_without_operations(size: int) -> None:
    """Held to crops whose operation draws as many numbers and changes nothing."""
    image = cv2.GaussianBlur(noise(90, 110), (0, 0), 3)
    turned = {"horizontal_flip": 0.5, "vertical_flip": 0.5, "quarter_turn": 0.9}
    changing = plain(operations=PixelOperations(["InvertImg"], choose=1, probability=1.0), **turned)
    idle = plain(operations=PixelOperations(["InvertImg"], choose=1, probability=0.0), **turned)
    for seed in range(8):
        given = [np.empty((2, 56, 56, 3), np.uint8), np.empty((3, 28, 28, 3), np.uint8)]
        clean = np.empty((2, size, size, 3), np.uint8)
        generator, without = rng(seed), rng(seed)
        changing.fill(image, generator, *given, clean_crops=clean)
        for found, expected in zip(given, changing(image, without), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert generator.bit_generator.state == without.bit_generator.state
        if size == 56:
            np.testing.assert_array_equal(clean, idle(image, rng(seed))[0])
            np.testing.assert_array_equal(255 - clean, given[0])
        else:  # the same place in the same orientation, with more pixels
            shrunk = np.stack([resize_square(crop, 56) for crop in clean]).astype(float)
            assert np.abs(shrunk - idle(image, rng(seed))[0]).max() < 8


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_multi_crop__teacher_crops_go_part_of_the_way_to_the_students(strength: float) -> None:
    image = cv2.GaussianBlur(noise(90, 110), (0, 0), 3)
    operations = PixelOperations(["InvertImg"], choose=1, probability=1.0)
    crops = plain(operations=operations, quarter_turn=0.9, teacher_strength=strength)
    given = [np.empty((2, 56, 56, 3), np.uint8), np.empty((3, 28, 28, 3), np.uint8)]
    clean, teacher = np.empty_like(given[0]), np.empty_like(given[0])
    crops.fill(image, rng(5), *given, clean_crops=clean, teacher_crops=teacher)
    expected = (1 - strength) * clean.astype(float) + strength * given[0]
    assert np.abs(teacher - expected).max() <= 0.5
    for found, alone in zip(given, crops(image, rng(5)), strict=True):
        np.testing.assert_array_equal(found, alone)


def test_multi_crop__without_local_crops() -> None:
    assert plain(local_count=0)(noise(60, 60), rng())[1].shape == (0, 28, 28, 3)


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [((1, 0, 0), np.fliplr), ((0, 1, 0), np.flipud), ((1, 1, 0), lambda crop: crop[::-1, ::-1])],
)
def test_orientation__flips(
    probabilities: tuple[float, float, float], expected: Callable[[np.ndarray], np.ndarray]
) -> None:
    crop = noise(8, 8)
    np.testing.assert_array_equal(random_orientation(rng(), *probabilities).of(crop), expected(crop))


def test_orientation__turns_by_each_quarter_equally_often() -> None:
    crop, generator = noise(6, 6), rng(2)
    turned = [np.rot90(crop, quarters) for quarters in range(4)]
    counts = np.zeros(4)
    for _ in range(2000):
        result = random_orientation(generator, 0, 0, 1).of(crop)
        counts += [bool((result == candidate).all()) for candidate in turned]
    assert stats.chisquare(counts).pvalue > 1e-3 and counts.sum() == 2000


def test_orientation__keeps_its_probability() -> None:
    crop, generator = noise(6, 6), rng(3)
    flipped = sum(
        bool((random_orientation(generator, 0.85, 0, 0).of(crop) != crop).any()) for _ in range(3000)
    )
    assert stats.binomtest(flipped, 3000, 0.85).pvalue > 1e-3
