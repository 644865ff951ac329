"""Seen or unseen: by name, by picture, and what is not known stays unknown."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from small_models import small_folder
from smear_fields import make_fields

import reddino.smears.hashes
from reddino import embed
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.note_seen import compare, noted_hashes
from reddino.embedding.part_files import finished_parts
from reddino.embedding.seen_file import read_seen_file, write_seen_file
from reddino.foundations.errors import RedDinoError
from reddino.networks.training_images import NOTHING, SEEN, SeenImages, read_seen, seen_before, write_seen
from reddino.smears.decode import decode_image
from reddino.smears.hashes import image_hash
from reddino.smears.manifest import Manifest, join_manifests

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


@pytest.fixture()
def decoded_again(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The images that are decoded for their hashes alone."""
    names: list[str] = []

    def count(path: Path) -> np.ndarray:
        names.append(path.name)
        return decode_image(path)

    monkeypatch.setattr(reddino.smears.hashes, "decode_image", count)
    return names


def embedded(folder: Path, model: Path, **options: Any) -> dict[str, Any]:
    """What a pass over a manifest, whose last field lists no cell, says of its sources."""
    manifest = make_fields(folder / "fields", fields=6, cells=3)
    cv2.imwrite(str(folder / "fields" / "empty.png"), np.random.default_rng(1).integers(0, 256, (40, 40, 3)))
    empty = Manifest(pa.Table.from_pylist([{"path": "empty.png", "source": "lab"}]), manifest.root)
    embed(join_manifests([manifest, empty]), str(model), folder / "t", side=16, unit="px", **options)
    found: dict[str, Any] = json.loads((folder / "t" / "_seen.json").read_text())
    return found


def test_embed__hashes_images_while_they_are_open_and_a_pass_that_goes_on_knows_them(
    tmp_path: Path, decoded_again: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert embed_manifest.__kwdefaults__ is not None
    monkeypatch.setitem(embed_manifest.__kwdefaults__, "part_rows", 3)
    model = small_folder(tmp_path / "model")
    make_fields(tmp_path / "fields", fields=6, cells=3)
    pictures = [decode_image(tmp_path / "fields" / f"field{number:02d}.png") for number in range(6)]
    write_seen(model, SeenImages(("other",) * 2, np.stack([image_hash(pictures[n]) for n in (1, 4)])))
    found = embedded(tmp_path, model)
    assert found["lab"] == {"status": "seen", "images": 7, "near_duplicates": 2, "named": False}
    assert decoded_again == ["empty.png"]  # the pass had no reason to open it
    noted = noted_hashes(tmp_path / "t")
    assert {number: hashes.tolist() for number, hashes in noted.items()} == {
        number: image_hash(picture).tolist() for number, picture in enumerate(pictures)
    }
    list(finished_parts(tmp_path / "t").values())[2].unlink()
    (tmp_path / "t" / "_seen.json").unlink()
    assert embedded(tmp_path, model) == found
    assert decoded_again == ["empty.png"] * 2


def test_embed__hashes_what_it_opens_whatever_the_model_lists(
    tmp_path: Path, decoded_again: list[str]
) -> None:
    model = small_folder(tmp_path / "model")
    assert embedded(tmp_path, model)["lab"]["status"] == "unknown"
    assert (sorted(noted_hashes(tmp_path / "t")), decoded_again) == (list(range(6)), [])
    write_seen(model, SeenImages(("other",), HASHES[:1]))
    assert embedded(tmp_path, model)["lab"]["status"] == "unseen"
    assert decoded_again == ["empty.png"]  # which lists no cell, so that the pass did not open it


def test_embed__hashes_are_kept_for_the_next_model(tmp_path: Path, decoded_again: list[str]) -> None:
    model = small_folder(tmp_path / "model")
    write_seen(model, SeenImages(("other",), HASHES[:1]))
    first = embedded(tmp_path, model, hashes=tmp_path / "kept")
    shutil.rmtree(tmp_path / "t")
    assert embedded(tmp_path, model, hashes=tmp_path / "kept") == first
    assert decoded_again == ["empty.png"]


def test_statuses__of_a_table_without_a_comparison_are_empty(tmp_path: Path) -> None:
    assert read_seen_file(tmp_path) == {}
    write_seen_file(tmp_path, compare(["a"], NOTHING.hashes, NOTHING))
    assert read_seen_file(tmp_path) == {"a": "unseen"}


def test_joined__lists_what_both_saw_once() -> None:
    hashes = np.array([[1, 2], [3, 4], [5, 6]], np.uint64)
    first = SeenImages(("a", "a", "b"), hashes)
    second = SeenImages(("b", "a", "b"), hashes[[2, 1, 0]], complete=False)
    both = first.joined(second).joined(first)
    assert both.sources == ("a", "a", "b", "b")
    assert both.hashes.tolist() == [[1, 2], [3, 4], [5, 6], [1, 2]]  # one picture, of two sources
    assert not both.complete
