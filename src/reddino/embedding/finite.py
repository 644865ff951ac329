"""Vectors that hold NaN or infinity: the one check for everything that reads or computes vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError

Mask = npt.NDArray[np.bool_]
WHAT_TO_DO = "embed again with --precision fp32 and --dtype float32, or leave these images out"


def finite_rows(vectors: npt.NDArray[Any], dtype: str = "float32") -> Mask:
    """Return which entries (n,) of vectors (n, ...) are finite once they are stored as `dtype`."""
    with np.errstate(over="ignore"):
        stored = vectors.astype(dtype, copy=False)
    return np.asarray(np.isfinite(stored).all(axis=tuple(range(1, vectors.ndim))))


def why_left_out(vectors: npt.NDArray[Any], dtype: str) -> str:
    """Describe what is wrong with vectors (n, ...) that `finite_rows` excludes, and what helps.

    Args:
        vectors: only those that were left out.
        dtype: in which they were to be stored.
    """
    if np.isfinite(vectors).all():
        return f"numbers beyond {dtype}: embed with --dtype float32"
    return "numbers that are not finite: try --precision fp32"


def require_finite(emb: Embeddings) -> None:
    """Refuse vectors that hold NaN or infinity.

    Raises:
        RedDinoError: names how many rows, and the image of the first.
    """
    finite = finite_rows(emb.vectors)
    if finite.all():
        return
    first = int(np.argmin(finite))
    raise RedDinoError(
        f"{int((~finite).sum())} of {len(emb)} vectors of '{emb.meta.get('model', '')}' hold numbers that "
        f"are not finite (the first is of {emb.strings('path')[first]}): the network or its arithmetic "
        f"failed on them; {WHAT_TO_DO}"
    )
