"""The machine that figures are of: card, driver, versions."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

#: What a card's name holds, and what `reddino plan` calls it.
KINDS = ("h200", "h100", "a100", "v100", "l4", "t4", "4090")


def device_kind(name: str) -> str | None:
    """A card's name as `reddino plan --device-kind` knows it; None where it does not."""
    words = re.split(r"[^a-z0-9]+", name.lower())
    found = next((kind for kind in KINDS if kind in words), None)
    return "rtx4090" if found == "4090" else found


def machine(device: str) -> dict[str, Any]:
    """Card, driver and versions, as every stage writes them beside its figures."""
    import timm
    import torch

    import reddino

    about: dict[str, Any] = {
        "device": device,
        "card": _processor(),
        "torch": torch.__version__,
        "timm": timm.__version__,
        "python": platform.python_version(),
        "reddino": reddino.__version__,
        "cores": len(os.sched_getaffinity(0)),
    }
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        about |= {
            "card": card.name,
            "memory_gb": round(card.total_memory / 1e9, 1),
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "driver": _driver(),
        }
    return about


def _driver() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.split("\n")[0].strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")
