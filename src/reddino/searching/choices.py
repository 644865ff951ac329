"""The choices of a search; without numpy, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: What hits must not share with their query.
Same = Literal["field", "slide", "patient"]
