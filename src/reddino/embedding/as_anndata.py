"""Convert an embedding table to AnnData."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import NUL_SHOWN
from reddino.smears.column_names import holdable, log_renamed, written_names

META = "reddino"
#: Names that AnnData files reserve: for the index of rows, and in older versions for categories.
RESERVED = ("_index", "__categories")


def to_anndata(
    vectors: npt.NDArray[np.float32],
    columns: Mapping[str, list[str] | npt.NDArray[Any]],
    meta: Mapping[str, Any],
) -> Any:
    """Return an `anndata.AnnData` with the vectors as `X`, the columns as `obs` and the metadata in `uns`.

    Text columns become categories, in which missing values stay missing. `uns["reddino"]` is the table's
    metadata; entries without a value are left out, since HDF5 cannot hold them.

    Args:
        vectors: (n, d).
        columns: (n,) values by name: numbers as arrays, text as lists with "" where missing.
        meta: metadata of the table.

    Raises:
        RedDinoError: anndata is not installed.
    """
    try:
        import anndata
        import pandas
    except ImportError as error:
        raise RedDinoError(
            "AnnData files need the package anndata: install it with `pip install 'reddino[anndata]'`"
        ) from error
    names = written_names(list(columns), RESERVED, holdable)
    log_renamed(names, "since AnnData cannot hold these names")
    converted = {
        names[name]: pandas.Categorical([_without_nul(text) or None for text in values])
        if isinstance(values, list)
        else values
        for name, values in columns.items()
    }
    rows = pandas.Index([str(row) for row in range(len(vectors))])
    obs = pandas.DataFrame(converted, index=rows)
    return anndata.AnnData(X=vectors, obs=obs, uns={META: _as_hdf5(meta)})


def _as_hdf5(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata as HDF5 can hold it: without None, and lists of numbers or texts as arrays.

    Values that HDF5 cannot hold, such as mappings whose keys contain slashes, become JSON.
    """
    kept: dict[str, Any] = {}
    for key, value in json.loads(json.dumps(dict(meta))).items():
        if isinstance(value, dict) and all(holdable(name) == name for name in value):
            kept[key] = _as_hdf5(value)
        elif isinstance(value, dict) or (isinstance(value, list) and not _is_plain(value)):
            kept[key] = json.dumps(value)
        elif value is not None:
            kept[key] = np.array(value) if isinstance(value, list) else value
    return {key: _without_nul(value) for key, value in kept.items()}


def _is_plain(values: list[Any]) -> bool:
    """Return whether all values are numbers, or all are texts."""
    return all(isinstance(value, str) for value in values) or all(
        isinstance(value, int | float) for value in values
    )


def _without_nul(value: Any) -> Any:
    """Replace the NUL character, which ends a text in HDF5 and in many readers of CSV, by its picture."""
    return value.replace("\0", NUL_SHOWN) if isinstance(value, str) else value
