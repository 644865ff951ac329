"""A Ray cluster for a pass, one that exists or one that is started for it, and what its workers get of it."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any

from reddino.foundations.cores import usable_cores
from reddino.foundations.errors import RedDinoError

log = logging.getLogger(__name__)

#: Without an address, a cluster of this name is started.
LOCAL = "local"
#: Cores of a worker, where the number of workers was not given.
GROUP = 4
#: Seconds within which a cluster's port must answer.
_HEARD_WITHIN = 20.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: Bytes of the object store of a local cluster, next to the network that is sent through it.
_STORE_BYTES = 256_000_000


@dataclass(frozen=True)
class Shares:
    """What the workers of a pass have: their number, and the cores and GPUs of each."""

    workers: int
    cpus: int
    gpus: int = 0


def import_ray() -> Any:
    """Return the package ray.

    Raises:
        RedDinoError: it is not installed.
    """
    # Nothing of a hospital's cluster is reported to anybody, and no log line of Ray's own is of use here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise RedDinoError("a pass on Ray needs the package ray: pip install 'reddino[ray]'") from error
    return ray


def share(nodes: Sequence[Mapping[str, float]], workers: int, *, gpus: bool) -> Shares:
    """Divide the nodes of a cluster between workers: a GPU each, else a group of cores each.

    Args:
        nodes: resources of each, `CPU` and `GPU`.
        workers: their number; 0: by GPUs or groups of cores.
        gpus: whether the encoder computes on GPUs where there are any.
    """
    cores = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1] or [1]
    cards = [(int(node.get("GPU", 0)), int(node.get("CPU", 0))) for node in nodes if node.get("GPU", 0) >= 1]
    if gpus and cards:
        each = min(max(1, cpus // count) for count, cpus in cards)
        return Shares(workers or sum(count for count, _ in cards), min(GROUP, each), 1)
    if workers:
        return Shares(workers, max(1, min(sum(cores) // workers, max(cores))))
    group = min(GROUP, *cores)
    return Shares(sum(count // group for count in cores), group)


@contextmanager
def ray_cluster(ray: Any, address: str, workers: int, sent_bytes: int) -> Iterator[None]:
    """Connect to a cluster, or start one here, for as long as the context is open.

    Args:
        ray: the package.
        address: `local` starts a cluster; `auto`, `host:port` and `ray://host:port` name one.
        workers: for which a local cluster has cores.
        sent_bytes: of what is sent to each worker of a local cluster.

    Raises:
        RedDinoError: there is no cluster at that address.
    """
    if ray.is_initialized():  # by the program that called; it keeps its own
        yield
        return
    _require_heard(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        quiet |= {
            "num_cpus": max(usable_cores(), workers),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES + 2 * sent_bytes,
        }
    try:
        ray.init(address=address, **quiet)
    except Exception as error:  # ray raises errors of many kinds
        reason = last_line(error)
        ray.shutdown()
        raise RedDinoError(
            f"no Ray cluster at '{address}' ({reason}): give its address, or none to start one here"
        ) from error
    finally:
        _restore(handlers)
    try:
        with redirect_stdout(sys.stderr):  # Ray prints there what its nodes report, among a command's results
            yield
    finally:
        ray.shutdown()


def _require_heard(address: str) -> None:
    """Refuse the address of a port where nothing listens, which Ray itself would try for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _HEARD_WITHIN).close()
    except (OSError, OverflowError) as error:
        raise RedDinoError(
            f"no Ray cluster at '{address}' ({error}): give its address, or none to start one here"
        ) from error


def _restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Bring back what Ray's start replaced; outside of the main thread nothing was."""
    for number, handler in handlers.items():
        try:
            signal.signal(number, handler)
        except (ValueError, TypeError):
            return


def cluster_shares(ray: Any, workers: int, *, gpus: bool) -> Shares:
    """Return the shares of the cluster's workers."""
    return share([node["Resources"] for node in ray.nodes() if node["Alive"]], workers, gpus=gpus)


def last_line(error: Exception) -> str:
    """Return the end of Ray's error messages, without colours: the cause, after the places it came by."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
