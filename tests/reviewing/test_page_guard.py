"""The server of a review refuses foreign hosts, other sites, missing tokens and oversize bodies."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from review_tables import door, open_session
from starlette.testclient import TestClient

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.web.guard import MOST_BYTES, is_loopback
from reddino.reviewing.web.routes import review_app
from reddino.reviewing.web.serving import listen
from reddino.reviewing.web.session import ReviewSession

HERE = "http://127.0.0.1:5056"
GOOD = {"x-reddino-csrf": "the secret", "content-type": "application/json"}
READER = json.dumps({"reader": "ada"})


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReviewSession]:
    opened = open_session(tmp_path_factory.mktemp("guard"))
    yield opened
    opened.close()


@pytest.fixture
def client(session: ReviewSession) -> TestClient:
    return TestClient(review_app(session, door()), base_url=HERE)


@pytest.fixture
def closed_client(session: ReviewSession) -> TestClient:
    """A client of a server that other machines reach."""
    app = review_app(session, door(token="a token", names=frozenset({"scope.lab"})))
    return TestClient(app, base_url="http://192.0.2.7:5056", follow_redirects=False)


def test_page__comes_with_a_policy_that_runs_its_own_files_alone(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200 and "text/html" in answer.headers["content-type"]
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert "http" not in policy and "*" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/overview?reader=ada").headers["cache-control"] == "no-store"


def test_page__has_neither_inline_scripts_nor_styles_nor_foreign_addresses(client: TestClient) -> None:
    import re

    text = client.get("/").text
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?:", text)
    for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', text):
        assert client.get(name).status_code == 200, name


@pytest.mark.parametrize(
    "host", ["evil.example:5056", "127.0.0.1:80", "127.0.0.1", "localhost.evil:5056", ""]
)
def test_host__of_another_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/api/start", headers={"host": host})
    assert answer.status_code == 421 and "secret" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:5056", "localhost:5056", "[::1]:5056", "LOCALHOST:5056"])
def test_host__of_loopback_is_taken(client: TestClient, host: str) -> None:
    assert client.get("/api/start", headers={"host": host}).status_code == 200


def test_host__an_address_in_digits_is_no_name_of_a_server_on_loopback(client: TestClient) -> None:
    assert client.get("/", headers={"host": "192.0.2.7:5056"}).status_code == 421


def test_act__needs_the_secret_that_only_the_page_can_read(client: TestClient) -> None:
    assert client.post("/api/reader", content=READER, headers=GOOD).status_code == 200
    for wrong in ({}, {"x-reddino-csrf": "a guess"}, {"x-reddino-csrf": ""}):
        headers = {"content-type": "application/json", **wrong}
        assert client.post("/api/reader", content=READER, headers=headers).status_code == 403


@pytest.mark.parametrize(
    "foreign",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:5057"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_act__of_another_site_is_refused_even_with_the_secret(client: TestClient, foreign: Any) -> None:
    assert client.post("/api/reader", content=READER, headers={**GOOD, **foreign}).status_code == 403
    own = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert client.post("/api/reader", content=READER, headers={**GOOD, **own}).status_code == 200


def test_act__takes_json_alone_since_forms_cross_sites(client: TestClient) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        headers = {**GOOD, "content-type": kind}
        assert client.post("/api/reader", content=READER, headers=headers).status_code == 415


def test_reading__by_another_site_is_refused(client: TestClient) -> None:
    for path in ("/api/start", "/picture/0", "/static/main.js"):
        assert client.get(path, headers={"sec-fetch-site": "cross-site"}).status_code == 403


def test_body__that_is_too_long_is_refused_announced_or_not(client: TestClient) -> None:
    long = json.dumps({"reader": "x" * (MOST_BYTES + 1)})
    assert client.post("/api/reader", content=long, headers=GOOD).status_code == 413

    def in_pieces() -> Iterator[bytes]:
        for _ in range(MOST_BYTES // 1024 + 2):
            yield b" " * 1024

    assert client.post("/api/reader", content=in_pieces(), headers=GOOD).status_code == 413


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("act", {"reader": "ada", "kind": "label", "rows": [0], "token": "t", "class_number": "1"}),
        ("act", {"reader": "ada", "kind": "undo", "rows": [0], "token": "t"}),
        ("act", {"reader": "ada", "kind": "none", "rows": [-1], "token": "t"}),
        ("act", {"reader": "ada", "kind": "none", "rows": [96], "token": "t"}),
        ("act", {"reader": "ada", "kind": "none", "rows": [], "token": "t"}),
        ("act", {"reader": "ada", "kind": "none", "rows": [1, 1], "token": "t"}),
        ("act", {"reader": "", "kind": "none", "rows": [1], "token": "t"}),
        ("act", {"reader": "ada", "kind": "label", "rows": [1], "token": "t", "class_number": 99}),
        ("act", {"reader": "ada", "kind": "none", "rows": [1], "token": "t", "more": 1}),
        ("cells", {"reader": "ada", "query": {"order": "by luck"}}),
        ("class", {"reader": "ada", "change": "add", "name": ""}),
        ("class", {"reader": "ada", "change": "merge", "number": 1, "into": None}),
        ("reader", [1, 2]),
    ],
)
def test_body__that_does_not_fit_is_refused_in_one_sentence(client: TestClient, path: str, body: Any) -> None:
    answer = client.post(f"/api/{path}", content=json.dumps(body), headers=GOOD)
    assert answer.status_code == 400, answer.text
    assert "Traceback" not in answer.text and len(answer.json()["error"]) > 10


def test_body__that_is_no_json_is_refused(client: TestClient) -> None:
    for text in ("", "{", "[" * 100_000, '{"reader": NaN}', b"\xff\xfe"):
        assert client.post("/api/reader", content=text, headers=GOOD).status_code == 400


@pytest.mark.parametrize(
    "path",
    ["/static/../session.py", "/static/%2e%2e/session.py", "/static/..%2fsession.py", "/static/session.py"],
)
def test_static__gives_the_files_of_the_page_alone(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/picture/96", "/picture/0?size=9", "/picture/0?size=nan", "/field/96"])
def test_picture__of_no_cell_or_no_size_is_refused(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 400


def test_token__is_needed_by_every_request_of_a_server_that_others_reach(closed_client: TestClient) -> None:
    for path in (
        "/",
        "/api/start",
        "/picture/0",
        "/static/main.js",
        "/?token=guess",
        "/api/start?token=a token",
    ):
        assert closed_client.get(path).status_code == 401, path
    assert closed_client.post("/api/reader", content=READER, headers=GOOD).status_code == 401
    bearer = {"authorization": "Bearer a token"}
    assert closed_client.get("/api/start", headers=bearer).status_code == 200
    assert closed_client.post("/api/reader", content=READER, headers=bearer).status_code == 403


def test_token__of_the_address_becomes_a_cookie_that_no_script_reads(closed_client: TestClient) -> None:
    answer = closed_client.get("/?token=a token")
    assert answer.status_code == 303 and answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert closed_client.get("/").status_code == 200
    assert closed_client.post("/api/reader", content=READER, headers=GOOD).status_code == 200


def test_token__lets_in_by_address_or_known_name_and_by_no_other(closed_client: TestClient) -> None:
    bearer = {"authorization": "Bearer a token"}
    for host, status in (("scope.lab:5056", 200), ("198.51.100.1:5056", 200), ("evil.example:5056", 421)):
        assert closed_client.get("/api/start", headers={"host": host, **bearer}).status_code == status


def test_listen__on_loopback_needs_no_token_and_elsewhere_it_does() -> None:
    for host in ("127.0.0.1", "localhost"):
        bound = listen(host, 0)
        assert bound.socket.proto == socket.IPPROTO_TCP
        assert bound.door.token is None and bound.address.endswith(f":{bound.door.port}/")
        bound.socket.close()
    bound = listen("0.0.0.0", 0)
    assert bound.door.token and bound.address.endswith(f"?token={bound.door.token}")
    bound.socket.close()
    bound = listen("127.0.0.1", 0, with_token=True)
    assert bound.door.token
    assert len({bound.door.token, bound.door.csrf}) == 2
    with pytest.raises(RedDinoError, match="port"):
        listen("127.0.0.1", bound.door.port)
    bound.socket.close()
    assert is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("scope.lab")


def test_refusals__name_no_folder_of_the_server(client: TestClient, tmp_path: Path) -> None:
    for path in ("/nothing", "/static/nothing", "/api/nothing", "/picture/none"):
        answer = client.get(path)
        assert answer.status_code == 404 and "/work" not in answer.text and "reddino/" not in answer.text
