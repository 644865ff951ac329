"""The plan of a table: which views each part holds, their pixels, and what their rows say."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from reddino.embed.encoder import Images
from reddino.provenance import hash_bytes
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.smears.views import ImageViews, Views

Rows = npt.NDArray[np.int64]

# What describes a cell of the manifest, and not a patch of the image that it lies in.
CELL_COLUMNS = ("x", "y", "w", "h", "label")


@dataclass(frozen=True)
class Batch:
    """Views to embed: their numbers in the plan (n,), and their pixels (n, s, s, 3)."""

    views: Rows
    images: Images


@dataclass(frozen=True)
class PartEnd:
    """All batches of a part have been given out; `failures` are the (path, reason) of its unusable images."""

    part: int
    failures: list[tuple[str, str]]


@dataclass(frozen=True)
class PartPlan:
    """Planned views, dealt out to the parts of a table.

    Attributes:
        manifest: that the views were planned on.
        views: in the order of the table, those of an image together.
        starts: (images + 1,) where each image's views start, and the end.
        bounds: (parts + 1,) where each part starts, and the end.
    """

    manifest: Manifest
    views: Views
    starts: Rows
    bounds: Rows

    @classmethod
    def deal(cls, manifest: Manifest, views: Views, part_rows: int) -> PartPlan:
        """Parts of whole images, of about `part_rows` views each."""
        starts = image_starts(manifest, views)
        return cls(manifest, views, starts, part_bounds(starts, part_rows))

    @property
    def images(self) -> int:
        """Images that have views."""
        return len(self.starts) - 1

    @property
    def parts(self) -> int:
        """Parts of the table."""
        return len(self.bounds) - 1

    def fingerprint(self) -> str:
        """16 hex digits over the places of all views."""
        views = self.views
        places = [views.row, views.cx, views.cy, views.side]
        if views.mask is not None:
            places.append(views.mask)
        return hash_bytes(*(np.ascontiguousarray(values).tobytes() for values in places))

    def cut(self, parts: Iterable[int], batch_size: int) -> Iterator[Batch | PartEnd]:
        """Cut the views of some parts, each image decoded once.

        Batches start anew with each part, so that what a part holds does not depend on the parts before it.
        """
        for part in parts:
            numbers = np.arange(self.bounds[part], self.bounds[part + 1])
            failed = Failures()
            stacks = ImageViews(self.manifest, self.views.select(numbers), failed, at_most=batch_size)
            for local, images in rebatch(stacks, batch_size):
                yield Batch(numbers[local], images)
            yield PartEnd(part, relative_failures(failed, self.manifest))

    def columns(self, numbers: Rows) -> pa.Table:
        """What the table says of views (n,): the manifest's columns, and view_x, view_y, view_side in pixels.

        A view that is not cut round the cell of its row is not described by it: it keeps no box and no label.
        """
        views = self.views.select(numbers)
        table = self.manifest.table.take(views.row)
        centres = self.manifest.centres()[views.row]
        elsewhere = self.manifest.is_cell()[views.row] & (
            (centres[:, 0] != views.cx) | (centres[:, 1] != views.cy)
        )
        if elsewhere.any():
            for name in CELL_COLUMNS:
                column = table.column(name)
                kept = pc.if_else(pa.array(elsewhere), pa.scalar(None, column.type), column)
                table = table.set_column(table.column_names.index(name), name, kept)
        for name, values in (("view_x", views.cx), ("view_y", views.cy), ("view_side", views.side)):
            table = table.append_column(name, pa.array(values))
        return table


def image_starts(manifest: Manifest, views: Views) -> Rows:
    """Where in a plan each image's views start (they stand together), and its end: (images + 1,)."""
    _, codes = manifest.images()
    image = codes[views.row]
    if len(image) == 0:
        return np.zeros(1, dtype=np.int64)
    changes = np.flatnonzero(np.diff(image)) + 1
    return np.concatenate([[0], changes, [len(image)]]).astype(np.int64)


def part_bounds(starts: Rows, part_rows: int) -> Rows:
    """Where each part starts, and the end: at the first image at or after each multiple of `part_rows`.

    An image never stands in two parts, so that it is decoded once and fails as a whole.
    """
    end = int(starts[-1])
    targets = np.arange(0, end + part_rows, part_rows).clip(max=end)
    return np.unique(starts[np.searchsorted(starts, targets)])


def rebatch(stacks: Iterable[tuple[Rows, Images]], size: int) -> Iterator[tuple[Rows, Images]]:
    """Stacks of any length as batches of `size`; the last may be shorter."""
    rows: list[Rows] = []
    images: list[Images] = []
    held = 0
    for new_rows, new_images in stacks:
        rows.append(new_rows)
        images.append(new_images)
        held += len(new_rows)
        if held < size:
            continue
        joined_rows, joined = np.concatenate(rows), np.concatenate(images)
        whole = held - held % size
        for start in range(0, whole, size):
            yield joined_rows[start : start + size], joined[start : start + size]
        rows, images, held = [joined_rows[whole:]], [joined[whole:]], held - whole
    if held:
        yield np.concatenate(rows), np.concatenate(images)


def relative_failures(failures: Failures, manifest: Manifest) -> list[tuple[str, str]]:
    """(path, reason) of each failure, the path as it stands in the manifest."""
    return [(_relative(Path(path), manifest.root), reason) for path, reason in failures]


def note(failures: Failures, failed: Sequence[tuple[str, str]]) -> None:
    """Add (path, reason) pairs."""
    for path, reason in failed:
        failures.add(path, reason)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
