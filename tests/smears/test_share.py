"""Shares of a collection: together they are all of it, once, with whole slides."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reddino.foundations.errors import RedDinoError
from reddino.smears.manifest import Manifest
from reddino.smears.share import Share


def _manifest(slides: list[str], cells: int = 2) -> Manifest:
    """A manifest of pictures, one for each name of a slide, with some cells each."""
    rows = [(f"{number}.png", slide) for number, slide in enumerate(slides) for _ in range(cells)]
    columns = {
        "path": [path for path, _ in rows],
        "source": ["a"] * len(rows),
        "slide": [slide or None for _, slide in rows],
        "x": [float(number) for number in range(len(rows))],
        "y": [0.0] * len(rows),
    }
    kinds: dict[str, pa.DataType] = dict.fromkeys(("path", "source", "slide"), pa.string())
    kinds |= dict.fromkeys(("x", "y"), pa.float64())
    schema = pa.schema(kinds)
    return Manifest(pa.table(columns, schema=schema), Path())


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", "s1", "s2", "s3"]), min_size=1, max_size=30), st.integers(1, 6))
def test_select__shares_hold_every_row_once_and_slides_whole(slides: list[str], of: int) -> None:
    manifest = _manifest(slides)
    seen: list[float] = []
    slides_of_shares: list[set[str]] = []
    for number in range(1, of + 1):
        try:
            share = Share(number, of).select(manifest)
        except RedDinoError:
            continue
        assert share.numbers("x").tolist() == sorted(share.numbers("x"))
        seen += share.numbers("x").tolist()
        slides_of_shares.append(set(share.strings("slide")) - {""})
    assert sorted(seen) == manifest.numbers("x").tolist()
    together = [slide for slides in slides_of_shares for slide in slides]
    assert len(together) == len(set(together))


def test_select__of_pictures_without_slides_is_even_and_in_order() -> None:
    manifest = _manifest([""] * 8, cells=1)
    assert [Share(number, 4).select(manifest).numbers("x").tolist() for number in (1, 2, 3, 4)] == [
        [0, 1],
        [2, 3],
        [4, 5],
        [6, 7],
    ]


def test_select__of_an_empty_share_is_refused() -> None:
    with pytest.raises(RedDinoError, match="share 1/3 is empty: the data have 1 slide or picture"):
        Share(1, 3).select(_manifest(["s1"] * 5))


@pytest.mark.parametrize("text", ["0/8", "9/8", "3", "3/0", "a/b", "-1/8", "1/8 ", "1.0/8"])
def test_parse__refuses_what_is_no_share(text: str) -> None:
    with pytest.raises(RedDinoError, match="share must be like 3/8"):
        Share.parse(text)
