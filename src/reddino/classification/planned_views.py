"""The views of a manifest as pixels on disk or as vectors in memory, with the metadata of a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reddino.checks.copies import copies_of
from reddino.embedding.batches import rebatch
from reddino.embedding.copies_file import first_of_copies
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import finite_rows
from reddino.embedding.growth import plan_hash
from reddino.embedding.open_part import relative_failures
from reddino.embedding.prefetch import prefetch
from reddino.embedding.table_rows import PerView, RowColumns, TableRows
from reddino.embedding.view_encoder import Images, Vectors, ViewEncoder, preprocessing
from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.sketches import Sketch, sketch_of
from reddino.views.by_image import ViewsByImage
from reddino.views.placing import Squares
from reddino.views.scales import Diameters, by_source
from reddino.views.spec import ViewSpec

Numbers = np.typing.NDArray[np.int64]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class PlannedViews:
    """Views that can be cut, placed by the headers of their images.

    Attributes:
        views: of a manifest, by image.
        squares: (n,) of dtype `SQUARE`, in the order of the images.
        dropped: number of views that were left out since they leave their image.
        diameters: of the red cells, with which the views were placed.
    """

    views: ViewsByImage
    squares: Squares
    dropped: int
    diameters: Diameters | None

    def __len__(self) -> int:
        return len(self.squares)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the views."""
        return self.views.manifest

    @property
    def view(self) -> ViewSpec:
        """The squares to cut and the size to which they are brought."""
        return self.views.spec

    def table(self, numbers: Numbers) -> pa.Table:
        """Return the manifest's columns and the places of some views."""
        squares = self.squares[numbers]
        rows = TableRows(squares, np.empty((len(squares), 0), np.float32))
        return RowColumns(self.manifest, PerView, cells=self.view.kind == "cells").of(rows)


def plan(manifest: Manifest, view: ViewSpec, diameters: Diameters | None, failures: Failures) -> PlannedViews:
    """Plan the views; `diameters` as for `embed_manifest`.

    Raises:
        RedDinoError: there is nothing to cut.
    """
    views = ViewsByImage(manifest, view, diameters=diameters)
    squares, dropped = views.place_all(failures)
    if views.by_picture is not None:
        views.by_picture.report()
    if len(squares) == 0:
        reason = f"all {len(dropped)} views reach past their images" if len(dropped) else failures.summary()
        raise RedDinoError(f"no view can be cut: {reason}")
    return PlannedViews(views, squares, len(dropped), diameters)


def batches(
    plan: PlannedViews, batch_size: int, failures: Failures, sketches: dict[int, Sketch] | None = None
) -> Iterator[tuple[Numbers, Images]]:
    """Cut the planned views in a background thread; yield their numbers and pixels in batches.

    Images that fail go to `failures`, and sketches of the others to `sketches`, by number of the image.
    """
    failed = Failures()

    def see(number: int, image: Images) -> None:
        if sketches is not None:
            sketches[number] = sketch_of(image)

    stacks = plan.views.cut_all(plan.squares, failed, at_most=batch_size, see=see)
    with closing(prefetch(rebatch(stacks, batch_size))) as work:
        yield from work
    plan.views.stains.report()
    for path, reason in relative_failures(failed, plan.manifest):
        failures.add(path, reason)


def describe(encoder: ViewEncoder, plan: PlannedViews, pooling: str) -> dict[str, Any]:
    """Return the metadata that an embedding table would have for these vectors."""
    return {
        "model": encoder.name,
        "opens_as": encoder.name,
        "weights_hash": encoder.weights_hash,
        "pooling": pooling,
        "preprocessing": preprocessing(encoder),
        "view": plan.view.metadata(),
        "per": "view",
        "data": plan.manifest.fingerprint(),
        "plan": plan_hash(by_source(plan.diameters)),
    }


def embedded(
    plan: PlannedViews,
    encoder: ViewEncoder,
    pooling: str,
    *,
    batch_size: int = 64,
    failures: Failures,
    progress: Progress | None = None,
    find_copies: bool = False,
) -> Embeddings:
    """Embed all views; those whose vectors are not finite go to `failures`.

    Args:
        plan: what is cut, and where.
        encoder: the network.
        pooling: as `embed` takes it.
        batch_size: views that go through the network together.
        failures: takes images that cannot be read, and views whose vectors are not finite.
        progress: called with views embedded and views in all.
        find_copies: find images that are the same, or nearly.

    Raises:
        RedDinoError: no image could be read, or no vector is finite.
    """
    numbers: list[Numbers] = []
    vectors: list[Vectors] = []
    sketches: dict[int, Sketch] | None = {} if find_copies else None
    for views, images in batches(plan, batch_size, failures, sketches):
        output = encoder.embed(images, pooling)
        kept = finite_rows(output)
        _list_lost(plan, views[~kept], failures)
        numbers.append(views[kept])
        vectors.append(output[kept])
        if progress:
            progress(int(views[-1]) + 1, len(plan))
    if not any(map(len, numbers)):
        raise RedDinoError(f"no image could be embedded: {failures.summary()}")
    rows = np.concatenate(numbers)
    copies = None if sketches is None else first_of_copies(copies_of(plan.manifest, sketches).values())
    return Embeddings(np.concatenate(vectors), plan.table(rows), describe(encoder, plan, pooling), copies)


def _list_lost(plan: PlannedViews, numbers: Numbers, failures: Failures) -> None:
    """Add the views whose vectors are not finite to `failures`."""
    if not len(numbers):
        return
    chosen = plan.squares[numbers]
    paths = plan.manifest.select(chosen["row"]).strings("path")
    for path, x, y in zip(paths, chosen["cx"].tolist(), chosen["cy"].tolist(), strict=True):
        failures.add(path, f"the vector of its view at ({x:g}, {y:g}) holds numbers that are not finite")


def cut_to_file(
    plan: PlannedViews, file: Path, *, failures: Failures, progress: Progress | None = None
) -> tuple[Numbers, Images, dict[str, str]]:
    """Cut all views into one file, so that memory stays flat.

    Returns:
        Numbers of the views (n,), their pixels (n, s, s, 3), and which images are copies, as `Embeddings` has
        it.

    Raises:
        RedDinoError: no image could be read.
    """
    side = plan.view.output
    numbers: list[Numbers] = []
    done = 0
    sketches: dict[int, Sketch] = {}
    # Not through a memory map: on a full disk, that ends the process without a message.
    with file.open("wb") as pixels:
        for views, images in batches(plan, 256, failures, sketches):
            pixels.write(np.ascontiguousarray(images, np.uint8).data)
            numbers.append(views)
            done += len(views)
            if progress:
                progress(done, len(plan))
    if not numbers:
        raise RedDinoError(f"no image could be read: {failures.summary()}")
    copies = first_of_copies(copies_of(plan.manifest, sketches).values())
    mapped = np.memmap(file, np.uint8, "r", shape=(done, side, side, 3))
    return np.concatenate(numbers), mapped, copies
