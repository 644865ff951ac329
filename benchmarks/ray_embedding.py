"""The pass on a local Ray cluster beside the pass of one process: `python benchmarks/ray_embedding.py`.

`--kills 20` kills workers, nodes (the raylet of a second one) and drivers at random moments instead, and
compares every finished table with one of a pass that nobody disturbed. Either prints a line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from embedding import draw_files
from reddino.embedding.baselines import ColourHistogram
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.open_encoder import open_encoder
from reddino.embedding.part_files import finished_parts
from reddino.embedding.ray_pass import RayPass
from reddino.embedding.runtimes.choice import use_runtime
from reddino.embedding.table import read_embeddings
from reddino.foundations.stages import shown_by
from reddino.networks.encoder import Encoder
from reddino.smears.readers import read_folder
from reddino.views.spec import ViewSpec

KINDS = ("worker", "node", "driver")
#: Seconds that the encoder of the passes that are killed takes for a batch of 4 images.
DELAY = 0.05


class SlowHistogram(ColourHistogram):
    """A colour histogram that takes its time, so that kills strike it at work."""

    def embed(self, images: NDArray[np.uint8], pooling: Any = "cls", /) -> NDArray[np.float32]:
        """Return what the histogram returns, later."""
        time.sleep(DELAY)
        return super().embed(images, pooling)


def cpu_seconds() -> float:
    """Return the CPU time of this process, and of workers whose raylet it started."""
    ticks = 0
    for pid, parent in _workers().items():
        try:
            if _stat(parent)[1] == os.getpid():
                ticks += sum(_stat(pid)[11:13])
        except OSError:
            continue
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Moments:
    """Wall and CPU time of a pass: of this process, and of the workers of a cluster that it started."""

    began: float = field(default_factory=time.perf_counter)
    began_cpu: float = field(default_factory=cpu_seconds)

    @contextmanager
    def of_stage(self, name: str) -> Iterator[Any]:
        """Begin anew where a stage ends: the pass begins when a worker is there."""
        yield lambda done, total: None
        if name == "starting workers":
            self.began, self.began_cpu = time.perf_counter(), cpu_seconds()

    def measured(self, images: int, started: float, cpu: float) -> dict[str, float]:
        """Return rates of all the command, of the pass, and by CPU time."""
        now = time.perf_counter()
        return {
            "with_start_per_second": round(images / (now - started), 1),
            "per_second": round(images / (now - self.began), 1),
            "per_cpu_second": round(images / (cpu - self.began_cpu), 1),
            "load": round(os.getloadavg()[0], 1),
        }


def rates(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Time the passes in turns: of one process, of one whose network has one thread, and on Ray."""
    files = place / "files"
    draw_files(files, options.images, options.size)
    manifest = read_folder(files)
    encoder = open_encoder(options.model, image_size=options.input, device="cpu", precision="fp32")
    if isinstance(encoder, Encoder):
        blank = np.zeros((2, options.input, options.input, 3), np.uint8)
        use_runtime(encoder, "torch", "fp32", sample=blank, views=0)
    found: dict[str, list[dict[str, float]]] = {"one": [], "one_thread": [], "ray": []}
    threads = torch.get_num_threads()
    for number in range(options.rounds):
        for name, measured in found.items():
            torch.set_num_threads(1 if name == "one_thread" else threads)
            started, moments, cpu = time.perf_counter(), Moments(), [0.0]

            def note(done: int, total: int, last: list[float] = cpu) -> None:
                if done >= options.images:
                    last[0] = cpu_seconds()

            with shown_by(moments.of_stage):
                embed_manifest(
                    manifest,
                    encoder,
                    place / f"{name}-{number}",
                    view=ViewSpec(kind="image", output=encoder.input_size),
                    driver=RayPass(workers=options.workers, device="cpu") if name == "ray" else None,
                    progress=note,
                )
            measured.append(moments.measured(options.images, started, cpu[0]))
    tables = [read_embeddings(place / f"{name}-0") for name in ("one", "ray")]
    return {
        "images": options.images,
        "workers": options.workers,
        **found,
        "rows_equal": tables[0].table.equals(tables[1].table),
        "largest_difference": float(np.abs(tables[0].vectors - tables[1].vectors).max()),
    }


def drive(folder: Path, address: str) -> None:
    """The pass that is killed; with address `none` the one that is not."""
    embed_manifest(
        read_folder(folder / "files"),
        SlowHistogram(32),
        folder / ("whole" if address == "none" else "table"),
        view=ViewSpec(kind="image", output=32),
        part_rows=16,
        batch_size=4,
        driver=None if address == "none" else RayPass(address, 2, "cpu"),
    )


class Killer:
    """A cluster of two nodes of one core, and a driver on it, one of which is killed at a time."""

    def __init__(self, place: Path, seed: int) -> None:
        from ray.cluster_utils import Cluster

        self.place, self.draw = place, random.Random(seed)
        self.options = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=self.options)
        self.second = self.cluster.add_node(**self.options)
        self.driver: subprocess.Popen[bytes] | None = None
        self.struck: Counter[str] = Counter()
        self.missed = self.finished = 0

    def run(self, kills: int) -> None:
        """Kill until so many have struck a pass at work; compare each table that is finished."""
        while sum(self.struck.values()) < kills:
            if self.driver is None:
                self._start()
            kind = KINDS[sum(self.struck.values()) % len(KINDS)]
            if not self._wait(self.draw.randint(1, 8)):
                self._compare()
                continue
            time.sleep(self.draw.random() * 0.3)
            if self._kill(kind):
                self.struck[kind] += 1
                print(kind, len(finished_parts(self.place / "table")), flush=True, file=sys.stderr)
            else:
                self.missed += 1
        if self.driver is None:
            self._start()
        while self._wait(1):
            pass
        self._compare()

    def _start(self) -> None:
        command = [sys.executable, __file__, "--drive", str(self.place), self.cluster.address]
        self.driver = subprocess.Popen(command)

    def _wait(self, parts: int) -> bool:
        """Wait for so many further parts; return whether the driver works on."""
        assert self.driver is not None
        wanted = len(finished_parts(self.place / "table")) + parts
        while self.driver.poll() is None:
            if len(finished_parts(self.place / "table")) >= wanted:
                return True
            time.sleep(0.02)
        if self.driver.returncode:
            raise RuntimeError(f"the driver ended with {self.driver.returncode}")
        return False

    def _kill(self, kind: str) -> bool:
        assert self.driver is not None
        if kind == "driver":
            self.driver.kill()
            code = self.driver.wait()
            self.driver = None
            return code == -signal.SIGKILL
        raylet = _raylet(self.second)
        if kind == "node":
            os.kill(raylet, signal.SIGKILL)
            self.cluster.remove_node(self.second, allow_graceful=False)
            self.second = self.cluster.add_node(**self.options)
            return True
        ours = {raylet, _raylet(self.cluster.head_node)}
        workers = [pid for pid, parent in _workers().items() if parent in ours]
        if workers:
            os.kill(self.draw.choice(workers), signal.SIGKILL)
        return bool(workers)

    def _compare(self) -> None:
        """Require the table of the undisturbed pass, and nothing besides; then make room for the next."""
        table, whole = self.place / "table", self.place / "whole"
        one, other = read_embeddings(whole), read_embeddings(table)
        names = sorted(path.name for path in whole.iterdir())
        if not (
            one.table.equals(other.table)
            and np.array_equal(one.vectors, other.vectors)
            and names == sorted(path.name for path in table.iterdir())
        ):
            raise RuntimeError("a table after kills differs from the undisturbed one")
        shutil.rmtree(table)
        self.finished += 1
        self.driver = None

    def close(self) -> None:
        """End what was started."""
        if self.driver is not None:
            self.driver.kill()
            self.driver.wait()
        self.cluster.shutdown()


def _raylet(node: Any) -> int:
    return int(node.all_processes["raylet"][0].process.pid)


def _stat(pid: int) -> list[int]:
    """Return the numbers of /proc/PID/stat after the state: parent first, CPU ticks at 11 and 12."""
    return [0, *map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:20])]


def _workers() -> dict[int, int]:
    """Return the processes that hold a worker of a pass, with the raylets that are their parents."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes().startswith(b"ray::RunWorker"):
                found[int(folder.name)] = _stat(int(folder.name))[1]
        except OSError:
            continue
    return found


def kills(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    """Kill at random, and count."""
    draw_files(place / "files", options.images, options.size)
    drive(place, "none")
    killer = Killer(place, options.seed)
    try:
        killer.run(options.kills)
    finally:
        killer.close()
    return {
        "images": options.images,
        "kills": dict(killer.struck),
        "tables_compared": killer.finished,
        "all_equal": True,
        "load": round(os.getloadavg()[0], 1),
    }


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--size", type=int, default=64, help="side of the drawn JPEG files in pixels")
    parser.add_argument("--model", default="reddino-tiny")
    parser.add_argument("--input", type=int, default=112, help="side of the network's input in pixels")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drive", nargs=2, metavar=("FOLDER", "ADDRESS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.drive:
        drive(Path(options.drive[0]), options.drive[1])
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps((kills if options.kills else rates)(options, Path(folder))))


if __name__ == "__main__":
    main()
