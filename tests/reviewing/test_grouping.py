"""Groups that part patients or slides: said, since scores come out too high."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from review_tables import write_review_table

from reddino.embedding.table import read_embeddings
from reddino.reviewing.grouping import warn_of_parted
from reddino.reviewing.pool import CellVectors


@pytest.mark.parametrize(
    ("group_by", "said"),
    [
        ("path", "groups by 'path' part the cells of 4 patients"),
        ("slide", ""),
        ("patient", ""),
        (None, ""),
    ],
)
def test_warn_of_parted__names_the_column_that_keeps_them_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, group_by: str | None, said: str
) -> None:
    table = read_embeddings(write_review_table(tmp_path))
    with caplog.at_level(logging.WARNING, logger="reddino"):
        warn_of_parted(table, CellVectors.of(table, group_by=group_by).groups, group_by)
    assert caplog.text.count("part the cells") == (1 if said else 0) and said in caplog.text
