"""The choices of precision; without torch, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: `auto` takes bf16 where the hardware computes it.
Precision = Literal["auto", "fp32", "bf16"]
