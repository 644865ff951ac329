"""The review's page with many cells: time to open, to confirm a label, to fit and rank again, and memory.

    python benchmarks/review_page.py --cells 200000

Writes a table of made-up vectors (a mixture of twelve classes, the rarest 0.5 %) and fields with a disc for
each cell, runs `reddino review` on it, and drives it over HTTP and in a headless Chromium.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pyarrow as pa

from reddino.embedding.part_files import PartRecord
from reddino.embedding.table_writer import TableWriter

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
CLASSES, PER_FIELD, ACROSS, SIDE = 12, 200, 20, 32


def write_table(folder: Path, cells: int, dim: int) -> list[int]:
    """Write a table and its fields; return the class of each row."""
    draw = np.random.default_rng(0)
    fields = cells // PER_FIELD
    weights = np.r_[0.005, np.full(CLASSES - 1, 0.995 / (CLASSES - 1))]
    classes = draw.choice(CLASSES, size=cells, p=weights)
    centres = draw.normal(size=(CLASSES, dim)).astype(np.float32)
    meta: dict[str, Any] = {"model": "made up", "weights_hash": "0" * 16, "pooling": "cls", "dim": dim}
    meta |= {"preprocessing": {}, "precision": "fp32", "dtype": "float32", "images": fields, "plan": "0"}
    meta |= {"view": {"kind": "cells"}, "data": "0" * 16, "part_rows": 4096, "provenance": {"version": "0"}}
    place = np.arange(PER_FIELD)
    xs, ys = place % ACROSS * SIDE + SIDE / 2, place // ACROSS * SIDE + SIDE / 2
    (folder / "images").mkdir()
    writer = None
    step = 20
    for first in range(0, fields, step):
        numbers = range(first, min(first + step, fields))
        rows = np.arange(numbers[0] * PER_FIELD, (numbers[-1] + 1) * PER_FIELD)
        for field in numbers:
            picture = draw.integers(205, 235, (PER_FIELD // ACROSS * SIDE, ACROSS * SIDE, 3), dtype=np.uint8)
            for x, y, kind in zip(xs, ys, classes[field * PER_FIELD :], strict=False):
                cv2.circle(picture, (int(x), int(y)), 11, (90 + 8 * int(kind), 60, 190 - 10 * int(kind)), -1)
            cv2.imwrite(str(folder / "images" / f"{field}.jpg"), picture)
        of_field = np.repeat(list(numbers), PER_FIELD)
        table = pa.table(
            {
                "path": [f"{field}.jpg" for field in of_field],
                "source": [f"lab {field % 4}" for field in of_field],
                "slide": [f"slide {field // 10}" for field in of_field],
                "patient": [f"patient {field // 20}" for field in of_field],
                "view_x": np.tile(xs, len(numbers)),
                "view_y": np.tile(ys, len(numbers)),
                "view_side": np.full(len(rows), float(SIDE)),
            }
        )
        noise = draw.normal(size=(len(rows), dim)).astype(np.float32)
        writer = writer or TableWriter(folder / "table", meta, table.schema)
        record = PartRecord(numbers[0], numbers[-1] + 1, len(rows), len(rows))
        writer.write(record, table, centres[classes[rows]] + 1.5 * noise)
    return [int(one) for one in classes]


class Client:
    """Speaks to the server as the page does."""

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=address.rstrip("/"), timeout=120)
        secret = self.http.get("/api/start").json()["csrf"]
        self.http.headers["x-reddino-csrf"] = secret
        self.acts = 0

    def post(self, name: str, **body: Any) -> Any:
        """Post to the server."""
        answer = self.http.post(f"/api/{name}", json={"reader": "ada", **body})
        answer.raise_for_status()
        return answer.json()

    def label(self, row: int, kind: int) -> float:
        """Label a cell; return the seconds until it is confirmed."""
        self.acts += 1
        started = time.perf_counter()
        self.post("act", kind="label", rows=[row], class_number=kind + 1, token=f"act {self.acts}")
        return time.perf_counter() - started

    def settled(self) -> float:
        """Wait until nothing is fitted or ranked; return the seconds."""
        started = time.perf_counter()
        while True:
            found = self.http.get("/api/overview", params={"reader": "ada"}).json()
            if not found["model"]["busy"] and not found["ranking"]:
                return time.perf_counter() - started
            time.sleep(0.05)


def milliseconds(values: list[float]) -> dict[str, float]:
    """Return the median and the 95th percentile."""
    found = np.percentile(1000 * np.array(values), [50, 95])
    return {"median": round(float(found[0]), 1), "p95": round(float(found[1]), 1)}


def processor_seconds(process: int) -> float:
    """Return the seconds that a process has computed: what other work on the machine does not lengthen."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def in_browser(address: str, labels: int) -> dict[str, Any]:
    """Open the page three times, and label by keyboard; milliseconds."""
    from playwright.sync_api import sync_playwright

    opened, confirmed = [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for _ in range(3):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            started = time.perf_counter()
            page.goto(address)
            page.locator("body[data-ready]").wait_for()
            opened.append(time.perf_counter() - started)
        for number in range(labels):
            row = page.locator(".tile.here:not(.given)").get_attribute("data-row")
            confirmed.append(page.evaluate(KEY, [row, str(1 + number % 9)]))
        browser.close()
    return {"open ms": milliseconds(opened), "key to confirmed label ms": milliseconds(confirmed)}


# From the key to the tile that says that the label is on the disk.
KEY = """async ([row, key]) => { const start = performance.now();
  document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const tile = document.getElementById(`cell-${row}`);
  while (tile.isConnected && (!tile.classList.contains('given') || tile.classList.contains('waiting')))
    await new Promise(requestAnimationFrame);
  return (performance.now() - start) / 1000; }"""


def measure(folder: Path, classes: list[int], labels: int, threads: int) -> dict[str, Any]:
    """Run the server and measure it."""
    names = [f"class {number}" for number in range(CLASSES)]
    command = [
        sys.executable,
        "-m",
        "reddino",
        "review",
        str(folder / "table"),
        "--images",
        str(folder / "images"),
    ]
    command += [
        "--no-browser",
        "--port",
        "0",
        "--reader",
        "ada",
        "--refit-after",
        "100000",
        "--classes",
        *names,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        assert server.stdout is not None
        address = re.search(r"http://\S+", server.stdout.readline())
        assert address is not None
        found: dict[str, Any] = {"command to address s": round(time.perf_counter() - started, 1)}
        try:
            client = Client(address[0])
            begun = processor_seconds(server.pid)
            client.post("cells", query={}, count=28)
            found["first order s"] = round(client.settled(), 1)
            found["first order, processor s"] = round(processor_seconds(server.pid) - begun, 1)
            found |= in_browser(address[0], 20)
            draw = np.random.default_rng(1)
            rows = draw.choice(len(classes), labels, replace=False).tolist()
            begun = processor_seconds(server.pid)
            found["label ms"] = milliseconds([client.label(row, classes[row]) for row in rows])
            spent = processor_seconds(server.pid) - begun
            found["label, processor ms"] = round(1000 * spent / labels, 1)
            begun = processor_seconds(server.pid)
            client.post("refit")
            found["fit, score and rank s"] = round(client.settled(), 1)
            found["fit, score and rank, processor s"] = round(processor_seconds(server.pid) - begun, 1)
            found["of which fit s"] = client.http.get("/api/overview?reader=ada").json()["model"]["seconds"]
            client.post("refit")
            busy = [client.label(row, classes[row]) for row in draw.choice(len(classes), 40).tolist()]
            found["label while it is fitted ms"] = milliseconds(busy)
            status = Path(f"/proc/{server.pid}/status").read_text()
            peak = re.search(r"VmHWM:\s+(\d+)", status)
            found["load average"] = os.getloadavg()[0]
            found["peak MB"] = round(int(peak[1]) / 1024) if peak else None
        finally:
            server.terminate()
    return found


def main() -> None:
    """Write the table, measure, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--labels", type=int, default=300)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        classes = write_table(Path(folder), options.cells, options.dim)
        found = {"cells": options.cells, "dim": options.dim, "labels": options.labels}
        print(json.dumps(found | measure(Path(folder), classes, options.labels, options.threads)))


if __name__ == "__main__":
    main()
