"""Groups of rows that must stay together: those that share an image, a field, a slide or a patient."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np


def joined_groups(
    sources: Sequence[str], columns: Mapping[str, Sequence[str]], across: Collection[str] = ()
) -> list[str]:
    """Return the connected components of rows that share a value of any column within one source.

    Args:
        sources: (n,) source of each row.
        columns: (n,) values by column name; "" = missing, which joins nothing.
        across: columns whose values mean the same under every source, and join across them.

    Returns:
        (n,) names, made of the first row of the component: its source and its first value in the order of
        `columns`. A row without any value is a group of its own.
    """
    # SciPy's graphs take a third of a second to import, and only splits need them.
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows = len(sources)
    anywhere = [""] * rows
    edges = [_shared(anywhere if name in across else sources, values) for name, values in columns.items()]
    pairs = np.concatenate(edges, axis=1) if edges else np.empty((2, 0), np.int64)
    graph = coo_matrix((np.ones(pairs.shape[1], np.int8), (pairs[0], pairs[1])), shape=(rows, rows))
    component = connected_components(graph, directed=False)[1]
    first = np.unique(component, return_index=True)[1]
    names = [
        _name(row, sources[row], {name: values[row] for name, values in columns.items()}) for row in first
    ]
    return [names[number] for number in component]


def _shared(sources: Sequence[str], values: Sequence[str]) -> np.typing.NDArray[np.int64]:
    """Return (2, m) edges from each row with a value to the first row of its source with the same value."""
    numbers: dict[tuple[str, str], int] = {}
    edges = [
        (row, numbers.setdefault((source, value), row))
        for row, (source, value) in enumerate(zip(sources, values, strict=True))
        if value
    ]
    return np.array(edges, dtype=np.int64).reshape(-1, 2).T


def _name(row: int, source: str, values: Mapping[str, str]) -> str:
    known = [f"{name}={value}" for name, value in values.items() if value]
    return f"{source}|{known[0] if known else f'row={row}'}"
