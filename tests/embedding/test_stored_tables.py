"""Embed from a store and into one: the table is that of a pass on one machine, whatever happens."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from object_store import SECRET, SERVERS, ObjectStore, object_store
from smear_fields import VIEW, Projection, make_fields

from reddino.embedding.batches import Dealer
from reddino.embedding.embedding_pass import EmbedReport, embed_manifest
from reddino.embedding.growth import find_growth
from reddino.embedding.part_files import finished_parts
from reddino.embedding.pass_drivers import PassWork
from reddino.embedding.run_worker import RunOutput, RunWorker, plan_work
from reddino.embedding.table import read_embeddings
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores import claims
from reddino.foundations.stores.anywhere import spool_folder
from reddino.foundations.stores.requests import PATIENCE_NAME, StoreError
from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest, read_manifest, write_manifest
from reddino.smears.opening import open_data
from reddino.views.by_image import ViewsByImage

FIELDS, CELLS = 6, 5


@pytest.fixture(scope="module", params=SERVERS)
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    with object_store(request.param) as started:
        yield started


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """A folder of pictures with their manifest."""
    write_manifest(make_fields(tmp_path / "fields", FIELDS, CELLS), tmp_path / "fields" / "m.csv")
    return tmp_path / "fields"


def run_pass(data: str | Path | Manifest, out: str | Path, encoder: Projection | None = None) -> EmbedReport:
    """A pass as `reddino.embed` has it, with a quick encoder."""
    failures = Failures()
    growth = find_growth(open_data(data, failures), Path(out))
    return embed_manifest(
        growth.manifest,
        encoder or Projection(),
        out,
        view=VIEW,
        part_rows=CELLS,
        batch_size=3,
        growth=growth,
        left_out=failures,
    )


def require_same_table(one: str | Path, other: str | Path) -> None:
    first, second = read_embeddings(one), read_embeddings(other)
    assert second.table.equals(first.table)
    assert np.array_equal(second.vectors, first.vectors)
    assert [path.name for path in finished_parts(Path(one)).values()] == [
        path.name for path in finished_parts(Path(other)).values()
    ]
    assert {**first.meta, "provenance": 0} == {**second.meta, "provenance": 0}


def test_embed__from_a_store_and_into_it_is_as_on_one_machine(
    store: ObjectStore, fields: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "reddino")
    url, out = store.put_folder(fields, "same/fields"), f"{store.url}/same/table"
    store.requests.clear()
    report = run_pass(f"{url}/m.csv", out)
    assert [store.requested("GET", f"field0{n}.png") for n in range(FIELDS)] == [
        2
    ] * FIELDS  # header, and picture
    run_pass(fields / "m.csv", tmp_path / "t")
    assert (report.rows, report.failed) == (FIELDS * CELLS, 0)
    require_same_table(tmp_path / "t", out)
    assert store.names("same/table") == sorted(file.name for file in (tmp_path / "t").iterdir())
    assert not any(SECRET.encode() in store.get(f"same/table/{name}") for name in store.names("same/table"))
    assert SECRET not in caplog.text
    assert not list(spool_folder().iterdir())
    assert run_pass(f"{url}/m.csv", out).resumed == report.rows


def test_embed__of_parquet_and_of_urls_in_a_manifest_of_this_machine(
    store: ObjectStore, fields: Path, tmp_path: Path
) -> None:
    url = store.put_folder(fields, "urls/fields")
    manifest = read_manifest(fields / "m.csv")
    write_manifest(manifest, fields / "m.parquet")
    store.put("urls/fields/m.parquet", fields / "m.parquet")
    whole = manifest.with_column("path", [f"{url}/{path}" for path in manifest.strings("path")])
    write_manifest(whole, tmp_path / "urls.csv")
    assert read_manifest(tmp_path / "urls.csv").strings("path") == whole.strings("path")
    run_pass(fields / "m.csv", tmp_path / "t")
    run_pass(f"{url}/m.parquet", tmp_path / "of_parquet")
    run_pass(tmp_path / "urls.csv", tmp_path / "of_urls")
    require_same_table(tmp_path / "t", tmp_path / "of_parquet")
    local, named = read_embeddings(tmp_path / "t"), read_embeddings(tmp_path / "of_urls")
    assert np.array_equal(local.vectors, named.vectors)
    assert named.strings("path") == [f"{url}/{path}" for path in local.strings("path")]


def test_embed__over_http(fields: Path, tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    handler = partial(SimpleHTTPRequestHandler, directory=str(fields))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        run_pass(f"http://127.0.0.1:{server.server_port}/m.csv", tmp_path / "h")
    finally:
        server.shutdown()
        server.server_close()
    run_pass(fields / "m.csv", tmp_path / "t")
    require_same_table(tmp_path / "t", tmp_path / "h")


def test_embed__lists_pictures_that_cannot_be_fetched(store: ObjectStore, fields: Path) -> None:
    url = store.put_folder(fields, "lost/fields")
    store.delete("lost/fields/field02.png")
    store.put("lost/fields/field03.png", (fields / "field03.png").read_bytes()[:900])
    store.put("lost/fields/field04.png", b"")
    report = run_pass(f"{url}/m.csv", f"{store.url}/lost/t")
    assert (report.rows, report.failed) == ((FIELDS - 3) * CELLS, 3)
    listed = store.get("lost/t/failures.csv").decode().splitlines()
    assert [line.partition(",")[0] for line in listed] == ["path", *(f"field0{n}.png" for n in (2, 3, 4))]
    assert "field02.png,there is no such object" in listed
    assert any("empty" in line for line in listed)


def test_embed__refuses_to_go_on_after_a_picture_was_replaced(store: ObjectStore, fields: Path) -> None:
    url, out = store.put_folder(fields, "new/fields"), f"{store.url}/new/t"
    run_pass(f"{url}/m.csv", out)
    store.put("new/fields/field01.png", fields / "field01.png")  # the same bytes, put again
    run_pass(f"{url}/m.csv", out)
    data = bytearray((fields / "field01.png").read_bytes())
    data[-20] ^= 1  # as many bytes
    store.put("new/fields/field01.png", bytes(data))
    with pytest.raises(RedDinoError, match=r"another picture than 'field01.png' is now"):
        run_pass(f"{url}/m.csv", out)


def test_embed__grows_a_table_in_a_store(store: ObjectStore, fields: Path, tmp_path: Path) -> None:
    url, out = store.put_folder(fields, "grown/fields"), f"{store.url}/grown/t"
    manifest = read_manifest(fields / "m.csv")
    few = manifest.select(np.array([path < "field04.png" for path in manifest.strings("path")]))
    write_manifest(few, fields / "few.csv")
    store.put("grown/fields/few.csv", fields / "few.csv")
    for data, table in ((url, out), (fields, tmp_path / "t")):
        assert run_pass(f"{data}/few.csv", table).rows == 4 * CELLS
        assert run_pass(f"{data}/m.csv", table).resumed == 4 * CELLS
    require_same_table(tmp_path / "t", out)


def test_embed__refuses_a_second_pass_into_a_table(store: ObjectStore, fields: Path) -> None:
    out = f"{store.url}/two/t"

    class Meanwhile(Projection):
        refused = ""

        def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
            if store.names("two/t") and not self.refused:
                with pytest.raises(RedDinoError) as refused:
                    run_pass(fields / "m.csv", out, Projection(seed=1))
                self.refused = str(refused.value)
            return super().embed(images, pooling)

    encoder = Meanwhile()
    run_pass(fields / "m.csv", out, encoder)
    assert encoder.refused == f"another pass is writing to '{out}': wait for it or stop it"
    with pytest.raises(RedDinoError, match="differs in the model's weights"):
        run_pass(fields / "m.csv", out, Projection(seed=1))


_KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import test_stored_tables as tests
from reddino.foundations.stores import objects
from reddino.foundations import atomic
put, count = objects.put_file, 0
def put_file(url, file, *, new):
    global count
    count += new
    if new and count == {at}:
        print(os.getpid(), flush=True)
        {how}
    put(url, file, new=new)
atomic.put_file = put_file
tests.run_pass({data!r}, {out!r})
"""


def test_embed__that_was_killed_goes_on_at_once(store: ObjectStore, fields: Path, tmp_path: Path) -> None:
    url, out = store.put_folder(fields, "killed/fields"), f"{store.url}/killed/t"
    how = "os.kill(os.getpid(), signal.SIGKILL)"
    program = _KILLED.format(tests=str(Path(__file__).parent), at=4, how=how, data=f"{url}/m.csv", out=out)
    path = os.pathsep.join([*sys.path, str(Path(__file__).parents[1] / "shared")])
    environment = {**os.environ, "PYTHONPATH": path}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    kept = {
        name: store.get(f"killed/t/{name}") for name in store.names("killed/t") if name.startswith("part")
    }
    assert len(kept) == 3
    assert "_claim.json" in store.names("killed/t")
    assert list(spool_folder().glob(".part-*.partial"))
    report = run_pass(f"{url}/m.csv", out)
    assert report.resumed == 3 * CELLS
    assert not list(spool_folder().iterdir())
    assert all(store.get(f"killed/t/{name}") == data for name, data in kept.items())
    assert "_claim.json" not in store.names("killed/t")
    run_pass(fields / "m.csv", tmp_path / "t")
    require_same_table(tmp_path / "t", out)


class _Outage(Projection):
    """Stops the store before a certain batch, once a part is there, and starts it again later."""

    def __init__(self, store: ObjectStore, out: str, at: int, back: float | None) -> None:
        super().__init__()
        self.store, self.out, self.at, self.back = store, out, at, back

    def embed(self, images: np.ndarray, pooling: str, /) -> np.ndarray:
        if len(self.seen) == self.at:
            while not any(name.startswith("part") for name in self.store.names(self.out)):
                time.sleep(0.02)
            self.store.stop()
            if self.back is not None:
                threading.Timer(self.back, self.store.start).start()
        return super().embed(images, pooling)


def test_embed__waits_for_a_store_that_is_away_for_a_while(
    store: ObjectStore, fields: Path, tmp_path: Path
) -> None:
    url, out = store.put_folder(fields, "away/fields"), f"{store.url}/away/t"
    report = run_pass(f"{url}/m.csv", out, _Outage(store, "away/t", 4, 1.0))
    assert (report.rows, report.failed) == (FIELDS * CELLS, 0)
    run_pass(fields / "m.csv", tmp_path / "t")
    require_same_table(tmp_path / "t", out)


def test_embed__ends_in_a_sentence_where_a_store_stays_away_and_goes_on_later(
    store: ObjectStore, fields: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, out = store.put_folder(fields, "gone/fields"), f"{store.url}/gone/t"
    monkeypatch.setenv(PATIENCE_NAME, "0.5")
    try:
        with pytest.raises(StoreError, match="does not answer"):
            run_pass(f"{url}/m.csv", out, _Outage(store, "gone/t", 4, None))
    finally:
        store.start()
    assert not list(spool_folder().glob("*.partial"))
    assert "_claim.json" in store.names("gone/t")  # recognised as that of this machine, and not waited for
    monkeypatch.setattr(claims, "DEAD", 10_000.0)
    begun = [name for name in store.names("gone/t") if name.startswith("part")]
    assert 1 <= len(begun) < FIELDS
    assert not any(name.startswith("failures") for name in store.names("gone/t"))
    monkeypatch.setenv(PATIENCE_NAME, "20")
    report = run_pass(f"{url}/m.csv", out)
    assert (report.resumed, report.failed) == (len(begun) * CELLS, 0)
    run_pass(fields / "m.csv", tmp_path / "t")
    require_same_table(tmp_path / "t", out)


def test_run_worker__opens_pictures_in_a_store(store: ObjectStore, fields: Path) -> None:
    outputs = []
    for data in (fields, store.put_folder(fields, "worker/fields")):
        dealer = Dealer(ViewsByImage(read_manifest(f"{data}/m.csv"), VIEW), CELLS, 3, 1)
        worker = RunWorker(plan_work(PassWork(dealer, Projection(), "cls", None, None, 20), "cpu"), 1)
        assert isinstance(worker.ready(), str)
        found = worker.work((0, 2))
        assert isinstance(found, RunOutput)
        outputs.append(found.output)
    assert outputs[0] is not None
    assert outputs[1] is not None
    assert np.array_equal(outputs[0], outputs[1])
    assert outputs[0].shape == (2 * CELLS, 5)


def test_manifest__with_a_secret_in_a_url_is_refused(tmp_path: Path) -> None:
    for path in ("https://h/a.png?X-Amz-Signature=hidden", "s3://me:hidden@b/a.png"):
        (tmp_path / "m.csv").write_text(f"path,x,y\nb.png,1,1\n{path},1,1\n")
        with pytest.raises(
            RedDinoError, match=r"m.csv, line 3, column 'path': is a URL with a user"
        ) as refused:
            read_manifest(tmp_path / "m.csv")
        assert "hidden" not in str(refused.value)


def test_manifest__that_is_not_there_or_damaged_is_named_by_its_url(store: ObjectStore) -> None:
    with pytest.raises(RedDinoError, match=r"^s3://bucket/absent.csv: there is no such manifest file"):
        read_manifest(f"{store.url}/absent.csv")
    store.put("odd.csv", b"path,x,y\na.png,1,one\n")
    with pytest.raises(RedDinoError, match=r"^s3://bucket/odd.csv, line 2, column 'y'"):
        read_manifest(f"{store.url}/odd.csv")
    store.put("odd.parquet", b"PAR1 no")
    with pytest.raises(RedDinoError, match=r"^s3://bucket/odd.parquet cannot be read as Parquet"):
        read_manifest(f"{store.url}/odd.parquet")
