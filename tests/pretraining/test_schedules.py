"""Schedules: ends, direction, and that they follow the run's length."""

from __future__ import annotations

import math
from typing import Any

import pytest

from reddino.pretraining.run.recipe import Recipe, make_recipe
from reddino.pretraining.schedules import StepValues, cosine, linear_then_constant, values_at, warmup_cosine

BATCH = 256


def recipe(steps: int = 1000, **sections: dict[str, Any]) -> Recipe:
    content = {
        "model": {"backbone": "vit_tiny_patch14"},
        "augmentation": {"operations": ["Blur"], "choose": 1},
        "run": {"samples": steps * BATCH, "batch": BATCH},
        **sections,
    }
    return make_recipe(content, "test")


def whole_run(described: Recipe) -> list[StepValues]:
    return [values_at(step, described) for step in range(described.steps)]


def test_cosine__ends_middle_and_direction() -> None:
    values = [cosine(step, 100, 0.04, 0.2) for step in range(101)]
    assert values[0] == pytest.approx(0.04)
    assert values[50] == pytest.approx(0.12)
    assert values[100] == pytest.approx(0.2)
    assert values == sorted(values)


def test_warmup_cosine__rises_linearly_then_falls() -> None:
    values = [warmup_cosine(step, 100, 10, 1.0, 0.1) for step in range(101)]
    assert values[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert values[10] == pytest.approx(1.0)
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[55] == pytest.approx(0.55)
    assert values[100] == pytest.approx(0.1)


def test_warmup_cosine__over_the_whole_run_does_not_divide_by_zero() -> None:
    assert warmup_cosine(9, 10, 10, 1.0, 0.1) == pytest.approx(1.0)


def test_linear_then_constant__by_hand() -> None:
    assert [linear_then_constant(step, 4, 0.0, 2.0) for step in (0, 1, 2, 4, 9)] == [0.0, 0.5, 1.0, 2.0, 2.0]
    assert linear_then_constant(0, 0, 0.0, 2.0) == 2.0


def test_values__ends_of_the_published_recipe() -> None:
    values = whole_run(recipe())
    peak = 2e-4 * math.sqrt(BATCH / 1024)
    assert max(value.lr for value in values) == pytest.approx(peak)
    assert values[-1].lr == pytest.approx(1e-6, rel=0.01)
    assert values[0].weight_decay == pytest.approx(0.04)
    assert values[-1].weight_decay == pytest.approx(0.2, rel=1e-3)
    assert values[0].ema_momentum == pytest.approx(0.994)
    assert values[-1].ema_momentum == pytest.approx(1.0, abs=1e-6)
    assert values[0].teacher_temperature == pytest.approx(0.04)


@pytest.mark.parametrize("name", ["weight_decay", "ema_momentum", "teacher_temperature"])
def test_values__never_turn_back(name: str) -> None:
    values = [getattr(value, name) for value in whole_run(recipe())]
    assert values == sorted(values)
    assert values[0] < values[-1]


@pytest.mark.parametrize("steps", [7, 100, 1000])
def test_values__teacher_temperature_arrives_within_the_run(steps: int) -> None:
    section = {"teacher_start": 0.04, "teacher_end": 0.07, "teacher_warmup": 0.3}
    values = whole_run(recipe(steps, temperature=section))
    assert [value.teacher_temperature for value in values[math.ceil(0.3 * steps) :]] == pytest.approx(
        [0.07] * (steps - math.ceil(0.3 * steps))
    )
    assert values[-1].teacher_temperature == 0.07


def test_values__follow_the_length_of_the_run() -> None:
    short, long = recipe(1000), recipe(2000)
    for share in (0.0, 0.1, 0.37, 0.5, 0.9):
        one, other = values_at(int(1000 * share), short), values_at(int(2000 * share), long)
        for name in ("weight_decay", "ema_momentum", "teacher_temperature"):
            assert getattr(one, name) == pytest.approx(getattr(other, name))
        if share:
            assert one.lr == pytest.approx(other.lr, rel=1e-3)


def test_values__last_layer_is_frozen_for_its_share_of_the_run() -> None:
    values = whole_run(recipe(100, optim={"freeze_last_layer": 0.2, "warmup": 0.0}))
    assert [value.last_layer_lr == 0 for value in values] == [True] * 20 + [False] * 80
    assert all(value.lr > 0 for value in values)
    assert all(value.last_layer_lr == value.lr for value in values[20:])


def test_values__heads_warm_up_before_the_backbone_moves() -> None:
    values = whole_run(recipe(100, optim={"head_warmup": 0.2, "warmup": 0.1}))
    assert [value.backbone_lr == 0 for value in values] == [True] * 20 + [False] * 80
    assert all(value.lr > 0 for value in values)
    rising = [value.backbone_lr / value.lr for value in values[20:30]]
    assert rising == pytest.approx([0.1 * step for step in range(1, 11)])
    assert all(value.backbone_lr == value.lr for value in values[30:])
    assert all(value.backbone_lr == value.lr for value in whole_run(recipe(100)))


def test_values__rate_follows_the_root_of_the_batch() -> None:
    quarter = make_recipe(
        {**recipe().model_dump(), "run": {"samples": 64_000, "batch": BATCH // 4}}, "quarter"
    )
    peaks = [max(value.lr for value in whole_run(described)) for described in (recipe(), quarter)]
    assert peaks[0] == pytest.approx(2 * peaks[1])
