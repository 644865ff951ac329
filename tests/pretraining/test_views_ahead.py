"""Views made ahead: in order, one at most. Stand-ins take the place of a GPU's streams."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch

from reddino.foundations.runtime import Runtime
from reddino.pretraining.data import views
from reddino.pretraining.data.views import Ahead


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
    monkeypatch.setattr(views, "_tensors", lambda _: iter(()))


def ahead(device: str, made: list[int], count: int = 3) -> Any:
    def make(batch: Any) -> Any:
        made.append(batch)
        return f"views {batch}"

    return Ahead(iter(range(count)), make, Runtime(torch.device(device), "fp32", 1))  # type: ignore[arg-type]


@pytest.mark.usefixtures("_no_gpu_needed")
def test_ahead__on_a_gpu_makes_the_next_views_when_it_is_told_to() -> None:
    made: list[int] = []
    batches = ahead("cuda", made)
    assert next(batches) == "views 0" and made == [0]
    batches.prepare()
    batches.prepare()  # one ahead at most
    assert made == [0, 1]
    assert next(batches) == "views 1" and made == [0, 1]
    assert next(batches) == "views 2"  # not prepared, so made now
    assert _Stream.waited == 3
    batches.prepare()  # there is none
    assert list(batches) == []


def test_ahead__on_a_cpu_makes_views_when_they_are_due() -> None:
    made: list[int] = []
    batches = ahead("cpu", made)
    batches.prepare()
    assert made == []
    assert list(batches) == ["views 0", "views 1", "views 2"]
