"""The pictures of a table's rows, cut again from the images as the network saw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.view_encoder import Images
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.decode import decode_image
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import root_of
from reddino.smears.picture_files import is_there
from reddino.smears.readings import Readings
from reddino.views.cutting import cut_square

#: What stands where a picture cannot be cut any more.
MISSING = 225


@dataclass(frozen=True)
class Pictures:
    """Where the pictures of a table's rows are.

    Attributes:
        table: its columns path, view_x, view_y and view_side define what to cut.
        root: folder that the paths start from.
        failures: filled with the images that cannot be read.
    """

    table: Embeddings
    root: Path
    failures: Failures

    @classmethod
    def of(cls, table: Embeddings, images: str | Path) -> Pictures:
        """Find the pictures of a table.

        Args:
            table: an embedding table.
            images: the manifest that was embedded, or the folder that its paths start from.

        Raises:
            RedDinoError: not one of the table's images is there.
        """
        root = root_of(images)
        paths = sorted(set(table.strings("path")))
        if not any(is_there(root / path) for path in paths):
            raise RedDinoError(
                f"none of the table's {len(paths)} images is below '{root}' (such as '{paths[0]}'): "
                "give the manifest that was embedded, or the folder that its paths start from"
            )
        return cls(table, root, Failures())

    def cut(self, rows: Sequence[int] | npt.NDArray[np.int64], side: int) -> Images:
        """Return pictures (m, side, side, 3) of rows (m,); grey where an image cannot be read.

        Each image is decoded once, so rows may come in any order.
        """
        wanted = np.asarray(rows, dtype=np.int64)
        part = self.table.select(wanted)
        paths = np.asarray(part.strings("path"), dtype=np.str_)
        x, y, sides = (_numbers(part, name) for name in ("view_x", "view_y", "view_side"))
        readings = Readings(part.table)
        pictures = np.full((len(wanted), side, side, 3), MISSING, dtype=np.uint8)
        for path in watched(np.unique(paths).tolist(), "cutting pictures"):
            try:
                image = decode_image(self.root / str(path), **readings.of(str(path)))
            except ImageError as error:
                self.failures.add(str(path), error.reason)
                continue
            for i in np.flatnonzero(paths == path).tolist():
                cx, cy, length = float(x[i]), float(y[i]), float(sides[i])
                if np.isnan(length):
                    # A row without a place stands for its whole field.
                    height, width = image.shape[:2]
                    cx, cy, length = width / 2, height / 2, float(max(width, height))
                pictures[i] = cut_square(image, cx, cy, length, side)
        return pictures


def _numbers(table: Embeddings, name: str) -> npt.NDArray[np.float64]:
    return table.numbers(name) if name in table.table.column_names else np.full(len(table), np.nan)
