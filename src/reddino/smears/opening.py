"""Open whatever users name as data: manifests, packs, images, folders, tar shards, patterns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import Subfolders
from reddino.smears.failures import Failures
from reddino.smears.gather import gather
from reddino.smears.manifest import Manifest
from reddino.smears.packs import PackedManifest, is_pack, read_pack
from reddino.smears.readings import settle_readings

Data = str | Path | Manifest


def open_data(
    data: Data | Sequence[Data], failures: Failures | None = None, *, subfolders: Subfolders = "auto"
) -> Manifest:
    """Open manifests, packed collections, image files, folders, tar shards, or patterns, as one manifest.

    Args:
        data: one or several; see `reddino.smears.gather.gather`.
        failures: collects what seems to be an image and cannot be one.
        subfolders: what those of a folder stand for; see `reddino.smears.readers.subfolders`.

    Raises:
        RedDinoError: one of them cannot be read, or a pack is one of several.
    """
    named = [_unpacked(one) for one in ([data] if isinstance(data, str | Path | Manifest) else data)]
    if len(named) == 1 and isinstance(named[0], PackedManifest):
        return named[0]
    require_no_pack(named)
    failures = Failures() if failures is None else failures
    return settle_readings(gather(named, failures, subfolders))


def require_no_pack(several: Sequence[object]) -> None:
    """Refuse a packed collection among several: joined, its pixels and their fingerprint would be lost.

    Raises:
        RedDinoError: there are several, and one is a pack.
    """
    if len(several) > 1 and any(isinstance(one, PackedManifest) for one in several):
        raise RedDinoError("a pack stands for itself; give it alone, or pack everything together again")


def _unpacked(data: Data) -> Data:
    """Return the manifest of a packed collection; anything else as it is."""
    if isinstance(data, Manifest) or not is_pack(data):
        return data
    return read_pack(data)
