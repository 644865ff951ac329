"""What a model saw in pretraining: the sources of its images and their hashes, kept in the model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from reddino.foundations.atomic import atomic_path
from reddino.foundations.parquet import read_parquet_file, reading_parquet, require_columns, write_parquet
from reddino.networks import hub
from reddino.networks.catalogue import EFFICIENTNET_LITE0, HUB, PUBLISHED, RESNET50
from reddino.networks.shipped import as_folder
from reddino.smears.hashes import Hashes

SEEN = "seen.parquet"
_COMPLETE = b"reddino_complete"


@dataclass(frozen=True)
class SeenImages:
    """The smear images that weights were trained on.

    Attributes:
        sources: (n,) source of each image.
        hashes: (n, 2) of `reddino.smears.hashes.image_hash`.
        complete: False where the weights began as others, of which nothing is known: what is not listed may
            have been seen all the same.
    """

    sources: tuple[str, ...]
    hashes: Hashes
    complete: bool = True

    def joined(self, other: SeenImages) -> SeenImages:
        """Return what either of two trainings saw, each image once."""
        sources = (*self.sources, *other.sources)
        hashes = np.concatenate([self.hashes, other.hashes])
        complete = self.complete and other.complete
        if not (len(self.sources) and len(other.sources)):
            return SeenImages(sources, hashes, complete)
        codes = np.unique(np.asarray(sources), return_inverse=True)[1].astype(np.uint64)
        first = np.unique(np.column_stack([codes, hashes]), axis=0, return_index=True)[1]
        kept = np.sort(first)
        return SeenImages(tuple(sources[row] for row in kept.tolist()), hashes[kept], complete)


NOTHING = SeenImages((), np.empty((0, 2), np.uint64))


def write_seen(folder: Path, seen: SeenImages) -> None:
    """Write `seen.parquet` of a model folder, whole or not at all."""
    columns = {
        "source": pa.array(seen.sources, pa.string()).dictionary_encode(),
        "right": pa.array(seen.hashes[:, 0]),
        "down": pa.array(seen.hashes[:, 1]),
    }
    table = pa.table(columns).replace_schema_metadata({_COMPLETE: b"1" if seen.complete else b"0"})
    with atomic_path(folder / SEEN) as partial:
        write_parquet(table, partial)


def read_seen(folder: Path) -> SeenImages | None:
    """Read the list of a model folder; None where it has none.

    Raises:
        RedDinoError: the list is damaged.
    """
    path = folder / SEEN
    if not path.is_file():
        return None
    with reading_parquet(path, "as a list of seen images"):
        table = read_parquet_file(path)
        require_columns(table, source=pa.string(), right=pa.uint64(), down=pa.uint64())
        hashes = np.stack([table.column(name).to_numpy() for name in ("right", "down")], axis=1)
        complete = (table.schema.metadata or {}).get(_COMPLETE) == b"1"
        sources = (str(source or "") for source in table.column("source").to_pylist())
        return SeenImages(tuple(sources), hashes.astype(np.uint64), complete)


def seen_before(start: str) -> SeenImages:
    """Return what the weights saw that a training starts from.

    Scratch and networks trained on natural images saw no smears; of foreign weights nothing is known. A
    network of the hub may have the list that `reddino push` sends.

    Args:
        start: as in a recipe's `model.start`.
    """
    start = as_folder(start)
    if start.startswith(HUB):
        fetched = hub.fetch_optional(start.removeprefix(HUB[0]).removeprefix(HUB[1]), SEEN)
        start = str(fetched.parent) if fetched is not None else start
    if Path(start).is_dir():
        listed = read_seen(Path(start))
        return listed if listed is not None else SeenImages(NOTHING.sources, NOTHING.hashes, complete=False)
    natural = {"scratch", EFFICIENTNET_LITE0, RESNET50} | {
        name for name in PUBLISHED if name.startswith("dinov2")
    }
    complete = start in natural or start.startswith(("timm:", "untrained:"))
    return SeenImages(NOTHING.sources, NOTHING.hashes, complete)


def seen_by_cache(sources: Sequence[str], hashes: Hashes, *before: str) -> SeenImages:
    """Return what a training on these images has seen once it is done.

    Args:
        sources: (n,) of the images.
        hashes: (n, 2) of them.
        before: the weights that it starts from or learns from, as `seen_before` takes them.
    """
    seen = SeenImages(tuple(sources), hashes)
    for weights in reversed(before):
        seen = seen_before(weights).joined(seen)
    return seen
