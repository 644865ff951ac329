"""A training step on a GPU: against the CPU, in bf16, fused, packed, recomputed and compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from one_step import Computed, Step, gradient_error, loss_error, recipe, take

Record = Callable[[str, object], None]
#: Losses may differ by this fraction, and all gradients together by that fraction of their length.
ROUNDING = (1e-4, 2e-3)
#: Products in bfloat16, sums and losses in float32.
HALF = (5e-3, 0.1)


def require_equal(found: Step, wanted: Step, most: tuple[float, float], record: Record) -> None:
    errors = loss_error(found, wanted), gradient_error(found, wanted)
    record("loss_error", errors[0])
    record("gradient_error", errors[1])
    assert errors[0] <= most[0] and errors[1] <= most[1], errors


@pytest.fixture(scope="module")
def exact(device: torch.device) -> Step:
    """The step in float32 on the device."""
    return take(recipe(), device)


def test_step__on_the_device_is_that_on_the_cpu(
    device: torch.device, exact: Step, record_property: Record
) -> None:
    require_equal(exact, take(recipe(), torch.device("cpu")), ROUNDING, record_property)


def test_step__in_bf16_is_near_fp32(device: torch.device, exact: Step, record_property: Record) -> None:
    require_equal(take(recipe(), device, "bf16"), exact, HALF, record_property)


def test_step__without_drop_path_in_bf16_is_near_fp32(device: torch.device, record_property: Record) -> None:
    whole = recipe(["model.drop_path=0"])
    require_equal(take(whole, device, "bf16"), take(whole, device), HALF, record_property)


@pytest.mark.parametrize(("precision", "most"), [("fp32", ROUNDING), ("bf16", HALF)])
def test_step__with_fused_attention_is_that_with_explicit_products(
    device: torch.device,
    precision: Computed,
    most: tuple[float, float],
    record_property: Record,
) -> None:
    fused, explicit = (take(recipe(), device, precision, fused=how) for how in (True, False))
    require_equal(fused, explicit, most, record_property)


@pytest.mark.parametrize(
    "overrides", [["runtime.pack_crops=true"], ["runtime.activation_checkpointing=true"]], ids=lambda x: x[0]
)
def test_step__packed_or_recomputed_is_the_plain_one(
    device: torch.device, exact: Step, overrides: Sequence[str], record_property: Record
) -> None:
    require_equal(take(recipe(overrides), device), exact, ROUNDING, record_property)


def test_step__packed_in_bf16_is_near_fp32(
    device: torch.device, exact: Step, record_property: Record
) -> None:
    packed = recipe(["runtime.pack_crops=true"])
    require_equal(take(packed, device, "bf16"), exact, HALF, record_property)


def test_step__in_tf32_is_near_fp32(device: torch.device, exact: Step, record_property: Record) -> None:
    if device.type != "cuda":
        pytest.skip("TF32 is of GPUs")
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    require_equal(take(recipe(), device), exact, (2e-3, 2e-2), record_property)
