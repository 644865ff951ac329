"""Compare the images of a table with its model's pretraining, and note the result next to its parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reddino.embedding.part_files import finished_parts, noted_contents, read_parts
from reddino.embedding.seen_file import Status, write_seen_file
from reddino.networks.training_images import SeenImages, read_seen, write_seen
from reddino.smears.hashes import Hashes, from_hex, hash_images, near_duplicates
from reddino.smears.manifest import Manifest


def note_seen(seen: SeenImages, manifest: Manifest, table: Path, keep: Path | None = None) -> None:
    """Write next to a table which of its sources the model saw in pretraining.

    Args:
        seen: by the model.
        manifest: that the table was made of.
        table: whose parts may have noted hashes; the other images of the manifest are read for theirs.
        keep: folder for the hashes of the manifest's images, so that the next model need not read them again;
            the digest of the image files is appended to its name, since they may be replaced.
    """
    if seen.sources:
        sources, hashes = _image_hashes(manifest, table, keep)
    else:
        sources, hashes = sorted(set(manifest.strings("source"))), seen.hashes[:0]
    write_seen_file(table, compare(sources, hashes, seen))


def compare(sources: Sequence[str], hashes: Hashes, seen: SeenImages) -> dict[str, dict[str, Any]]:
    """Compare each source of a table with the training images.

    A source was seen if a source of that name, or a near-duplicate of one of its images, is among the
    training images. It is unseen only where the list of training images is complete.

    Args:
        sources: (n,) source of each image.
        hashes: (n, 2) of the images; may be empty where `seen` lists none.
        seen: the training images.

    Returns:
        By source: status, images, near_duplicates (images) and named (whether training names the source).
    """
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


def noted_hashes(folder: Path) -> dict[int, Hashes]:
    """Return the hashes (2,) that the parts of a table noted, by number of the image in the manifest."""
    records = (record for _, record in read_parts(list(finished_parts(folder).values())))
    return {number: from_hex(digits[:32]) for record in records for number, digits in record.hashes.items()}


def _image_hashes(manifest: Manifest, table: Path, keep: Path | None) -> tuple[list[str], Hashes]:
    if keep is not None:
        keep = keep.with_name(f"{keep.name}-{noted_contents(table)}")
    kept = read_seen(keep) if keep is not None else None
    if kept is not None:
        return list(kept.sources), kept.hashes
    sources, hashes = hash_images(manifest, known=noted_hashes(table))
    if keep is not None:
        write_seen(keep, SeenImages(tuple(sources), hashes))
    return sources, hashes
