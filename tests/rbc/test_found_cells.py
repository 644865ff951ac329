"""The column of cells that the border of their image cuts, as users and programs write it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from reddino.foundations.errors import RedDinoError
from reddino.rbc.found_cells import given_at_border


@pytest.mark.parametrize(
    ("given", "cut"),
    [
        ([True, False, None], [True, False, False]),
        ([1.0, 0.0, None], [True, False, False]),
        ([1, 0, 1], [True, False, True]),
        (["TRUE", "false", ""], [True, False, False]),
        (["yes", "no", " Yes "], [True, False, True]),
    ],
)
def test_given_at_border__reads_yes_and_no(given: list[Any], cut: list[bool]) -> None:
    assert given_at_border(pa.table({"at_border": given})).tolist() == cut


def test_given_at_border__refuses_what_is_neither() -> None:
    table = pa.table({"at_border": ["yes", "left", "no"]})
    with pytest.raises(RedDinoError, match="row 2, column 'at_border': 'left' is neither true nor false"):
        given_at_border(table)
    assert given_at_border(pa.table({"x": [1, 2]})).tolist() == [False, False]
