"""An embedding table in the formats of other programs: AnnData, NumPy and CSV."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pacsv

from reddino.atomic import atomic_path
from reddino.errors import RedDinoError

if TYPE_CHECKING:
    from reddino.embed.table import Embeddings

META = "reddino"


def to_anndata(embeddings: Embeddings) -> Any:
    """An `anndata.AnnData`: `X` the vectors, `obs` the other columns, `uns` what made the table.

    Text columns become categories, in which missing values stay missing. `uns["reddino"]` is the table's
    metadata; entries without a value are left out of it, since HDF5 has none.

    Raises:
        RedDinoError: anndata is not installed.
    """
    try:
        import anndata
        import pandas
    except ImportError as error:
        raise RedDinoError(
            "AnnData files need the package anndata: install it with `pip install reddino[anndata]`."
        ) from error
    columns = {
        name: pandas.Categorical([text or None for text in values]) if isinstance(values, list) else values
        for name, values in _columns(embeddings).items()
    }
    rows = pandas.Index([str(row) for row in range(len(embeddings))])
    obs = pandas.DataFrame(columns, index=rows)
    return anndata.AnnData(X=embeddings.vectors, obs=obs, uns={META: _without_nothing(embeddings.meta)})


def _columns(embeddings: Embeddings) -> dict[str, list[str] | npt.NDArray[Any]]:
    """The columns beside the vectors: numbers as arrays (NaN where missing), the rest as text ("")."""
    table = embeddings.table
    return {
        field.name: table.column(field.name).to_numpy()
        if pa.types.is_floating(field.type) or pa.types.is_integer(field.type)
        else embeddings.strings(field.name)
        for field in table.schema
    }


def _without_nothing(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as HDF5 can hold it: no None, and lists of numbers or texts as arrays."""
    kept: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(dict(meta))).items():
        if isinstance(value, dict):
            kept[key] = _without_nothing(value)
        elif value is not None:
            kept[key] = np.array(value) if isinstance(value, list) else value
    return kept


def _write_h5ad(embeddings: Embeddings, path: Path) -> None:
    to_anndata(embeddings).write_h5ad(path)


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    """`embedding` (n, d), an array (n,) a column, and `reddino`, the metadata as JSON."""
    arrays: dict[str, npt.ArrayLike] = dict(_columns(embeddings))
    arrays |= {"embedding": embeddings.vectors, META: json.dumps(dict(embeddings.meta))}
    # Not np.savez, which takes no column of the name 'file'.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)


def _write_csv(embeddings: Embeddings, path: Path) -> None:
    """The columns, then the numbers of the vector as e0, e1, ...; CSV has no place for the metadata."""
    table = embeddings.table
    for number in range(embeddings.vectors.shape[1]):
        table = table.append_column(f"e{number}", pa.array(embeddings.vectors[:, number]))
    pacsv.write_csv(table, path)


WRITERS: dict[str, Callable[[Embeddings, Path], None]] = {
    ".h5ad": _write_h5ad,
    ".npz": _write_npz,
    ".csv": _write_csv,
}


def save(embeddings: Embeddings, path: str | Path) -> None:
    """Write a table to one file whose suffix says the format: .h5ad, .npz or .csv; whole or not at all.

    Raises:
        RedDinoError: another suffix, or what the format needs is not installed.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise RedDinoError(f"{path}: a table is written as {', '.join(WRITERS)}, not as '{path.suffix}'")
    with atomic_path(path) as partial:
        writer(embeddings, partial)
