"""`reddino embed` with folders and tables by URL: what it lists, leaves and refuses is as on one machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from object_store import SECRET, SERVERS, ObjectStore, object_store
from small_models import small_folder

import reddino
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores.requests import file_system
from reddino.smears.failures import Failures
from reddino.smears.opening import open_data


@pytest.fixture(scope="module", params=SERVERS)
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    with object_store(request.param) as started:
        yield started


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_folder(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two laboratories, of which one has what is not read."""
    folder, draw = tmp_path_factory.mktemp("pictures") / "smears", np.random.default_rng(0)
    for laboratory in ("Basel lab", "Genova lab"):
        (folder / laboratory).mkdir(parents=True)
        for name in ("f2.png", "f10.jpg", "f1.tif"):
            cv2.imwrite(str(folder / laboratory / name), draw.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    (folder / "Genova lab" / "old.gif").write_bytes(b"GIF89a")
    (folder / "Genova lab" / ".hidden.png").write_bytes(b"no")
    (folder / "Genova lab" / "broken.png").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("of no interest")
    return folder


def test_embed__a_folder_by_url_into_a_url(
    store: ObjectStore, pictures: Path, model: Path, tmp_path: Path
) -> None:
    url, out = store.put_folder(pictures, "smears"), f"{store.url}/table"
    options: dict[str, Any] = {"view": "image", "runtime": "torch", "device": "cpu", "threads": 2}
    local = reddino.embed(pictures, str(model), tmp_path / "t", **options)
    stored = reddino.embed(url, str(model), out, **options)
    assert (stored.rows, stored.failed) == (local.rows, local.failed) == (6, 2)
    one, other = read_embeddings(tmp_path / "t"), read_embeddings(out)
    assert other.table.equals(one.table)
    assert np.array_equal(other.vectors, one.vectors)
    assert one.strings("source") == ["Basel lab"] * 3 + ["Genova lab"] * 3
    assert one.strings("path")[:3] == ["Basel lab/f1.tif", "Basel lab/f2.png", "Basel lab/f10.jpg"]
    assert store.names("table") == sorted(file.name for file in (tmp_path / "t").iterdir())
    for name in store.names("table"):
        assert SECRET.encode() not in store.get(f"table/{name}")
    for name in ("_copies.json", "_pictures.json", "_seen.json"):
        assert json.loads(store.get(f"table/{name}")) == json.loads((tmp_path / "t" / name).read_text())
    assert store.get("table/failures.csv") == (tmp_path / "t" / "failures.csv").read_bytes()
    assert reddino.embed(url, str(model), out, **options).resumed == 6


def test_open_data__joins_what_is_here_and_what_is_in_stores(store: ObjectStore, pictures: Path) -> None:
    url = store.put_folder(pictures / "Basel lab", "joined/Basel lab")
    opened = open_data([pictures / "Genova lab" / "f2.png", f"{url}/f2.png", f"{url}/f{{1.tif,10.jpg}}"])
    assert opened.strings("path") == ["f2.png", f"{url}/f2.png", f"{url}/f1.tif", f"{url}/f10.jpg"]
    assert not opened.missing_files()
    assert open_data([f"{url}/f2.png", f"{url}/f10.jpg"]).strings("path") == ["f2.png", "f10.jpg"]
    listed = reddino.manifest("folder", url, pictures.parent / "listed.csv")
    assert len(listed) == 3
    assert reddino.read_manifest(pictures.parent / "listed.csv").strings("path")[0] == f"{url}/f1.tif"


def test_pack__reads_a_folder_by_url(store: ObjectStore, pictures: Path, tmp_path: Path) -> None:
    url = store.put_folder(pictures, "packed")
    packed, failures = reddino.pack(url, tmp_path / "p"), Failures()
    local = reddino.pack(pictures, tmp_path / "l", failures=failures)
    assert len(packed) == len(local) == 6
    assert packed.strings("path")[0] == f"{url}/Basel lab/f1.tif"


def test_open_data__leaves_out_what_is_read_from_a_disk_alone(store: ObjectStore) -> None:
    for name in ("a.svs", "b.tar", "c.png"):
        store.put(f"others/{name}", b"no picture")
    failures = Failures()
    opened = open_data(f"{store.url}/others", failures)
    assert opened.strings("path") == ["c.png"]
    reasons = dict(failures)
    assert "is a whole slide" in reasons[f"{store.url}/others/a.svs"]
    assert "is a tar shard behind a URL" in reasons[f"{store.url}/others/b.tar"]
    with pytest.raises(RedDinoError, match="no image could be found in s3://bucket/nothing"):
        open_data(f"{store.url}/nothing")


def test_embed__refuses_places_where_no_table_can_be(store: ObjectStore, pictures: Path, model: Path) -> None:
    with pytest.raises(RedDinoError, match="http://host/t: a web server is read and not written"):
        reddino.embed(pictures, str(model), "http://host/t")
    with pytest.raises(RedDinoError, match="slides and fields are surveyed in the folder of their table"):
        reddino.embed(pictures, str(model), f"{store.url}/t", find_cells=True, cells=10)
    with pytest.raises(RedDinoError, match="URLs of s3, gs, http and https are read, not this one"):
        reddino.embed(pictures, str(model), "ftp://host/t")


def test_embed__names_the_extra_where_it_is_missing(monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    file_system.cache_clear()
    with pytest.raises(RedDinoError, match=r"s3:// needs another package: pip install 'reddino\[stores\]'"):
        reddino.embed("s3://bucket/m.csv", str(model), "t")
    file_system.cache_clear()
