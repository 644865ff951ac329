"""Pictures of cells and of their fields, cut from the images when they are first looked at, and kept."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.decode import decode_image
from reddino.smears.picture_files import file_of, is_there
from reddino.smears.readings import Readings
from reddino.views.cutting import Pixels, cut_square

#: Bytes of decoded images, and of pictures as they are sent, that are kept.
IMAGES_KEPT, PICTURES_KEPT = 160_000_000, 64_000_000
#: Pixels of a cell's picture, and of the longer side of a field, at most.
LARGEST_CELL, LARGEST_FIELD = 512, 2400
_QUALITY = 92
Key = TypeVar("Key", bound=Hashable)
Kept = TypeVar("Kept")


class _Shelf(Generic[Key, Kept]):
    """Keeps what was made last, up to a number of bytes; safe among threads."""

    def __init__(self, most: int, size: Callable[[Kept], int]) -> None:
        self._most, self._size = most, size
        self._kept: OrderedDict[Key, Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Kept | None:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
            return found

    def put(self, key: Key, value: Kept) -> None:
        with self._lock:
            if key in self._kept:
                return
            self._kept[key] = value
            self._bytes += self._size(value)
            while self._bytes > self._most and len(self._kept) > 1:
                self._bytes -= self._size(self._kept.popitem(last=False)[1])


@dataclass(frozen=True)
class FieldPicture:
    """The picture of a whole field.

    Attributes:
        jpeg: as it is sent.
        width, height: of the image itself, in its own pixels.
    """

    jpeg: bytes
    width: int
    height: int


class CellPictures:
    """Pictures of the rows of a table.

    Args:
        table: its columns path, view_x, view_y and view_side give the square to cut.
        root: folder that the paths start from.
        allowed: folders besides it that pictures may lie in.

    Raises:
        RedDinoError: a path leads out of these folders, or none of the images is there.
    """

    def __init__(self, table: Embeddings, root: Path, allowed: Iterable[Path] = ()) -> None:
        self._root = root
        self._folders = [Path(os.path.realpath(folder)) for folder in (root, *allowed)]
        encoded = table.table.column("path").combine_chunks().dictionary_encode()
        self._paths = [str(path) for path in encoded.dictionary.to_pylist()]
        self._codes = encoded.indices.to_numpy().astype(np.int32)
        self._x, self._y, self._side = (_numbers(table, f"view_{name}") for name in ("x", "y", "side"))
        self._readings = Readings(table.table)
        self._images: _Shelf[int, Pixels] = _Shelf(IMAGES_KEPT, lambda pixels: pixels.nbytes)
        self._cells: _Shelf[tuple[int, int, float], bytes] = _Shelf(PICTURES_KEPT, len)
        self._fields: _Shelf[int, FieldPicture] = _Shelf(PICTURES_KEPT, lambda field: len(field.jpeg))
        self._decoding = threading.Lock()
        for path in self._paths:
            self._require_inside(Path(os.path.normpath(Path(os.path.realpath(root)) / path)), path)
        if not any(is_there(root / path) for path in self._paths):
            raise RedDinoError(
                f"none of the table's {len(self._paths)} images is below '{root}' "
                f"(such as '{self._paths[0]}'): give the manifest that was embedded, or the folder that its "
                "paths start from"
            )

    def path_of(self, row: int) -> str:
        """Return the path of a row's image as the table has it."""
        return self._paths[int(self._codes[row])]

    def rows_of_field(self, row: int) -> npt.NDArray[np.int64]:
        """Return the rows that lie in the image of a row."""
        return np.flatnonzero(self._codes == self._codes[row])

    def place_of(self, row: int) -> tuple[float, float, float] | None:
        """Return centre x, y and side of a row's view in pixels of its image; None for a whole image."""
        if np.isnan(self._side[row]):
            return None
        return float(self._x[row]), float(self._y[row]), float(self._side[row])

    def cell(self, row: int, output: int, around: float = 1.0) -> bytes:
        """Return a JPEG of a row's view.

        Args:
            row: of the table.
            output: pixels a side, at most `LARGEST_CELL`.
            around: sides of the view that are shown; more than 1 shows what lies around it.

        Raises:
            ImageError: the image cannot be read.
            RedDinoError: its path leads elsewhere.
        """
        key = (row, output, around)
        found = self._cells.get(key)
        if found is not None:
            return found
        image = self._decoded(row)
        height, width = image.shape[:2]
        x, y, side = self.place_of(row) or (width / 2, height / 2, float(max(width, height)))
        jpeg = _jpeg(cut_square(image, x, y, side * around, min(output, LARGEST_CELL)))
        self._cells.put(key, jpeg)
        return jpeg

    def field(self, row: int) -> FieldPicture:
        """Return the picture of the field that a row lies in, made smaller where it is large.

        Raises:
            ImageError: the image cannot be read.
            RedDinoError: its path leads elsewhere.
        """
        number = int(self._codes[row])
        found = self._fields.get(number)
        if found is not None:
            return found
        image = self._decoded(row)
        height, width = image.shape[:2]
        drawn = Image.fromarray(image)
        if max(width, height) > LARGEST_FIELD:
            factor = LARGEST_FIELD / max(width, height)
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
            drawn = drawn.resize(size, Image.Resampling.BICUBIC, reducing_gap=1.4)
        picture = FieldPicture(_jpeg(np.asarray(drawn)), width, height)
        self._fields.put(number, picture)
        return picture

    def _decoded(self, row: int) -> Pixels:
        number = int(self._codes[row])
        found = self._images.get(number)
        if found is not None:
            return found
        # One at a time: a page of cells requests many pictures of few images at once.
        with self._decoding:
            found = self._images.get(number)
            if found is not None:
                return found
            path = self._paths[number]
            self._require_inside(Path(os.path.realpath(file_of(self._root / path))), path)
            image = decode_image(self._root / path, **self._readings.of(path))
            self._images.put(number, image)
            return image

    def _require_inside(self, file: Path, path: str) -> None:
        if not any(file.is_relative_to(folder) for folder in self._folders):
            raise RedDinoError(
                f"the path '{path}' leads out of '{self._root}': only pictures below that folder are shown; "
                "name the folder that it lies in with --picture-folder"
            )


def _jpeg(pixels: Pixels) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=_QUALITY, subsampling=0)
    return file.getvalue()


def _numbers(table: Embeddings, name: str) -> npt.NDArray[np.float64]:
    return table.numbers(name) if name in table.table.column_names else np.full(len(table), np.nan)
