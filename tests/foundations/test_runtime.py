"""Device, precision and threads, resolved in one place."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Literal

import pytest
import torch

from reddino.foundations import runtime
from reddino.foundations.errors import RedDinoError
from reddino.foundations.runtime import Runtime, choose_runtime


@pytest.fixture(autouse=True)
def _torch_as_before() -> Iterator[None]:
    """`choose_runtime` sets torch up; other tests keep their threads."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)


@pytest.fixture()
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.usefixtures("_no_gpu")
@pytest.mark.parametrize(("hardware", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto__takes_bf16_only_where_the_processor_computes_it(
    monkeypatch: pytest.MonkeyPatch, hardware: bool, precision: str
) -> None:
    monkeypatch.setattr(runtime, "cpu_computes_bf16", lambda: hardware)
    chosen = choose_runtime()
    assert (chosen.device.type, chosen.precision) == ("cpu", precision)
    assert choose_runtime(precision="fp32").precision == "fp32"
    assert choose_runtime(precision="bf16").precision == "bf16"


@pytest.mark.parametrize("hardware", [True, False])
def test_auto__takes_no_bf16_that_a_gpu_emulates(monkeypatch: pytest.MonkeyPatch, hardware: bool) -> None:
    # torch says yes of older GPUs too, which compute it in float32.
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation or hardware
    )
    assert runtime.bf16_is_fast(torch.device("cuda")) == hardware


@pytest.mark.usefixtures("_no_gpu")
def test_threads__zero_takes_the_cores_of_this_process() -> None:
    cores = len(os.sched_getaffinity(0))
    assert choose_runtime(threads=0).threads == torch.get_num_threads() == cores
    assert choose_runtime(threads=1).threads == torch.get_num_threads() == 1


@pytest.mark.usefixtures("_no_gpu")
@pytest.mark.parametrize(
    ("device", "sentence"), [("tpu9000", "not known to torch"), ("cuda", "finds no CUDA")]
)
def test_device__that_is_not_there_is_refused(device: str, sentence: str) -> None:
    with pytest.raises(RedDinoError, match=sentence):
        choose_runtime(device)


def test_autocast__computes_products_in_the_precision() -> None:
    matrix = torch.ones(4, 4)
    dtypes: dict[Literal["fp32", "bf16"], torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
    for precision, dtype in dtypes.items():
        with Runtime(torch.device("cpu"), precision, 1).autocast():
            assert (matrix @ matrix).dtype == dtype
    assert (matrix @ matrix).dtype == torch.float32


def test_fused_attention__is_for_gpus() -> None:
    assert not Runtime(torch.device("cpu"), "fp32", 1).fused_attention
    assert Runtime(torch.device("cuda"), "bf16", 1).fused_attention


@pytest.mark.usefixtures("_no_gpu")
def test_products__of_float32_keep_its_accuracy() -> None:
    choose_runtime(threads=1)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(256, 256, generator=generator) for _ in range(2))
    torch.testing.assert_close((a @ b).double(), a.double() @ b.double(), atol=1e-3, rtol=1e-4)


@pytest.mark.usefixtures("_no_gpu")
def test_products__are_exact_where_medium_would_be_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    choose_runtime(threads=1)
    assert torch.get_float32_matmul_precision() == "highest"


def launch(monkeypatch: pytest.MonkeyPatch, rank: int, count: int) -> None:
    """What torchrun sets for a process on a machine of its own."""
    names = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count}
    for name, value in {**names, "MASTER_PORT": 29500}.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.usefixtures("_no_gpu")
def test_threads__are_the_share_of_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(12)))
    launch(monkeypatch, 1, 4)
    assert choose_runtime(threads=0).threads == 3


def test_device__is_the_gpu_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    launch(monkeypatch, 2, 4)
    assert runtime.choose_device("auto") == torch.device("cuda:2")
    assert chosen == [torch.device("cuda:2")]
    with pytest.raises(RedDinoError, match="4 processes need one each; choose cuda"):
        runtime.choose_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(RedDinoError, match="on a machine with 2 GPUs"):
        runtime.choose_device("cuda")
