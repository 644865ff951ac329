"""Embedding Atlas on a table: a browser for millions of points, where it is installed."""

from __future__ import annotations

import os
import sys
from importlib import util
from pathlib import Path
from typing import NoReturn

from reddino.foundations.errors import RedDinoError

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
    """Return the command that opens Embedding Atlas on a file of `write_atlas_data`, on loopback alone."""
    command = [sys.executable, "-m", "embedding_atlas.cli", str(data), "--x", "map_x", "--y", "map_y"]
    # The file holds the map: nothing is to be embedded or projected again, and no model fetched.
    command += ["--disable-projection", "--host", LOOPBACK, "--port", str(port)]
    return command + (["--image", "image"] if images else [])


def serve(data: Path, *, images: bool, port: int = 5055) -> NoReturn:
    """Replace this process by Embedding Atlas, so that whatever ends the one ends the other.

    Args:
        data: file of `reddino.figures.atlas_data.write_atlas_data`.
        images: whether the file holds pictures.
        port: on loopback.
    """
    command = atlas_command(data, images=images, port=port)
    sys.stdout.flush()
    os.execv(command[0], command)
