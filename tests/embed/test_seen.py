"""Seen or unseen: by name, by picture, and what is not known stays unknown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reddino.embed.seen import compare, statuses, write_comparison
from reddino.errors import RedDinoError
from reddino.model.seen import NOTHING, SEEN, SeenImages, read_seen, seen_before, write_seen

HASHES = np.random.default_rng(0).integers(2**63, size=(4, 2), dtype=np.uint64)


def test_compare__by_name_or_by_picture() -> None:
    trained = SeenImages(("chula", "other name"), HASHES[:2])
    near = HASHES[1] ^ np.array([0b101, 0], np.uint64)
    found = compare(
        ["chula", "bccd", "bccd", "new"], np.stack([HASHES[2], near, HASHES[3], HASHES[2]]), trained
    )
    assert {name: entry["status"] for name, entry in found.items()} == {
        "chula": "seen",
        "bccd": "seen",
        "new": "unseen",
    }
    assert found["bccd"] == {"status": "seen", "images": 2, "near_duplicates": 1, "named": False}


def test_compare__of_an_incomplete_list_never_says_unseen() -> None:
    foreign = SeenImages(("chula",), HASHES[:1], complete=False)
    found = compare(["chula", "new"], HASHES[2:], foreign)
    assert [entry["status"] for entry in found.values()] == ["seen", "unknown"]
    assert compare(["new"], NOTHING.hashes, NOTHING)["new"]["status"] == "unseen"


def test_seen__survives_the_file(tmp_path: Path) -> None:
    seen = SeenImages(("a", "b", "a", ""), HASHES, complete=False)
    write_seen(tmp_path, seen)
    back = read_seen(tmp_path)
    assert back is not None
    assert (back.sources, back.complete) == (seen.sources, False)
    assert np.array_equal(back.hashes, HASHES)
    assert read_seen(tmp_path / "elsewhere") is None
    (tmp_path / SEEN).write_bytes(b"damaged")
    with pytest.raises(RedDinoError, match="list of seen images"):
        read_seen(tmp_path)


def test_seen_before__natural_images_are_no_smears_and_foreign_weights_are_unknown(tmp_path: Path) -> None:
    assert seen_before("scratch").complete
    assert seen_before("dinov2-small").complete
    assert not seen_before("reddino-small").complete
    assert not seen_before(str(tmp_path)).complete
    write_seen(tmp_path, SeenImages(("a",), HASHES[:1]))
    assert seen_before(str(tmp_path)).sources == ("a",)


def test_statuses__of_a_table_without_a_comparison_are_empty(tmp_path: Path) -> None:
    assert statuses(tmp_path) == {}
    write_comparison(tmp_path, compare(["a"], NOTHING.hashes, NOTHING))
    assert statuses(tmp_path) == {"a": "unseen"}
