"""Device, precision and threads: chosen here and nowhere else."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal

import torch

from reddino.foundations.choices import Precision
from reddino.foundations.cores import usable_cores
from reddino.foundations.errors import RedDinoError
from reddino.foundations.launch import launched


@dataclass(frozen=True)
class Runtime:
    """The device and the precision of computations.

    Attributes:
        device: `cpu`, `cuda` or `cuda:<n>`.
        precision: `fp32` or `bf16` (autocast; parameters stay float32).
        threads: threads of one operator on the CPU. Float sums depend on it, so runs record it.
    """

    device: torch.device
    precision: Literal["fp32", "bf16"]
    threads: int

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    @property
    def fused_attention(self) -> bool:
        """Whether attention runs as one fused kernel: a gain on GPUs, a loss in the backward pass on CPUs."""
        return self.device.type != "cpu"


def cpu_computes_bf16() -> bool:
    """Return whether this processor multiplies bfloat16 in hardware; emulation is far slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def bf16_is_fast(device: torch.device) -> bool:
    """Return whether `device` multiplies bfloat16 in hardware."""
    if device.type != "cuda":
        return cpu_computes_bf16()
    with torch.cuda.device(device):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def choose_device(device: str = "auto") -> torch.device:
    """Resolve a device: `auto` takes CUDA where there is one; of several processes each its own GPU.

    Raises:
        RedDinoError: the device is not known or not present.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise RedDinoError(f"device '{device}' is not known to torch; give cpu, cuda or cuda:<n>") from error
    if chosen.type != "cuda":
        return chosen
    if not torch.cuda.is_available():
        raise RedDinoError(f"device '{device}' is not there: torch finds no CUDA device; choose cpu")
    launch = launched()
    if launch.count == 1:
        return chosen
    if ":" in device:
        raise RedDinoError(
            f"device '{device}' is one GPU, and {launch.count} processes need one each; choose cuda"
        )
    gpus = torch.cuda.device_count()
    if launch.local_rank >= gpus:
        raise RedDinoError(
            f"{launch.local_count} processes were started on a machine with {gpus} GPUs; start at most one "
            "a GPU (torchrun --nproc-per-node)"
        )
    chosen = torch.device("cuda", launch.local_rank)
    torch.cuda.set_device(chosen)
    return chosen


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device; to a GPU from pinned memory, so that the copy runs during the computation."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def choose_runtime(device: str = "auto", precision: Precision = "auto", threads: int = 0) -> Runtime:
    """Resolve `auto` choices for this machine and set torch up accordingly.

    Args:
        device: `auto` takes CUDA where there is one.
        precision: `auto` takes bf16 where the hardware computes it, else fp32.
        threads: 0 takes every core this process may use, or its part of them where torchrun started several.

    Raises:
        RedDinoError: the device is not known or not present.
    """
    chosen = choose_device(device)
    if precision == "auto":
        precision = "bf16" if bf16_is_fast(chosen) else "fp32"
    if threads <= 0:
        threads = max(1, usable_cores() // launched().local_count)
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(_products(chosen))
    return Runtime(chosen, precision, threads)


def _products(device: torch.device) -> str:
    """Return how float32 matrices are multiplied, in torch's terms.

    On GPUs TF32, for what stays in float32 with bf16. On CPUs "medium" goes through oneDNN instead of MKL's
    generic path, which changes speed, not accuracy, but for processors with AMX, where it would be bf16.
    """
    if device.type == "cuda":
        return "high"
    return "highest" if torch.cpu._is_amx_tile_supported() else "medium"
