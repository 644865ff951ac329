"""torch.compile on a GPU computes what eager does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from one_step import Computed, gradient_error, loss_error, recipe, take


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.15), ("fp32", 2e-3)])
def test_step__compiled_is_the_plain_one(
    device: torch.device,
    precision: Computed,
    most: float,
    record_property: Callable[[str, object], None],
) -> None:
    # Few programs to translate: one block, all crops of one size, no path dropped.
    few = ["model.depth=1", "model.drop_path=0", "crops.local_count=0"]
    torch._dynamo.reset()
    plain = take(recipe(few), device, precision)
    compiled = take(recipe([*few, "runtime.compile=true"]), device, precision)
    record_property("loss_error", loss_error(compiled, plain))
    record_property("gradient_error", gradient_error(compiled, plain))
    assert loss_error(compiled, plain) <= most / 5
    assert gradient_error(compiled, plain) <= most
