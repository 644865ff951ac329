"""Which fields a report shows: every source and slide in turn, whichever has more of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.figures.overview import Overview
from reddino.figures.page.field_pictures import FIRST, choose_fields


def overview(images: dict[tuple[str, str], int], odd: str = "") -> Overview:
    """Two cells on each of so many images of each (source, slide); the outliers are of source `odd`."""
    keys = [
        (f"{source}/{slide}{i}.png", source, slide) for (source, slide), n in images.items() for i in range(n)
    ]
    rows = [key for key in keys for _ in range(2)]
    paths, sources, slides = (list(column) for column in zip(*rows, strict=True))
    table = pa.table({"path": paths, "source": sources, "slide": slides})
    scores = np.array([2.0 if source == odd else 1.0 for source in sources])
    xy = np.zeros((len(rows), 2))
    return Overview(Embeddings(xy.astype(np.float32), table, {}), xy, scores, None, "pca", 0, "label")


def sources_of(chosen: list[str]) -> list[str]:
    return [str(Path(path).parent) for path in chosen]


def test_choose_fields__shows_sources_in_turn_though_one_has_more_images_slides_and_outliers() -> None:
    of = {("a", f"s{i}"): 3 for i in range(20)} | {("b", ""): 5, ("c", "s"): 4}
    chosen = choose_fields(overview(of, odd="a"))
    assert sources_of(chosen[:FIRST]) == ["a", "b", "c"] * 2
    assert chosen[0] != chosen[3] and len({path[:-5] for path in chosen if path[0] == "a"}) == 20


def test_choose_fields__of_one_source_takes_its_slides_in_turn() -> None:
    chosen = choose_fields(overview({("a", "s"): 30, ("a", "t"): 2, ("a", "u"): 1}), most=8)
    assert [path[2] for path in chosen[:5]] == ["s", "t", "u", "s", "t"]
    assert len(chosen) == len(set(chosen)) == 8
