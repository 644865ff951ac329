"""The choices of a review; without libraries, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: Rows of exported labels: one a cell, one a cell and reader, or one a cell and event.
Exported = Literal["consensus", "readers", "events"]
#: How labels are written.
LabelFormat = Literal["manifest", "coco", "label-studio"]
