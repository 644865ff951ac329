"""Cells that are chosen among all of a source's plain pictures need all of these."""

from __future__ import annotations

from collections import Counter

import numpy as np

from reddino.foundations.errors import RedDinoError
from reddino.regions.places import places_of
from reddino.smears.manifest import Manifest


def require_whole_sources(share: Manifest, whole: Manifest) -> None:
    """Refuse to choose cells in a share that has only some of a source's plain pictures.

    They are judged, and their cells counted, by source: each share would give as many cells as all together.
    Slides are judged each by itself.

    Raises:
        RedDinoError: names the first such source.
    """
    if share is whole:
        return
    mine, all_of = _plain_pictures(share), _plain_pictures(whole)
    for source, count in mine.items():
        if count < all_of[source]:
            raise RedDinoError(
                f"cells are chosen among all pictures of source '{source}', and this share has {count} of "
                f"{all_of[source]}: embed it without a share, or all cells that are found (without --cells "
                "and --from)"
            )


def _plain_pictures(manifest: Manifest) -> Counter[str]:
    """Count the pictures of each source that are no regions of slides."""
    first = np.unique(manifest.images()[1], return_index=True)[1]
    sources = manifest.strings("source")
    pairs = zip(first.tolist(), places_of(manifest), strict=True)
    return Counter(sources[row] for row, place in pairs if not place.slide_key)
