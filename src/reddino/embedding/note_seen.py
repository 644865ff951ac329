"""Note beside a table which of its sources the model saw in pretraining."""

from __future__ import annotations

from pathlib import Path

from reddino.embedding.seen import compare, write_comparison
from reddino.embedding.table import noted_contents, noted_hashes
from reddino.networks.seen import SeenImages, read_seen, write_seen
from reddino.smears.hashes import Hashes, hash_images
from reddino.smears.manifest import Manifest


def note_seen(seen: SeenImages, manifest: Manifest, table: Path, keep: Path | None = None) -> None:
    """Put beside a table which of its sources the model saw in pretraining.

    Args:
        seen: by the model.
        table: whose parts may have noted hashes; other images of the manifest are read for theirs.
        keep: folder for the hashes of the manifest's images, so that the next model need not read them again;
            the digest of the pictures' bytes stands behind its name, since they may be replaced.
    """
    if seen.sources:
        sources, hashes = _image_hashes(manifest, table, keep)
    else:
        sources, hashes = sorted(set(manifest.strings("source"))), seen.hashes[:0]
    write_comparison(table, compare(sources, hashes, seen))


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
