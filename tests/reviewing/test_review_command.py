"""`reddino review`: prints where it listens, loses no confirmed label, and refuses what does not fit."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from review_servers import started
from review_tables import write_review_table

from reddino.cli import main
from reddino.reviewing.database import ReviewDatabase
from reddino.reviewing.reader_name import default_reader


def _start(folder: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-m", "reddino", "review", str(folder / "table")]
    command += ["--images", str(folder / "images"), "--port", "0", "--no-browser", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    found = re.search(r"http://\S+", server.stdout.readline())
    assert found is not None
    return server, found[0]


def _client(address: str) -> httpx.Client:
    client = httpx.Client(base_url=address, timeout=60)
    client.headers["x-reddino-csrf"] = client.get("/api/start").json()["csrf"]
    return client


def _act(client: httpx.Client, row: int, token: str) -> Any:
    body = {"reader": "ada", "kind": "label", "rows": [row], "class_number": 1 + row % 2, "token": token}
    return client.post("/api/act", json=body).raise_for_status().json()


@pytest.mark.kills
@pytest.mark.usefixtures("forks")
def test_review__killed_while_labels_come_in_keeps_every_label_that_it_confirmed(
    tmp_path: Path, database_url: str
) -> None:
    write_review_table(tmp_path)
    confirmed: list[int] = []
    for start in (0, 48):
        server, address = started(tmp_path, database_url)
        client = _client(address)
        killer = threading.Timer(random.uniform(0.05, 0.8), server.kill)
        killer.start()
        try:
            for row in range(start, start + 48):
                _act(client, row, f"act {row}")
                confirmed.append(row)
        except httpx.HTTPError:
            pass
        killer.join()
        server.join(30)
        assert server.exitcode == -signal.SIGKILL
    with ReviewDatabase.open_existing(database_url) as database:
        labels = database.state().labels()
    assert {row: labels.get(row) for row in confirmed} == {
        row: "red" if row % 2 == 0 else "blue" for row in confirmed
    }
    # What was under way may have been written without its confirmation; nothing else.
    assert len(labels) - len(confirmed) in (0, 1, 2)


def test_review__two_browsers_that_label_at_once_lose_nothing(tmp_path: Path) -> None:
    write_review_table(tmp_path)
    server, address = _start(tmp_path, "--classes", "red", "blue", "--refit-after", "20")
    with ThreadPoolExecutor(4) as pool:
        clients = [_client(address) for _ in range(4)]
        acts = [pool.submit(_act, clients[row % 4], row, f"act {row}") for row in range(80)]
        numbers = [act.result()["event"] for act in acts]
    server.terminate()
    server.wait(30)
    assert len(set(numbers)) == 80
    with ReviewDatabase.open_existing(tmp_path / "table.review.sqlite") as database:
        assert sorted(database.state().labels()) == list(range(80))


def test_review__ends_on_sigterm_and_goes_on_where_it_was(tmp_path: Path) -> None:
    write_review_table(tmp_path)
    file = tmp_path / "classes.txt"
    file.write_text("red\n\nblue\n", "utf-8")
    server, address = _start(tmp_path, "--classes", str(file), "--reader", "Ada", "--goal", "7")
    assert address.startswith("http://127.0.0.1:") and "token" not in address
    client = _client(address)
    found = client.get("/api/overview", params={"reader": "Ada"}).json()
    assert [one["name"] for one in found["classes"]] == ["red", "blue"]
    assert (found["goal"], found["reader"], found["title"], found["answered"]) == (7, "Ada", "table", 0)
    _act(client, 3, "one")
    server.terminate()
    assert server.wait(30) == 130
    server, address = _start(tmp_path)
    assert _client(address).get("/api/overview", params={"reader": "Ada"}).json()["answered"] == 1
    server.terminate()
    server.wait(30)


@pytest.mark.parametrize(("user", "name"), [("ada", "ada"), ("root", "reader"), ("Administrator", "reader")])
def test_default_reader__is_the_user_unless_that_names_no_person(
    monkeypatch: pytest.MonkeyPatch, user: str, name: str
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: user)
    assert default_reader() == name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--goal", "0"), "positive number"),
        (("--um-per-px", "-1"), "no size of a pixel"),
        (("--port", "70000"), "port 70000"),
        (("--classes", "none.txt"), "no file of classes"),
        (("--classes", "latin.txt"), "latin.txt is not UTF-8 text"),
        (("--reader", ""), "name"),
        (("--group-by", "colour"), "colour"),
    ],
)
def test_review__refuses_what_does_not_fit_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], said: str
) -> None:
    table = write_review_table(tmp_path)
    (tmp_path / "latin.txt").write_bytes("sphérocyte".encode("latin-1"))
    options = tuple(str(tmp_path / one) if one == "latin.txt" else one for one in options)
    command = ["review", str(table), "--images", str(tmp_path / "images"), "--no-browser"]
    assert main([*command, *(("--port", "0") if "--port" not in options else ()), *options]) == 1
    error = capsys.readouterr().err
    assert said in error and "Traceback" not in error


def test_review__refuses_pictures_that_are_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_review_table(tmp_path)
    assert main(["review", str(table), "--images", str(tmp_path), "--no-browser", "--port", "0"]) == 1
    assert "none of the table's 8 images" in capsys.readouterr().err
    assert not (tmp_path / "table.review.sqlite").exists()
