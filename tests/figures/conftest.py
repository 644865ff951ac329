"""A small table with pictures, whose vectors and pixels are known, its report, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import opened_browser
from row_colours import colour_of
from square_tables import write_table

from reddino.embedding.embeddings import Embeddings


@pytest.fixture
def table_folder(tmp_path: Path) -> Path:
    """A table of 48 views in `tmp_path/table`, its images in `tmp_path/images`; a square a row."""
    return write_table(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    yield from opened_browser()


@pytest.fixture(scope="session")
def report_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of that table; not to be written to."""
    import reddino

    folder = write_table(tmp_path_factory.mktemp("report"))
    return reddino.report(
        folder, folder.parent / "report.html", images=folder.parent / "images", method="pca"
    )


@pytest.fixture
def embeddings(table_folder: Path) -> Embeddings:
    """The same table, read."""
    from reddino.embedding.table import read_embeddings

    return read_embeddings(table_folder)


@pytest.fixture
def colour_cut() -> Callable[..., np.ndarray]:
    """Cuts a picture of one colour a row."""
    return lambda rows: np.array([np.full((4, 4, 3), colour_of(row)) for row in rows.tolist()], np.uint8)
