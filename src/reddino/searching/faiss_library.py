"""faiss, which the extra `search` installs."""

from __future__ import annotations

from typing import Any

from reddino.foundations.errors import RedDinoError


def faiss_for(rows: int) -> Any:
    """Return the module.

    Args:
        rows: that are to be searched, for the error.

    Raises:
        RedDinoError: it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise RedDinoError(
            f"searching {rows:,} rows takes an index of faiss: install it with `pip install "
            "'reddino[search]'`, or "
            "give --exact to compare with every row"
        ) from error
    return faiss
