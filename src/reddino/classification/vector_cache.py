"""Vectors on disk while a classifier is fitted or applied, so that a stopped command continues."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reddino.classification.planned_views import PlannedViews, Progress, describe
from reddino.embedding.choices import StoredType
from reddino.embedding.comparable import refuse_other_table
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.note_copies import note_copies
from reddino.embedding.part_files import finished_parts, read_part
from reddino.embedding.pass_drivers import PassDriver
from reddino.embedding.replaced_pictures import require_same_pictures
from reddino.embedding.table import read_embeddings
from reddino.embedding.view_encoder import ViewEncoder, arithmetic
from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures

log = logging.getLogger(__name__)

#: Views of a part: what a stop loses at most, besides the rest of an image.
PART_ROWS = 512
DTYPE: StoredType = "float32"


def cache_path(out: Path, *, folder: bool) -> Path:
    """Return where the vectors of a result lie until it is finished: in its folder, or next to its file."""
    return out / ".vectors" if folder else out.with_name(f".{out.name}.vectors")


@contextmanager
def vector_cache(place: Path) -> Iterator[Path]:
    """Give a folder for vectors, which only a stop (Ctrl-C, a signal, kill -9) leaves behind.

    It is deleted when the block ends, or fails: then the same command would fail again.

    Raises:
        KeyboardInterrupt: with the place, in a sentence for the user.
    """
    try:
        yield place
    except KeyboardInterrupt as stop:
        if not finished_parts(place) and not (place / "_survey").is_dir():
            shutil.rmtree(place, ignore_errors=True)
            raise
        raise KeyboardInterrupt(
            f"stopped; the same command continues with the vectors in {place}, which it deletes at its end"
        ) from stop
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)


def embedded_in(
    place: Path,
    plan: PlannedViews,
    encoder: ViewEncoder,
    pooling: str,
    *,
    batch_size: int = 64,
    failures: Failures,
    progress: Progress | None = None,
    find_copies: bool = False,
    driver: PassDriver | None = None,
) -> Embeddings:
    """Embed all views by the pass of `embed`, in a table at `place`; what lies there is not computed again.

    Vectors of another network, pooling, view, preprocessing or manifest, and those of pictures that were
    replaced since, are deleted first.

    Args:
        place: folder of the table.
        plan: what is cut, and where.
        encoder: the network.
        pooling: as `embed` takes it.
        batch_size: views that go through the network together.
        failures: takes images that cannot be read, and views whose vectors are not finite.
        progress: called with views embedded and views in all.
        find_copies: find images that are the same, or nearly.
        driver: that has the views embedded; None: this process does it.

    Raises:
        RedDinoError: no image could be read, or no vector is finite.
    """
    if not _can_continue(place, plan, encoder, pooling):
        shutil.rmtree(place)
    embed_manifest(
        plan.manifest,
        encoder,
        place,
        view=plan.view,
        pooling=pooling,
        batch_size=batch_size,
        diameters=plan.diameters,
        failures=failures,
        progress=progress,
        part_rows=PART_ROWS,
        dtype=DTYPE,
        driver=driver,
    )
    if find_copies:
        note_copies(plan.manifest, place)
    return read_embeddings(place)


def _can_continue(place: Path, plan: PlannedViews, encoder: ViewEncoder, pooling: str) -> bool:
    """Return whether nothing lies at `place`, or parts of the table that is to be made."""
    if not place.exists():
        return True
    try:
        parts = [read_part(part) for part in finished_parts(place).values()]
        for found, _ in parts:
            refuse_other_table(place, found, _wanted(plan, encoder, pooling, int(found["dim"])))
        records = [record for _, record in parts]
        require_same_pictures(place, records, plan.manifest.root, plan.views.names)
    except RedDinoError:
        log.info("the vectors that an earlier run left in %s are of something else: computed again", place)
        return False
    return True


def _wanted(plan: PlannedViews, encoder: ViewEncoder, pooling: str, dim: int) -> dict[str, Any]:
    """Return the metadata that decide whether a pass continues."""
    own = {"dim": dim, "dtype": DTYPE, "part_rows": PART_ROWS}
    return {**describe(encoder, plan, pooling), **arithmetic(encoder), **own}
