"""The cache of decoded images: same pixels, decoded once, never half there."""

from __future__ import annotations

import io
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from reddino.foundations.atomic import draft_folder
from reddino.foundations.errors import RedDinoError
from reddino.pretraining.data import decoding, image_cache
from reddino.pretraining.data.image_cache import open_cache, read_cache, write_index
from reddino.smears.manifest import Manifest, read_manifest


def picture(seed: int, height: int = 40, width: int = 52) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def collection(folder: Path, lines: list[str]) -> Manifest:
    """Four images, one of them damaged, under a manifest of `lines` (path, source, x, y, cell_diameter)."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(3):
        cv2.imwrite(str(folder / f"{seed}.png"), picture(seed, 40 + 2 * seed)[..., ::-1])
    (folder / "damaged.png").write_bytes((folder / "0.png").read_bytes()[:300])
    (folder / "manifest.csv").write_text("path,source,x,y,cell_diameter\n" + "\n".join(lines) + "\n")
    return read_manifest(folder / "manifest.csv")


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    lines = ["0.png,a,,,", "damaged.png,a,,,", "1.png,b,10,12,20", "1.png,b,30,12,20", "2.png,b,,,"]
    return collection(tmp_path / "images", lines)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> NDArray[np.uint8]:
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(decoding, "decode_image", refuse)


@pytest.mark.parametrize("on_disk", [True, False])
def test_open_cache__holds_each_image_once_and_counts_failures(
    manifest: Manifest, tmp_path: Path, on_disk: bool
) -> None:
    cache = open_cache(manifest, tmp_path / "cache" if on_disk else None)
    assert cache.index.row.tolist() == [0, 2, 4]
    assert [cache.index.source_name(number) for number in range(3)] == ["a", "b", "b"]
    for number in range(3):
        np.testing.assert_array_equal(cache.image(number), picture(number, 40 + 2 * number))
    assert cache.failures.count == 1
    assert next(iter(cache.failures))[0].endswith("damaged.png")


def test_open_cache__reopens_without_decoding(
    manifest: Manifest, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first = open_cache(manifest, tmp_path / "cache")
    request.getfixturevalue("no_decoding")
    again = open_cache(manifest, tmp_path / "cache")
    for number in range(len(first)):
        np.testing.assert_array_equal(again.image(number), first.image(number))
    assert list(again.failures) == list(first.failures)
    np.testing.assert_array_equal(again.index.cell_diameter, first.index.cell_diameter)


def test_open_cache__does_not_take_a_half_written_one(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(image_cache, "write_index", die)
    with pytest.raises(KeyboardInterrupt):
        open_cache(manifest, tmp_path)
    pixels = next(tmp_path.glob("*.pixels"))
    pixels.write_bytes(b"\0" * (pixels.stat().st_size // 2))
    monkeypatch.undo()
    np.testing.assert_array_equal(open_cache(manifest, tmp_path).image(0), picture(0))


def test_open_cache__leaves_nothing_behind_when_interrupted(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: Path) -> NDArray[np.uint8]:
        raise KeyboardInterrupt

    monkeypatch.setattr(decoding, "decode_image", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_cache(manifest, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "cut":
        del content[-1:]
    else:
        content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("how", ["cut", "flipped bit"])
@pytest.mark.parametrize("suffix", [".pixels", ".npz"])
def test_open_cache__makes_a_damaged_one_again(
    manifest: Manifest, tmp_path: Path, suffix: str, how: str
) -> None:
    right = np.array(open_cache(manifest, tmp_path).pixels)
    damage(next(tmp_path.glob(f"*{suffix}")), how)
    again = open_cache(manifest, tmp_path)
    assert np.array_equal(again.pixels, right)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".npz", ".pixels"]


def test_image__that_was_damaged_after_opening_is_refused_at_its_first_use(
    manifest: Manifest, tmp_path: Path
) -> None:
    open_cache(manifest, tmp_path)
    damage(next(tmp_path.glob("*.pixels")), "flipped bit")
    cache = read_cache(next(tmp_path.glob("*.npz")))
    refused = []
    for number in range(3):
        try:
            np.testing.assert_array_equal(cache.image(number), picture(number, 40 + 2 * number))
        except RedDinoError as error:
            assert f"image {number} does not fit its checksum" in str(error)
            refused.append(number)
    assert len(refused) == 1


def test_read_cache__takes_an_index_without_checksums(manifest: Manifest, tmp_path: Path) -> None:
    cache = open_cache(manifest, tmp_path)
    plain = replace(cache.index, checksums=np.empty(0, np.uint32))
    write_index(plain, cache.failures, next(tmp_path.glob("*.npz")))
    read = read_cache(next(tmp_path.glob("*.npz")))
    read.verify()
    assert read.index.fingerprint() == "" != cache.index.fingerprint()


def test_fingerprint__follows_pixels_and_not_dates(manifest: Manifest, tmp_path: Path) -> None:
    first = open_cache(manifest, tmp_path / "a").index.fingerprint()
    os.utime(manifest.root / "0.png", (1, 1))
    assert open_cache(manifest, tmp_path / "a").index.fingerprint() == first
    cv2.imwrite(str(manifest.root / "0.png"), picture(9)[..., ::-1])
    assert open_cache(manifest, tmp_path / "a").index.fingerprint() != first


def test_open_cache__notices_a_member_of_a_shard_that_was_replaced(tmp_path: Path) -> None:
    def shard(seed: int) -> None:
        with tarfile.open(tmp_path / "s.tar", "w") as tar:
            data = cv2.imencode(".bmp", picture(seed)[..., ::-1])[1].tobytes()
            entry = tarfile.TarInfo("a.bmp")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))

    shard(1)
    manifest = Manifest(pa.table({"path": ["s.tar::a.bmp"]}), tmp_path)
    np.testing.assert_array_equal(open_cache(manifest, tmp_path / "cache").image(0), picture(1))
    shard(2)
    np.testing.assert_array_equal(open_cache(manifest, tmp_path / "cache").image(0), picture(2))


def test_open_cache__notices_a_changed_image(manifest: Manifest, tmp_path: Path) -> None:
    open_cache(manifest, tmp_path / "cache")
    cv2.imwrite(str(manifest.root / "0.png"), picture(9)[..., ::-1])
    np.testing.assert_array_equal(open_cache(manifest, tmp_path / "cache").image(0), picture(9))


def test_open_cache__shrinks_to_the_cell_diameter(manifest: Manifest, tmp_path: Path) -> None:
    cache = open_cache(manifest, tmp_path, cell_diameters={"b": 10.0}, max_cell_diameter=10.0)
    index = cache.index
    # a has no diameter, 1.png its own (20), 2.png that of source b.
    assert index.scale.tolist() == [1.0, 0.5, 1.0]
    assert (index.height[1], index.width[1]) == (21, 26)
    assert np.isnan(index.cell_diameter[0]) and index.cell_diameter[1:].tolist() == [10.0, 10.0]
    # Half the size by area: each stored pixel is the mean of four.
    means = picture(1, 42).reshape(21, 2, 26, 2, 3).mean(axis=(1, 3))
    assert np.abs(cache.image(1).astype(float) - means).max() <= 0.5
    full = open_cache(manifest, tmp_path, cell_diameters={"b": 10.0})
    assert full.index.scale.tolist() == [1.0, 1.0, 1.0]


def test_open_cache__refuses_a_collection_without_one_good_image(tmp_path: Path) -> None:
    manifest = collection(tmp_path, ["damaged.png,a,,,"])
    with pytest.raises(RedDinoError, match=r"no image to train on.*damaged\.png"):
        open_cache(manifest, tmp_path / "cache")


def test_open_cache__names_the_folder_that_cannot_be_written(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RedDinoError, match="decoded images cannot be written"):
        open_cache(manifest, tmp_path / "file" / "cache")


def test_open_cache__abandoned_files_go_but_not_those_being_written(
    manifest: Manifest, tmp_path: Path
) -> None:
    old = tmp_path / ".x.pixels.01234567.partial"
    old.mkdir()
    with draft_folder(tmp_path, "y.pixels") as new:
        open_cache(manifest, tmp_path)
        assert new.exists() and not old.exists()
    new.mkdir()
    open_cache(manifest, tmp_path)  # which is there already
    assert not new.exists()


def test_manifest_without_paths__is_no_collection(tmp_path: Path) -> None:
    manifest = collection(tmp_path, ["0.png,a,,,"])
    empty = manifest.select(np.zeros(1, bool))
    assert isinstance(empty.table, pa.Table)
    with pytest.raises(RedDinoError, match="no image to train on"):
        open_cache(empty, tmp_path / "cache")


@pytest.mark.parametrize("on_disk", [True, False])
def test_open_cache__knows_the_cells_in_stored_pixels(
    manifest: Manifest, tmp_path: Path, on_disk: bool
) -> None:
    for _ in range(2):
        cache = open_cache(manifest, tmp_path / "cache" if on_disk else None, max_cell_diameter=10)
        # Of the second image that could be decoded, whose cells of 20 px were shrunk to 10.
        np.testing.assert_allclose(cache.index.cells, [[1, 5, 6], [1, 15, 6]])
