"""The file that Embedding Atlas reads: a table's columns, its map and its pictures."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from reddino.embedding.view_encoder import Images
from reddino.foundations.atomic import atomic_path
from reddino.foundations.parquet import parquet_writer

SIDE = 64
BLOCK = 4096
Cut = Callable[[npt.NDArray[np.int64], int], Images]


def write_atlas_data(columns: pa.Table, path: Path, cut: Cut | None = None) -> None:
    """Write a table's columns, its map and its pictures (64 px, JPEG) as one Parquet file.

    Args:
        columns: (n rows), with map_x and map_y.
        path: of the file.
        cut: returns the pictures (m, side, side, 3) of rows (m,), by rows and side; None: no pictures.
    """
    with atomic_path(path) as partial:
        writer: pq.ParquetWriter | None = None
        for first in range(0, len(columns), BLOCK):
            block = columns.slice(first, BLOCK)
            if cut is not None:
                rows = np.arange(first, first + len(block), dtype=np.int64)
                files = [{"bytes": _jpeg(picture), "path": None} for picture in cut(rows, SIDE)]
                kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
                block = block.append_column("image", pa.array(files, kind))
            writer = writer or parquet_writer(partial, block.schema)
            writer.write_table(block)
        if writer is not None:
            writer.close()


def _jpeg(picture: Images) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()
