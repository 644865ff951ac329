"""An encoder that dies with its process, and a driver to be killed: `ray_encoders.py FOLDER ADDRESS`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
from smear_fields import VIEW, Projection, make_fields

from reddino.embedding.embedding_pass import EmbedReport, embed_manifest
from reddino.embedding.ray_pass import RayPass
from reddino.smears.manifest import read_manifest, write_manifest

FIELDS, CELLS, PART_ROWS, BATCH = 30, 7, 7, 3


class Mortal(Projection):
    """A projection that kills its process, as kill -9 does, at the first views that it sees.

    Args:
        flag: file that it leaves then; where there is one, it lives. None: it dies each time.
    """

    def __init__(self, flag: Path | None = None) -> None:
        super().__init__()
        self.flag = flag

    def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
        if images.any() and not (self.flag and self.flag.exists()):
            if self.flag:
                self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().embed(images, pooling)


def run_ray_pass(folder: Path, out: str, driver: RayPass | None, encoder: Projection) -> EmbedReport:
    """A pass over noise with one image that cannot be read."""
    listed = folder / "fields" / "manifest.csv"
    if not listed.exists():  # drawn once: a table notes the dates of its pictures
        manifest = make_fields(folder / "fields", FIELDS, CELLS)
        (folder / "fields" / "field05.png").write_bytes(b"not an image")
        write_manifest(manifest, listed)
    manifest = read_manifest(listed)
    return embed_manifest(
        manifest, encoder, folder / out, view=VIEW, driver=driver, part_rows=PART_ROWS, batch_size=BATCH
    )


if __name__ == "__main__":
    run_ray_pass(Path(sys.argv[1]), "t", RayPass(sys.argv[2], 2, "cpu"), Projection(delay=0.1))
