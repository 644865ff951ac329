"""Cells to review, without pictures: rows of an embedding table as a manifest."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from reddino.smears.manifest import Manifest


def review_cells(count: int = 24, root: Path = Path("/pictures"), shift: float = 0.0) -> Manifest:
    """Cells of fields with four cells each, two fields a slide."""
    fields = [row // 4 for row in range(count)]
    return Manifest(
        pa.table(
            {
                "path": [f"field{field}.png" for field in fields],
                "source": ["lilac"] * count,
                "slide": [f"slide{field // 2}" for field in fields],
                "x": [10.0 + 20 * (row % 4) + shift for row in range(count)],
                "y": [30.0] * count,
                "w": [16.0] * count,
                "h": [18.0] * count,
            }
        ),
        root,
    )
