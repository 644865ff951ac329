"""Ceph's S3 gateway (radosgw) on loopback, with a monitor and a store in memory behind it."""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = ("ceph", "ceph-authtool", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
_REQUEST = re.compile(r'"(GET|HEAD|PUT|POST|DELETE) (\S+) HTTP')
_SETTINGS = """
[global]
fsid = {fsid}
mon host = v2:127.0.0.1:{monitor}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail crit = 1
run dir = {folder}
admin socket = {folder}/$name.asok
pid file = {folder}/$name.pid
log file = {folder}/$name.log
keyring = {folder}/keyring
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 1073741824
rgw frontends = beast endpoint=127.0.0.1:{gateway}
"""


class CephServer:
    """A cluster of one monitor and one store in memory, whose gateway can be killed and started again.

    Args:
        key: of the one user.
        secret: of that user.
    """

    def __init__(self, key: str, secret: str) -> None:
        missing = [name for name in PROGRAMS if shutil.which(name) is None]
        if missing:
            pytest.skip(f"Ceph is not installed ({missing[0]}; in Debian: radosgw ceph-mon ceph-osd)")
        self._folder = Path(tempfile.mkdtemp(prefix="reddino-ceph-"))
        self._running: list[subprocess.Popen[bytes]] = []
        self._gateway: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        try:
            self._start_cluster()
            self._run("radosgw-admin", "user", "create", "--uid", key, "--display-name", key,
                      "--access-key", key, "--secret-key", secret)  # fmt: skip
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self) -> None:
        """Start the gateway, and wait until it listens."""
        self._gateway = self._begin("radosgw", "-n", "client.admin", "--no-mon-config")
        _wait(lambda: _listens(self.port), "the gateway")

    def stop(self) -> None:
        """Kill the gateway; what it had stored stays."""
        if self._gateway is not None:
            self._gateway.send_signal(signal.SIGKILL)
            self._gateway.wait()

    def remove(self) -> None:
        """Kill everything, and delete it."""
        for process in self._running:
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def requests(self) -> list[tuple[str, str]]:
        """(method, path) of what was requested so far, by the log."""
        log = self._folder / "client.admin.log"
        return _REQUEST.findall(log.read_text(errors="replace")) if log.exists() else []

    def _start_cluster(self) -> None:
        folder, fsid, monitor = self._folder, str(uuid.uuid4()), _free_port()
        settings = _SETTINGS.format(fsid=fsid, monitor=monitor, folder=folder, gateway=self.port)
        (folder / "ceph.conf").write_text(settings)
        for name in ("mon", "osd"):
            (folder / name).mkdir()
        keys = folder / "keyring"
        _call(
            "ceph-authtool",
            "--create-keyring",
            str(keys),
            "--gen-key",
            "-n",
            "mon.",
            "--cap",
            "mon",
            "allow *",
        )
        caps = [word for daemon in ("mon", "osd", "mgr") for word in ("--cap", daemon, "allow *")]
        _call("ceph-authtool", str(keys), "--gen-key", "-n", "client.admin", *caps)
        address = f"[v2:127.0.0.1:{monitor}]"
        _call("monmaptool", "--create", "--addv", "a", address, "--fsid", fsid, str(folder / "monmap"))
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(folder / "monmap"))
        self._begin("ceph-mon", "-i", "a")
        number = str(uuid.uuid4())
        self._run("ceph", "osd", "new", number)
        (folder / "osd.key").write_text(
            self._run("ceph", "auth", "get-or-create", "osd.0", "mon", "allow profile osd", "osd", "allow *")
        )
        _call("ceph-authtool", str(keys), "--import-keyring", str(folder / "osd.key"))
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", number)
        self._begin("ceph-osd", "-i", "0")
        self._run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=localhost")

    def _begin(self, program: str, *options: str) -> subprocess.Popen[bytes]:
        command = [program, "-c", str(self._folder / "ceph.conf"), *options, "-f"]
        quiet = subprocess.DEVNULL
        self._running.append(subprocess.Popen(command, stdout=quiet, stderr=quiet))
        return self._running[-1]

    def _run(self, program: str, *options: str) -> str:
        return _call(program, "-c", str(self._folder / "ceph.conf"), *options)


def _call(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end, f"{what} does not answer"
        time.sleep(0.05)
