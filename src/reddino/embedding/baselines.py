"""What a network has to beat: the colours of a view alone, and the size of its cell alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.view_encoder import Images, Vectors
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes

#: Baselines that need no network, by the names that `embed` takes.
COLOUR_HISTOGRAM, CELL_SIZE, MORPHOLOGY = "colour-histogram", "cell-size", "morphology"


class _PixelBaseline:
    """The part of the `ViewEncoder` protocol that is the same for everything computed from raw RGB pixels."""

    name: str
    channel_order = "RGB"
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    orientations = 1
    position_resampling: str | None = None
    runtime_name = "none"
    precision = "fp32"
    choice: Mapping[str, Any] | None = None

    def __init__(self, input_size: int = 224) -> None:
        self.input_size = input_size

    @property
    def weights_hash(self) -> str:
        """A hash of the name: there are no weights, and the name identifies the formula."""
        return hash_bytes(self.name.encode())


class ColourHistogram(_PixelBaseline):
    """The fraction of a view's pixels in each of 16 bins of red, green and blue: 48 numbers."""

    def __init__(self, input_size: int = 224, bins: int = 16) -> None:
        super().__init__(input_size)
        self.bins = bins
        self.name = "colour histogram" if bins == 16 else f"colour histogram ({bins} bins)"
        self.dim = 3 * bins

    def embed(self, images: Images, pooling: Any = None, /) -> Vectors:
        """Return histograms (n, 3 x bins) of views (n, s, s, 3); each channel's bins sum to 1."""
        n, height, width, channels = images.shape
        binned = images.astype(np.int64) * self.bins // 256
        offset = (np.arange(n)[:, None] * channels + np.arange(channels)) * self.bins
        flat = (binned + offset[:, None, None, :]).ravel()
        counts = np.bincount(flat, minlength=n * channels * self.bins)
        fractions: Vectors = (counts.reshape(n, -1) / (height * width)).astype(np.float32)
        return fractions


class CellSize(_PixelBaseline):
    """The diameter of a disc as large as the cell at the centre, over the view's side: 1 number."""

    name = "cell size"
    dim = 1

    def embed(self, images: Images, pooling: Any = None, /) -> Vectors:
        """Return diameters (n, 1) of views (n, s, s, 3)."""
        return np.array([[central_diameter(image)] for image in images], dtype=np.float32).reshape(-1, 1)


def central_diameter(image: Images) -> float:
    """Return the equivalent diameter over the view's side (0..1) of the dark region at the centre.

    Otsu's threshold of the green channel, in which haemoglobin is darkest; a cell's pale centre is filled.
    """
    green = cv2.GaussianBlur(np.ascontiguousarray(image[:, :, 1]), (5, 5), 0)
    _, dark = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY_INV + cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours(dark, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    height, width = green.shape
    outlines = [outline for outline in outlines if cv2.contourArea(outline) >= 0.005 * height * width]
    if not outlines:
        return 0.0
    centre = (width / 2, height / 2)
    central = max(outlines, key=lambda outline: cv2.pointPolygonTest(outline, centre, True))
    return float(np.sqrt(4 * cv2.contourArea(central) / np.pi) / height)


def box_size(emb: Embeddings) -> Embeddings:
    """Return the size-only baseline from boxes: sqrt(w h), in cell diameters if known, else pixels.

    Returns:
        A table (n, 1) of the rows that have a box.

    Raises:
        RedDinoError: no row has one.
    """
    side: npt.NDArray[np.float64] = np.sqrt(emb.numbers("w") * emb.numbers("h"))
    diameter = emb.numbers("cell_diameter")
    known = np.isfinite(side)
    if not known.any():
        raise RedDinoError(
            "no row of the table has a box (w, h): measure the size in the views instead, with CellSize"
        )
    # Pixels and diameters do not mix: one unit for the whole table.
    if np.isfinite(diameter[known]).all():
        side = side / diameter
    meta = dict(emb.meta) | {"model": "box size", "weights_hash": hash_bytes(b"box size"), "dim": 1}
    chosen = emb.select(known)
    return Embeddings(side[known].astype(np.float32)[:, None], chosen.table, meta)
