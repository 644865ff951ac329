"""Whether the images of a table were in its model's pretraining, source by source."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import in_line, read_json

if TYPE_CHECKING:
    from reddino.networks.seen import SeenImages
    from reddino.smears.hashes import Hashes

SEEN_FILE = "seen.json"
Status = Literal["seen", "unseen", "unknown"]


def compare(sources: Sequence[str], hashes: Hashes, seen: SeenImages) -> dict[str, dict[str, Any]]:
    """What is known of each source of a table.

    A source was seen if a source of that name, or a near-duplicate of one of its images, is among the
    training images. It is unseen only where the list of training images is complete.

    Args:
        sources: (n,) source of each image.
        hashes: (n, 2) of the images; may be empty where `seen` lists none.
        seen: the training images.

    Returns:
        By source: status, images, near_duplicates (images) and named (whether training names the source).
    """
    from reddino.smears.hashes import near_duplicates

    double = near_duplicates(hashes, seen.hashes) if len(hashes) else np.zeros(len(sources), dtype=np.bool_)
    images = Counter(sources)
    doubles = Counter(source for source, found in zip(sources, double.tolist(), strict=True) if found)
    trained = set(seen.sources) - {""}
    return {
        source: {
            "status": _status(source in trained or doubles[source] > 0, seen.complete),
            "images": images[source],
            "near_duplicates": doubles[source],
            "named": source in trained,
        }
        for source in sorted(images)
    }


def _status(found: bool, complete: bool) -> Status:
    if found:
        return "seen"
    return "unseen" if complete else "unknown"


def write_comparison(table: Path, found: dict[str, dict[str, Any]]) -> None:
    """Put a comparison beside the parts of a table."""
    write_text(table / SEEN_FILE, json.dumps(found, indent=1) + "\n")


def statuses(table: Path) -> dict[str, str]:
    """Source -> seen, unseen or unknown; empty where nothing was looked up, which means unknown."""
    path = table / SEEN_FILE
    if not path.is_file():
        return {}
    found = read_json(path)
    for source, entry in found.items():
        if not isinstance(entry, dict) or entry.get("status") not in get_args(Status):
            raise RedDinoError(f"{path}: {in_line(source)}: it does not say {', '.join(get_args(Status))}")
    return {source: entry["status"] for source, entry in found.items()}
