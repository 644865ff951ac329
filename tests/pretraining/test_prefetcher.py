"""Network input made ahead: in order, one at most. Stand-ins take the place of a GPU's streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from reddino.foundations.runtime import Runtime
from reddino.pretraining.data import network_input
from reddino.pretraining.data.network_input import Prefetcher


class _Stream:
    waited = 0

    def __init__(self, *_: Any) -> None:
        """As of any device."""

    def wait_stream(self, other: _Stream) -> None:
        _Stream.waited += 1


@pytest.fixture
def _no_gpu_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = _Stream()
    monkeypatch.setattr(_Stream, "waited", 0)
    monkeypatch.setattr(torch.cuda, "Stream", _Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda _: stream)
    monkeypatch.setattr(network_input, "_tensors", lambda _: iter(()))


def prefetcher(device: str, made: list[int], count: int = 3) -> Any:
    batches: Iterator[Any] = iter(range(count))

    def make(batch: Any) -> Any:
        made.append(batch)
        return f"input {batch}"

    return Prefetcher(batches, make, Runtime(torch.device(device), "fp32", 1))


@pytest.mark.usefixtures("_no_gpu_needed")
def test_prefetcher__on_a_gpu_makes_the_next_input_when_it_is_told_to() -> None:
    made: list[int] = []
    batches = prefetcher("cuda", made)
    assert next(batches) == "input 0" and made == [0]
    batches.prepare()
    batches.prepare()  # one ahead at most
    assert made == [0, 1]
    assert next(batches) == "input 1" and made == [0, 1]
    assert next(batches) == "input 2"  # not prepared, so made now
    assert _Stream.waited == 3
    batches.prepare()  # there is none
    assert list(batches) == []


def test_prefetcher__on_a_cpu_makes_input_when_it_is_due() -> None:
    made: list[int] = []
    batches = prefetcher("cpu", made)
    batches.prepare()
    assert made == []
    assert list(batches) == ["input 0", "input 1", "input 2"]
