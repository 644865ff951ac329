"""The stain of views: one pipeline for listed, found and placed squares, and tables that record it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from dyed_pictures import dyed

import reddino
from reddino.embedding.comparable import require_comparable, require_same_views
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest
from reddino.views.by_image import ViewsByImage
from reddino.views.spec import ViewSpec, make_view
from reddino.views.stain_normaliser import normalise_stain

PLAIN = ViewSpec(kind="cells", side=40, unit="px", output=40)
STAINED = PLAIN.model_copy(update={"stain": "reinhard"})


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two fields of cells that are listed, and one of empty glass with a mark in it."""
    folder = tmp_path_factory.mktemp("dyed")
    glass = np.clip(np.random.default_rng(0).normal(210, 2, (240, 240, 3)), 0, 255).astype(np.uint8)
    for name, image in {"a": dyed(), "b": dyed((245, 225, 215), strength=0.7), "empty": glass}.items():
        cv2.imwrite(str(folder / f"{name}.png"), image[..., ::-1])
    rows = [
        {"path": f"{name}.png", "x": x, "y": 120.0, "cell_diameter": 26.0, "source": "lab", "label": label}
        for name in ("a", "b", "empty")
        for x, label in ((60.0, "round"), (120.0, "long"), (180.0, "round"))
    ]
    return Manifest(pa.table({key: [row[key] for row in rows] for key in rows[0]}), folder)


def cut(manifest: Manifest, spec: ViewSpec, number: int, **options: Any) -> np.ndarray:
    opened = ViewsByImage(manifest, spec, **options).open(number)
    return np.asarray(opened.cut(0, len(opened.squares), spec.output))


@pytest.mark.parametrize("stain", ["reinhard", "macenko"])
def test_views__are_cut_from_the_normalised_picture(fields: Manifest, stain: Any) -> None:
    (view,) = cut(fields, ViewSpec(kind="image", output=240, stain=stain), 0)
    assert np.array_equal(view, normalise_stain(dyed(), stain))


@pytest.mark.parametrize("kind", ["cells", "image", "patches", "random"])
def test_views__are_the_same_whether_opened_or_placed_first(fields: Manifest, kind: Any) -> None:
    spec = STAINED.model_copy(update={"kind": kind})
    views, failures = ViewsByImage(fields, spec), Failures()
    squares, _ = views.place_all(failures)
    placed = np.concatenate([stack for _, stack in views.cut_all(squares, failures, at_most=2)])
    opened = np.concatenate([cut(fields, spec, number) for number in range(3)])
    assert np.array_equal(placed, opened)
    assert not np.array_equal(
        placed, np.concatenate([cut(fields, spec.model_copy(update={"stain": "none"}), n) for n in range(3)])
    )


def test_views__of_a_cell_are_the_same_alone_and_among_others(fields: Manifest) -> None:
    alone = fields.select(np.arange(len(fields)) == 4)
    assert np.array_equal(cut(alone, STAINED, 0)[0], cut(fields, STAINED, 1)[1])


def test_views__of_cells_that_are_found_lie_where_they_lay_before(fields: Manifest) -> None:
    images = Manifest(pa.table({"path": ["a.png", "b.png"], "source": ["lab"] * 2}), fields.root)
    spec = ViewSpec(kind="cells", side=1.6, unit="diameters", output=32, scale="picture")
    stained = spec.model_copy(update={"stain": "macenko"})
    for number in range(2):
        plain, found = (ViewsByImage(images, one, find_cells=True).open(number) for one in (spec, stained))
        assert plain.squares.tobytes() == found.squares.tobytes()
        # What is recognised again as a copy is the picture, not its stain.
        assert np.array_equal(plain.pixels, found.pixels)
        assert not np.array_equal(plain.cut(0, 1, 32), found.cut(0, 1, 32))


def test_views__keep_count_of_pictures_that_stay_as_they_are(fields: Manifest) -> None:
    views = ViewsByImage(fields, STAINED)
    cells = [views.open(number).cut(0, 3, 40) for number in range(3)]
    assert list(views.stains.left) == ["empty.png"]
    assert np.array_equal(cells[2], cut(fields, PLAIN, 2))


def test_views__estimate_the_stain_of_a_picture_once(
    fields: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    views = ViewsByImage(fields, STAINED)

    def of(_: object, name: str, pixels: np.ndarray) -> np.ndarray:
        seen.append(name)
        return pixels

    monkeypatch.setattr(type(views.stains), "of", of)
    opened = views.open(0)
    for start in range(3):
        opened.cut(start, start + 1, 40)
    assert seen == ["a.png"]
    assert len(opened.cut(3, 4, 40)) == 0


def test_metadata__lack_the_stain_where_there_is_none() -> None:
    assert "stain" not in PLAIN.metadata()
    assert STAINED.metadata()["stain"] == "reinhard"
    assert ViewSpec(**STAINED.metadata()) == STAINED.model_copy(update={"per_image": 8})
    assert ViewSpec(**PLAIN.metadata()).stain == "none"
    with pytest.raises(RedDinoError, match="stain"):
        make_view(kind="cells", stain="vahadane")


def test_tables__of_different_stains_are_not_compared(fields: Manifest, tmp_path: Path) -> None:
    for stain in ("none", "reinhard"):
        report = reddino.embed(
            fields, "colour-histogram", tmp_path / stain, stain=stain, image_size=32, unit="px", side=40
        )
        assert report.unnormalised == (stain == "reinhard")
    plain, stained = (read_embeddings(tmp_path / stain) for stain in ("none", "reinhard"))
    assert not np.array_equal(plain.vectors, stained.vectors)
    with pytest.raises(RedDinoError, match=r"stain 'unset' against stain 'reinhard'"):
        require_comparable(plain, stained)
    with pytest.raises(RedDinoError, match="stain"):
        require_same_views({"plain": plain, "stained": stained})
    with pytest.raises(RedDinoError, match="stain"):
        reddino.embed(
            fields, "colour-histogram", tmp_path / "none", stain="macenko", image_size=32, unit="px", side=40
        )
