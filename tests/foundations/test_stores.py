"""Objects in stores: URLs among paths, requests that are repeated, objects that are put whole, and claims."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from object_store import SECRET, SERVERS, ObjectStore, object_store

from reddino.foundations.atomic import atomic_path
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stores import claims
from reddino.foundations.stores.claims import CLAIM, claimed_folder
from reddino.foundations.stores.objects import (
    list_objects,
    object_state,
    object_states,
    put_bytes,
    put_file,
    read_object,
    read_whole,
)
from reddino.foundations.stores.ranges import ObjectFile
from reddino.foundations.stores.requests import PATIENCE_NAME, CutShortError, StoreError, file_system, send
from reddino.foundations.stores.urls import url_of
from reddino.foundations.url_spelling import masked, spelled


@pytest.fixture(scope="module", params=SERVERS)
def store(request: pytest.FixtureRequest) -> Iterator[ObjectStore]:
    with object_store(request.param) as started:
        yield started


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("s3://bucket/a/b.png", "s3://bucket/a/b.png"),
        (Path("s3://bucket/a") / "b.png", "s3://bucket/a/b.png"),
        (Path("/data") / "s3://bucket/b.png", "s3://bucket/b.png"),
        (Path("s3://bucket/a") / "https://host/b.png", "https://host/b.png"),
        (Path("s3://bucket/a/c") / "../b.png", "s3://bucket/a/b.png"),
        (Path("s3://bucket/a") / "../../../b.png", "s3://bucket/b.png"),
        ("S3://bucket", "s3://bucket"),
        ("gs://bucket/x", "gs://bucket/x"),
        ("a/b.png", None),
        ("/a/s3:x/b.png", None),
        ("C:/a/b.png", None),
        ("slide.svs::x0-y0-w9-h9", None),
    ],
)
def test_url_of__finds_a_url_in_a_path(path: str | Path, url: str | None) -> None:
    assert url_of(path) == url


@pytest.mark.parametrize(
    "url",
    [
        "s3://me:secret@bucket/a",
        "https://h/a?X-Amz-Signature=secret",
        "https://h/a#secret",
        "s3://b/a?secret",
    ],
)
def test_url_of__refuses_a_secret_without_repeating_it(url: str) -> None:
    with pytest.raises(RedDinoError, match="credentials are taken from the environment") as refused:
        url_of(Path("folder") / url)
    assert "secret" not in str(refused.value)
    assert "secret" not in masked(f"cannot open '{url}', sorry")


def test_spelled__gives_urls_their_slashes_back() -> None:
    assert spelled(f"{Path('s3://b/x')} and C:/x") == "s3://b/x and C:/x"
    assert str(RedDinoError(f"{Path('https://b/x')}: it is not there")) == "https://b/x: it is not there"


def test_objects__are_listed_with_the_state_that_each_has(store: ObjectStore) -> None:
    for name in ("a.png", "b/c.png", "b/d/e.png"):
        store.put(f"listed/{name}", name.encode())
    listed = list_objects(f"{store.url}/listed", below=True)
    assert sorted(listed) == ["a.png", "b/c.png", "b/d/e.png"]
    assert list(list_objects(f"{store.url}/listed", below=False)) == ["a.png"]
    assert list_objects(f"{store.url}/nothing", below=True) == {}
    state = object_state(f"{store.url}/listed/b/c.png")
    assert state == listed["b/c.png"]
    assert (state.size, state.modified > 0, state.tag != 0) == (7, True, True)


def test_object_states__asks_for_many_of_a_folder_at_once(store: ObjectStore) -> None:
    urls = [store.put(f"many/{number}.png", b"x" * number) for number in range(1, 31)]
    store.requests.clear()
    states = object_states([*urls, f"{store.url}/many/absent.png", f"{store.url}/other/absent.png"])
    assert {url: state.size for url, state in states.items()} == {url: n + 1 for n, url in enumerate(urls)}
    assert store.requested("HEAD", ".png") <= 2


def test_read_object__words_what_is_wrong(store: ObjectStore) -> None:
    with pytest.raises(FileNotFoundError):
        read_object(f"{store.url}/absent")
    with pytest.raises(FileNotFoundError):
        read_object("s3://no-such-bucket/absent")


def test_put_file__replaces_nothing_where_it_is_to_be_new(store: ObjectStore, tmp_path: Path) -> None:
    url, file = f"{store.url}/put/x", tmp_path / "x"
    file.write_bytes(b"one")
    put_file(url, file, new=True)
    put_file(url, file, new=True)  # the answer to the first request was lost
    file.write_bytes(b"two")
    with pytest.raises(FileExistsError):
        put_file(url, file, new=True)
    assert read_object(url) == b"one"
    put_file(url, file, new=False)
    assert read_object(url) == b"two"


def test_object_file__reads_what_is_there_in_few_requests(store: ObjectStore) -> None:
    rng = np.random.default_rng(0)
    data = rng.bytes(300_000)
    url = store.put("file", data)
    file = ObjectFile(url, ahead=50_000, tail=10_000)
    for _ in range(50):
        start, count = int(rng.integers(0, len(data))), int(rng.integers(1, 20_000))
        file.seek(start)
        assert file.read(count) == data[start : start + count]
    store.requests.clear()
    file = ObjectFile(url, ahead=len(data), tail=10_000)
    file.seek(-8, io.SEEK_END)
    assert file.read() == data[-8:]
    file.seek(0)
    assert file.read() == data
    assert store.requested("GET", "file") == 2  # its end, and all of it


def test_requests__wait_for_a_store_that_comes_back(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = store.put("back", b"here")
    store.stop()
    later = threading.Timer(1.0, store.start)
    later.start()
    assert read_object(url) == b"here"
    later.join()
    store.stop()
    try:
        monkeypatch.setenv(PATIENCE_NAME, "0.5")
        with pytest.raises(StoreError, match=r"s3://bucket does not answer .* run the same command again"):
            read_object(url)
    finally:
        store.start()


class _AnswerError(Exception):
    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}


def test_requests__that_met_another_writer_are_repeated_or_find_what_is_there(store: ObjectStore) -> None:
    answers = [_AnswerError("ConditionalRequestConflict", 409), _AnswerError("PreconditionFailed", 412)]

    def put(*_: object) -> None:
        raise answers.pop(0)

    with pytest.raises(FileExistsError):
        send(f"{store.url}/x", put)
    assert not answers


class _Answers(BaseHTTPRequestHandler):
    """A web server: a file that is cut short, one that is busy at first, and a store that takes nobody."""

    busy, code = 2, b"InvalidAccessKeyId"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def do_GET(self) -> None:
        if self.path == "/busy" and _Answers.busy:
            _Answers.busy -= 1
            self._answer(503, b"")
        elif self.path in ("/busy", "/cut"):
            self._answer(200, b"0123456789", cut=self.path == "/cut")
        elif self.path == "/denied":
            self._answer(403, b"")
        else:
            self._answer(403, b"<Error><Code>%s</Code><Message>who?</Message></Error>" % self.code)

    def _answer(self, status: int, body: bytes, *, cut: bool = False) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:4] if cut else body)
            self.wfile.flush()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[str]:
    pytest.importorskip("aiohttp")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_requests__over_http(web: str) -> None:
    assert read_whole(f"{web}/busy", 1000)[0] == b"0123456789"
    with pytest.raises(CutShortError):
        read_whole(f"{web}/cut", 1000)
    with pytest.raises(PermissionError):
        read_whole(f"{web}/denied", 1000)
    with pytest.raises(OSError, match="larger than"):
        read_whole(f"{web}/busy", 5)
    with pytest.raises(RedDinoError, match="does not list its files"):
        list_objects(web, below=True)
    with pytest.raises(RedDinoError, match="read and not written"):
        put_bytes(f"{web}/x", b"")


def test_requests__name_credentials_that_are_not_taken(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs")
    for name, value in (("ACCESS_KEY_ID", "nobody"), ("SECRET_ACCESS_KEY", SECRET), ("ENDPOINT_URL", web)):
        monkeypatch.setenv(f"AWS_{name}", value)
    file_system.cache_clear()
    try:
        for ask in (object_state, read_object):
            with pytest.raises(StoreError, match="does not take the credentials") as refused:
                ask("s3://bucket/a.png")
            assert SECRET not in str(refused.value)
    finally:
        file_system.cache_clear()


def test_claim__keeps_a_second_writer_out_and_goes_at_the_end(store: ObjectStore) -> None:
    folder = f"{store.url}/claimed"
    with claimed_folder(folder):
        assert store.names("claimed") == [CLAIM]
        with pytest.raises(RedDinoError, match="another pass is writing"), claimed_folder(folder):
            pass
    assert store.names("claimed") == []


def test_claim__of_another_machine_counts_while_it_is_renewed(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "DEAD", 1.2)
    folder = f"{store.url}/elsewhere"
    url = store.put(f"elsewhere/{CLAIM}", json.dumps({"owner": "them", "renewed": 1}).encode())
    renewal = threading.Timer(
        0.4, lambda: put_bytes(url, json.dumps({"owner": "them", "renewed": 2}).encode())
    )
    renewal.start()
    with pytest.raises(RedDinoError, match="another pass is writing"), claimed_folder(folder):
        pass
    renewal.join()
    with claimed_folder(folder):  # it is renewed no more
        assert json.loads(read_object(url))["owner"] != "them"


def test_claim__that_was_lost_stops_what_is_put(store: ObjectStore, tmp_path: Path) -> None:
    folder = Path(f"{store.url}/lost")
    with claimed_folder(url_of(folder) or ""):
        with atomic_path(folder / "part.parquet") as partial:
            partial.write_bytes(b"mine")
        with (
            pytest.raises(RedDinoError, match="another pass is writing"),
            atomic_path(folder / "b") as partial,
        ):
            partial.write_bytes(b"mine")
            store.put(f"lost/{CLAIM}", json.dumps({"owner": "them"}).encode())
    assert store.names("lost") == [CLAIM, "part.parquet"]
    with (
        pytest.raises(RedDinoError, match="embed alone writes its table to a URL"),
        atomic_path(folder / "b"),
    ):
        pass


def test_claim__of_a_pass_that_fails_is_not_waited_for(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PATIENCE_NAME, "100000")
    folder = f"{store.url}/failing"
    try:
        with pytest.raises(KeyboardInterrupt), claimed_folder(folder):
            store.stop()
            raise KeyboardInterrupt
    finally:
        store.start()
    assert store.names("failing") == [CLAIM]
    with claimed_folder(folder):
        pass
    assert store.names("failing") == []


def test_claim__is_renewed(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "RENEWED", 0.05)
    with claimed_folder(f"{store.url}/renewed"):
        end = time.monotonic() + 20
        while json.loads(store.get(f"renewed/{CLAIM}"))["renewed"] < 3 and time.monotonic() < end:
            time.sleep(0.05)
        assert json.loads(store.get(f"renewed/{CLAIM}"))["renewed"] >= 3


def test_requests__that_are_not_permitted_end_in_a_sentence(
    web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    for name, value in (("ACCESS_KEY_ID", "nobody"), ("SECRET_ACCESS_KEY", SECRET), ("ENDPOINT_URL", web)):
        monkeypatch.setenv(f"AWS_{name}", value)
    file_system.cache_clear()
    monkeypatch.setattr(_Answers, "code", b"AccessDenied")
    folder = "s3://bucket/table"
    try:
        for done, ask in (
            ("listed", lambda: list_objects(folder, below=False)),
            ("listed", lambda: list_objects(folder, below=True)),
            ("written", lambda: put_bytes(f"{folder}/x", b"")),
            ("read", lambda: claims.claimed_folder(folder).__enter__()),
        ):
            with pytest.raises(StoreError, match=rf"cannot be {done}: the store gives no permission"):
                ask()
    finally:
        file_system.cache_clear()
