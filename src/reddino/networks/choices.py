"""The choices that a network offers; without torch, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: Poolings that give one vector per view: class token, mean of the patch tokens, or both.
VectorPooling = Literal["cls", "mean", "cls+mean"]
#: All poolings; `tokens` gives the patch tokens themselves.
Pooling = Literal[VectorPooling, "tokens"]
#: The order of the colours that a network sees.
ChannelOrder = Literal["RGB", "BGR"]
