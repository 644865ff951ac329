"""Embedding Atlas on a table: a browser for millions of points, where it is installed."""

from __future__ import annotations

import io
import os
import sys
from importlib import util
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from reddino.embedding.view_encoder import Images
from reddino.figures.overview import Overview
from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.parquet import parquet_writer

SIDE = 64
BLOCK = 4096
LOOPBACK = "127.0.0.1"


def require() -> None:
    """Check that Embedding Atlas is installed.

    Raises:
        RedDinoError: it is not.
    """
    if util.find_spec("embedding_atlas") is None:
        raise RedDinoError(
            "embedding-atlas is not installed: pip install 'reddino[atlas]', or open the interactive map of "
            "`reddino report` instead"
        )


def atlas_command(data: Path, *, images: bool, port: int = 5055) -> list[str]:
    """The command that opens Embedding Atlas on a file of `write_atlas_data`, on loopback alone."""
    command = [sys.executable, "-m", "embedding_atlas.cli", str(data), "--x", "map_x", "--y", "map_y"]
    # The map is there: nothing is to be embedded or projected anew, and no model fetched.
    command += ["--disable-projection", "--host", LOOPBACK, "--port", str(port)]
    return command + (["--image", "image"] if images else [])


def write_atlas_data(overview: Overview, path: Path) -> None:
    """Write a table's columns, its map and its pictures (64 px, JPEG) as one Parquet file."""
    columns = overview.columns()
    with atomic_path(path) as partial:
        writer: pq.ParquetWriter | None = None
        for first in range(0, len(columns), BLOCK):
            block = columns.slice(first, BLOCK)
            if overview.pictures is not None:
                rows = np.arange(first, first + len(block), dtype=np.int64)
                files = [{"bytes": _jpeg(picture), "path": None} for picture in overview.cut(rows, SIDE)]
                kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
                block = block.append_column("image", pa.array(files, kind))
            writer = writer or parquet_writer(partial, block.schema)
            writer.write_table(block)
        if writer is not None:
            writer.close()


def serve(overview: Overview, folder: Path, port: int = 5055) -> NoReturn:
    """Write the data to `folder` and become Embedding Atlas on it, so that whatever ends us ends it."""
    data = folder / "atlas.parquet"
    command = atlas_command(data, images=overview.pictures is not None, port=port)
    write_atlas_data(overview, data)
    sys.stdout.flush()
    os.execv(command[0], command)


def _jpeg(picture: Images) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=85)
    return file.getvalue()
