"""An S3 server on loopback, moto's or Ceph's, that can be stopped and started again."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from ceph_server import CephServer

from reddino.foundations.stores.requests import PATIENCE_NAME, file_system

BUCKET = "bucket"
KEY, SECRET = "someone", "s3cr3t-of-nobody"
#: The second where it is installed.
SERVERS = ("moto", "ceph")


class ObjectStore:
    """A server with one bucket; what it holds stays while it is stopped.

    Attributes:
        url: of the bucket.
        requests: (method, path) of what was requested, in order.
    """

    url = f"s3://{BUCKET}"

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[tuple[str, str]] = []
        self._server: Any = None
        self.start()

    def start(self) -> None:
        """Start, where it listened before."""
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()
        self.port = self._server.get_host_and_port()[1]

    def stop(self) -> None:
        """Stop listening; who is connected is cut off."""
        self._server.stop()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def files(self) -> Any:
        """The file system of fsspec, as the package has it."""
        return file_system("s3")

    def put(self, name: str, data: bytes | Path) -> str:
        """Put an object; its URL."""
        self.files.pipe_file(f"{BUCKET}/{name}", data if isinstance(data, bytes) else data.read_bytes())
        return f"{self.url}/{name}"

    def put_folder(self, folder: Path, name: str) -> str:
        """Put the files of a folder; the URL of what they are in."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{name}/{file.relative_to(folder).as_posix()}", file)
        return f"{self.url}/{name}"

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        found: bytes = self.files.cat_file(f"{BUCKET}/{name}")
        return found

    def delete(self, name: str) -> None:
        """Delete an object."""
        self.files.rm_file(f"{BUCKET}/{name}")

    def names(self, folder: str = "") -> list[str]:
        """The objects in a folder, by their names in it."""
        start = len(f"{BUCKET}/{folder}".rstrip("/")) + 1
        return sorted(name[start:] for name in self.files.find(f"{BUCKET}/{folder}"))

    def requested(self, method: str, ending: str) -> int:
        """How often something was requested."""
        return sum(how == method and path.partition("?")[0].endswith(ending) for how, path in self.requests)


class CephStore(ObjectStore):
    """The gateway of a Ceph cluster."""

    def __init__(self) -> None:
        self._ceph = CephServer(KEY, SECRET)
        self.port, self._seen = self._ceph.port, 0
        self._noted: list[tuple[str, str]] = []

    @property
    def requests(self) -> list[tuple[str, str]]:  # type: ignore[override]
        """What was requested since the list was cleared; the gateway may log a request after its answer."""
        time.sleep(0.2)
        found = self._ceph.requests()
        self._noted += found[self._seen :]
        self._seen = len(found)
        return self._noted

    def start(self) -> None:
        """Start, where it listened before."""
        self._ceph.start()

    def stop(self) -> None:
        """Kill the gateway."""
        self._ceph.stop()

    def remove(self) -> None:
        """Delete the cluster."""
        self._ceph.remove()


class _Requests(logging.Handler):
    """Reads the requests from the server's log."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self.store = store

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().partition('"')[2].replace("\x1b[", " ").split()
        for method, path in pairwise(words):
            if method.rpartition("m")[2] in ("GET", "HEAD", "PUT", "DELETE"):
                self.store.requests.append((method.rpartition("m")[2], path))
                return


def environment(endpoint: str) -> dict[str, str]:
    """What a process needs to reach a server."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_EC2_METADATA_DISABLED": "true",
        PATIENCE_NAME: "20",
    }


@contextmanager
def object_store(server: str = "moto") -> Iterator[ObjectStore]:
    """An empty server, and the environment of this process so that it is found; skips where there is none."""
    pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'reddino[stores]'")
    with _ceph() if server == "ceph" else _moto() as store:
        file_system.cache_clear()
        try:
            with (
                tempfile.TemporaryDirectory() as spool,
                patch.object(tempfile, "tempdir", spool),
                patch.dict(os.environ, {**environment(store.endpoint), "TMPDIR": spool}),
            ):
                store.files.mkdir(BUCKET)
                yield store
        finally:
            file_system.cache_clear()


@contextmanager
def _ceph() -> Iterator[ObjectStore]:
    store = CephStore()
    try:
        yield store
    finally:
        store.remove()


@contextmanager
def _moto() -> Iterator[ObjectStore]:
    pytest.importorskip("moto.server", reason="moto is not installed")
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].reset()
    store = ObjectStore()
    log = logging.getLogger("werkzeug")
    handler, level, through = _Requests(store), log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield store
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = through
        store.stop()
