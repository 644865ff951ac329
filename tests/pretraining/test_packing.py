"""A packed collection: the same images and the same run as without, decoded once, never half there."""

from __future__ import annotations

import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
from micro_run import draw_images, micro_recipe, run_micro, trained_weights
from numpy.typing import NDArray

import reddino
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data.decoding import IndexBuilder
from reddino.pretraining.data.image_cache import open_cache, read_cache, write_index
from reddino.pretraining.data.image_index import ImageIndex, index_faults
from reddino.pretraining.data.shard_stream import expand_shards, stream_shard
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, write_manifest
from reddino.smears.packs import PackedManifest, read_pack


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    manifest = draw_images(tmp_path_factory.mktemp("images"))
    write_manifest(manifest, manifest.root / "manifest.csv")
    return manifest


def picture(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (30 + seed, 40, 3), dtype=np.uint8)


def png(seed: int) -> bytes:
    return cv2.imencode(".png", picture(seed)[..., ::-1])[1].tobytes()


def write_shard(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two shards of three images, one of them damaged; labels beside some."""
    row = json.dumps({"source": "far", "cell_diameter": 20, "label": "ovalocyte"}).encode()
    write_shard(tmp_path / "lab" / "s-00.tar", {"a/0.json": row, "a/0.png": png(0), "a/1.png": png(1)})
    members = {"2.png": png(2), "2.json": b"{broken", "3.png": png(3)[:200], "notes.txt": b"-"}
    write_shard(tmp_path / "lab" / "s-01.tar", members)
    return tmp_path / "lab"


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server(shards: Path) -> Iterator[str]:
    """The folder of shards behind http."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(shards))) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_pack__holds_the_same_images_as_the_cache(images: Manifest, tmp_path: Path) -> None:
    reddino.pack(images, tmp_path / "pack")
    packed, plain = read_pack(tmp_path / "pack"), open_cache(images)
    cache = open_cache(packed)
    assert len(cache) == len(plain) == len(packed) == 6
    for number in range(6):
        np.testing.assert_array_equal(cache.image(number), plain.image(number))
    assert cache.index.cell_diameter.tolist() == plain.index.cell_diameter.tolist()
    assert [cache.index.source_name(number) for number in range(6)] == packed.strings("source")
    assert [(packed.root / path).resolve() for path in packed.strings("path")] == images.paths()


def test_pack__keeps_the_places_of_cells(images: Manifest, tmp_path: Path) -> None:
    names = images.strings("path")
    cells = {
        "path": [names[0], names[0], names[2], names[3]],
        "source": ["a"] * 4,
        "x": [20.0, 30.0, 25.0, None],
        "y": [10.0, 40.0, 22.0, None],
        "w": [12.0, 14.0, None, None],
        "h": [12.0, 10.0, None, None],
        "cell_diameter": [24.0] * 4,
    }
    marked = Manifest(pa.table(cells), images.root)
    recipe = micro_recipe(["data.max_cell_diameter=12"])
    packed, plain = (
        open_cache(manifest, max_cell_diameter=12)
        for manifest in (reddino.pack(marked, tmp_path / "pack", recipe=recipe), marked)
    )
    np.testing.assert_array_equal(packed.index.cells, plain.index.cells)
    assert packed.index.cells.tolist() == [[0, 13, 8], [0, 18.5, 22.5], [1, 12.5, 11]]
    moved = Manifest(pa.table(cells | {"y": [11.0, 40.0, 22.0, None]}), images.root)
    other = reddino.pack(moved, tmp_path / "moved", recipe=recipe)
    assert other.fingerprint() != read_pack(tmp_path / "pack").fingerprint()


def test_shards__give_the_places_of_cells(tmp_path: Path) -> None:
    cells = [{"x": 4, "y": 6.5, "w": 8, "h": 3, "source": "far"}, {"x": 20, "y": "9"}, {"label": "none"}]
    wrong = [{"x": 20, "y": 9, "w": -5, "h": 4}]
    members = {"0.png": png(0), "0.json": json.dumps(cells).encode(), "1.png": png(1)}
    write_shard(tmp_path / "s.tar", {**members, "1.json": json.dumps(wrong).encode()})
    failures = Failures()
    packed = open_cache(reddino.pack(tmp_path / "s.tar", tmp_path / "pack", failures=failures))
    assert [path.rpartition("::")[2] for path, _ in failures] == ["1.json"]
    assert packed.index.cells.tolist() == [[0, 8, 8], [0, 20, 9]]
    assert packed.index.source_name(0) == "far"


def test_pack__trains_the_same_weights(images: Manifest, tmp_path: Path) -> None:
    reddino.pack(images, tmp_path / "pack")
    packed = read_pack(tmp_path / "pack")
    assert run_micro(images, tmp_path / "plain").finished
    from reddino.pretraining.train import pretrain

    assert pretrain(micro_recipe(), packed, tmp_path / "run").finished
    assert trained_weights(tmp_path / "run") == trained_weights(tmp_path / "plain")
    assert not (tmp_path / "run" / "cache").exists()


def test_pack__for_a_recipe_shrinks_and_a_recipe_of_another_size_is_refused(
    images: Manifest, tmp_path: Path
) -> None:
    recipe = micro_recipe(["data.max_cell_diameter=12"])
    packed = reddino.pack(images, tmp_path / "pack", recipe=recipe)
    assert isinstance(packed, PackedManifest)
    plain = open_cache(images, max_cell_diameter=12)
    np.testing.assert_array_equal(open_cache(packed, max_cell_diameter=12).image(0), plain.image(0))
    with pytest.raises(RedDinoError, match=r"data\.max_cell_diameter=12"):
        open_cache(packed)


def test_fingerprint__follows_the_pixels_and_not_the_place(images: Manifest, tmp_path: Path) -> None:
    first = reddino.pack(images, tmp_path / "one").fingerprint()
    assert first == reddino.pack(images.root / "manifest.csv", tmp_path / "deep" / "two").fingerprint()
    other = reddino.pack(images, tmp_path / "small", recipe=micro_recipe(["data.max_cell_diameter=12"]))
    assert other.fingerprint() != first


def test_pack__of_a_pack_is_refused_and_a_broken_shard_is_listed(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    write_shard(folder / "s.tar", {"0.png": png(0)})
    (folder / "broken.tar").write_bytes(b"no shard")
    failures = Failures()
    reddino.pack(folder, tmp_path / "pack", failures=failures)
    assert "broken.tar" in (tmp_path / "pack" / "failures.csv").read_text()
    with pytest.raises(RedDinoError, match="packed already"):
        reddino.pack(tmp_path / "pack", tmp_path / "again")


def test_pack__into_a_pack_is_refused(images: Manifest, tmp_path: Path) -> None:
    reddino.pack(images, tmp_path / "pack")
    with pytest.raises(RedDinoError, match="already"):
        reddino.pack(images, tmp_path / "pack")


def test_pack__without_an_image_leaves_none(tmp_path: Path) -> None:
    write_shard(tmp_path / "lab" / "empty.tar", {"a.json": b"{}"})
    with pytest.raises(RedDinoError, match="no image"):
        reddino.pack(tmp_path / "lab" / "empty.tar", tmp_path / "pack")
    assert not (tmp_path / "pack" / "pack.json").exists()
    assert not list((tmp_path / "pack").glob(".*.partial"))


def test_shards__are_packed_with_what_stands_beside_the_images(shards: Path, tmp_path: Path) -> None:
    failures = Failures()
    packed = reddino.pack(f"{shards}/s-{{00..01}}.tar", tmp_path / "pack", failures=failures)
    cache = open_cache(packed)
    assert packed.strings("source") == ["far", "lab", "lab"]
    for number in range(3):
        np.testing.assert_array_equal(cache.image(number), picture(number))
    np.testing.assert_array_equal(cache.index.cell_diameter, [20, np.nan, np.nan])
    reasons = dict(failures)
    assert sorted(path.rpartition("::")[2] for path in reasons) == ["2.json", "3.png"]
    assert (tmp_path / "pack" / "failures.csv").read_text().count("\n") == 3


def test_shards__behind_a_url_give_the_same_pack(shards: Path, server: str, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    failures = Failures()
    specs = [f"{server}/s-{{00..01}}.tar", f"{server}/absent.tar"]
    packed = reddino.pack(specs, tmp_path / "remote", failures=failures)
    local = open_cache(reddino.pack(f"{shards}/s-{{00..01}}.tar", tmp_path / "local"))
    np.testing.assert_array_equal(open_cache(packed).pixels, local.pixels)
    assert [path for path, _ in failures if path.endswith("absent.tar")] == [f"{server}/absent.tar"]


def test_shard__that_breaks_off_keeps_what_came_before(shards: Path) -> None:
    shard = shards / "s-00.tar"
    shard.write_bytes(shard.read_bytes()[:6400])
    failures = Failures()
    assert [image.path for image in stream_shard(str(shard), failures)] == [f"{shard}::a/0.png"]
    assert "truncated or damaged after 2 files" in dict(failures)[str(shard)]


def test_expand__counts_with_leading_zeros_and_through_several_ranges() -> None:
    assert expand_shards("s-{08..10}.tar") == ["s-08.tar", "s-09.tar", "s-10.tar"]
    assert expand_shards("{0..1}/{0..1}.tar") == ["0/0.tar", "0/1.tar", "1/0.tar", "1/1.tar"]
    with pytest.raises(RedDinoError, match="empty"):
        expand_shards("s-{3..1}.tar")


def test_shards_and_manifests__at_once_are_refused(images: Manifest, shards: Path, tmp_path: Path) -> None:
    with pytest.raises(RedDinoError, match="at once"):
        reddino.pack([images, str(shards / "s-00.tar")], tmp_path / "pack")


def test_pack__of_another_version_is_refused(images: Manifest, tmp_path: Path) -> None:
    reddino.pack(images, tmp_path / "pack")
    description = json.loads((tmp_path / "pack" / "pack.json").read_text())
    (tmp_path / "pack" / "pack.json").write_text(json.dumps(description | {"format": 0}))
    with pytest.raises(RedDinoError, match="another version"):
        read_pack(tmp_path / "pack")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("offset", np.array([-3, 0], np.int64), "the images do not lie one after the other"),
        ("height", np.array([1 << 40, 1], np.int64), "an image has no size"),
        ("source", np.array([0, 9], np.int64), "an image is of no source"),
        ("hashes", np.zeros((2, 3), np.uint64), "another number of columns"),
        ("scale", np.array([np.nan, 1.0]), "a scale or diameter is not a number"),
        ("cells", np.array([[7.0, 1, 1]]), "a cell is of no image"),
        ("row", np.array([0.5, 1.0]), "row is of another type"),
        ("row", np.array([0], np.int64), "is not one for each image"),
    ],
)
def test_index__that_would_cut_images_where_there_are_none_is_refused(
    tmp_path: Path, name: str, value: NDArray[np.generic], reason: str
) -> None:
    builder = IndexBuilder()
    for row in range(2):
        builder.add(row, picture(row), 1.0, 10.0, "s", centres=np.array([[3.0, 4.0]]))
    index = builder.index()
    assert next(index_faults(index), None) is None
    other: dict[str, Any] = {name: value}
    write_index(replace(index, **other), Failures(), tmp_path / "i.npz")
    with pytest.raises(RedDinoError, match=rf"i\.npz of decoded images is damaged \(.*{reason}"):
        read_cache(tmp_path / "i.npz")


def test_index__that_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        for field in fields(ImageIndex):
            archive.writestr(field.name, b"not an array")
        with archive.open("failures.npy", "w") as member:
            np.save(member, np.empty((0, 2), np.str_))
    np.savez(tmp_path / "a.npz", row=np.array([{}], dtype=object))
    (tmp_path / "b.npz").write_bytes(b"x")
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(
            RedDinoError, match=rf"{name} (of decoded images is damaged|is of another version)"
        ):
            read_cache(tmp_path / name)
