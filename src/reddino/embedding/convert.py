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

from reddino.embedding.column_names import holdable, renamed, say_renamed, written_names
from reddino.embedding.finite import require_finite
from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import NUL_SHOWN, write_arrow_csv

if TYPE_CHECKING:
    from reddino.embedding.table import Embeddings

META = "reddino"
#: Names that AnnData files keep for the index of rows, and for what older ones held of categories.
RESERVED = ("_index", "__categories")


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
    names = written_names(embeddings.table.column_names, RESERVED, holdable)
    say_renamed(names, "since AnnData cannot hold these names")
    columns = {
        names[name]: pandas.Categorical([_without_nul(text) or None for text in values])
        if isinstance(values, list)
        else values
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
    """Metadata as HDF5 can hold it: no None, and lists of numbers or texts as arrays.

    What it cannot hold, such as labels with slashes as keys, stands there as JSON.
    """
    kept: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(dict(meta))).items():
        if isinstance(value, dict) and all(holdable(name) == name for name in value):
            kept[key] = _without_nothing(value)
        elif isinstance(value, dict) or (isinstance(value, list) and not _is_plain(value)):
            kept[key] = json.dumps(value)
        elif value is not None:
            kept[key] = np.array(value) if isinstance(value, list) else value
    return {key: _without_nul(value) for key, value in kept.items()}


def _is_plain(values: list[Any]) -> bool:
    """Whether these are numbers alone, or texts alone."""
    return all(isinstance(value, str) for value in values) or all(
        isinstance(value, int | float) for value in values
    )


def _without_nul(value: Any) -> Any:
    """Text without the character that ends it in HDF5 and in many readers of CSV: its picture instead."""
    return value.replace("\0", NUL_SHOWN) if isinstance(value, str) else value


def _write_h5ad(embeddings: Embeddings, path: Path) -> None:
    to_anndata(embeddings).write_h5ad(path)


def _write_npz(embeddings: Embeddings, path: Path) -> None:
    """`embedding` (n, d), an array (n,) a column, and `reddino`, the metadata as JSON."""
    names = written_names(embeddings.table.column_names, ("embedding", META), holdable)
    say_renamed(names, "since .npz cannot hold these names beside its own")
    arrays: dict[str, npt.ArrayLike] = {names[name]: values for name, values in _columns(embeddings).items()}
    arrays |= {"embedding": embeddings.vectors, META: json.dumps(dict(embeddings.meta))}
    # Not np.savez, which takes no column of the name 'file'.
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(values), allow_pickle=False)


def _write_csv(embeddings: Embeddings, path: Path) -> None:
    """The columns, then the numbers of the vector as e0, e1, ...; CSV has no place for the metadata."""
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
    """Write a table to one file whose suffix says the format: .h5ad, .npz or .csv; whole or not at all.

    Raises:
        RedDinoError: another suffix, or what the format needs is not installed.
    """
    path = Path(path)
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise RedDinoError(f"{path}: a table is written as {', '.join(WRITERS)}, not as '{path.suffix}'")
    require_finite(embeddings)
    with atomic_path(path) as partial:
        writer(embeddings, partial)
