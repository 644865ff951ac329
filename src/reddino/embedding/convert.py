"""Write an embedding table in the formats of other programs: AnnData, NumPy and CSV."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from reddino.embedding.as_anndata import META
from reddino.embedding.embeddings import Embeddings
from reddino.embedding.finite import require_finite
from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_arrow_csv
from reddino.smears.column_names import holdable, log_renamed, renamed, written_names


def _write_h5ad(embeddings: Embeddings, path: Path) -> None:
    embeddings.to_anndata().write_h5ad(path)


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    """Write `embedding` (n, d), one array (n,) per column, and `reddino`, the metadata as JSON."""
    names = written_names(embeddings.table.column_names, ("embedding", META), holdable)
    log_renamed(names, "since .npz cannot hold these names next to its own")
    arrays: dict[str, npt.ArrayLike] = {names[name]: values for name, values in embeddings.columns().items()}
    arrays |= {"embedding": embeddings.vectors, META: json.dumps(dict(embeddings.meta))}
    # Not np.savez, which takes no column of the name 'file'.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)


def _write_csv(embeddings: Embeddings, path: Path) -> None:
    """Write the columns, then the numbers of the vector as e0, e1, ...; CSV cannot hold the metadata."""
    numbers = [f"e{number}" for number in range(embeddings.vectors.shape[1])]
    table = renamed(embeddings.table, numbers, "since the numbers of the vectors have these names")
    for name, values in zip(numbers, embeddings.vectors.T, strict=True):
        table = table.append_column(name, pa.array(np.ascontiguousarray(values)))
    write_arrow_csv(table, path)


WRITERS: dict[str, Callable[[Embeddings, Path], None]] = {
    ".h5ad": _write_h5ad,
    ".npz": _write_npz,
    ".csv": _write_csv,
}


def save(embeddings: Embeddings, path: str | Path) -> None:
    """Write a table to one file, whole or not at all; its suffix names the format: .h5ad, .npz or .csv.

    Raises:
        RedDinoError: another suffix, or a package that the format needs is not installed.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise RedDinoError(f"{path}: a table is written as {', '.join(WRITERS)}, not as '{path.suffix}'")
    require_finite(embeddings)
    with atomic_path(path) as partial:
        writer(embeddings, partial)
