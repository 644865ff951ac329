"""The report's interactive map in a headless Chromium: time to the first map, a frame, a search.

    python benchmarks/report_page.py --points 100000

Draws points of 30 classes, 200 patients and 4 sources, writes the map as `reddino report` does,
without pictures, and opens it from the disk.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from reddino.embedding.embeddings import Embeddings
from reddino.figures.overview import Overview
from reddino.figures.page.document import Document
from reddino.figures.page.interactive import interactive_map

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


def made_up(points: int) -> Overview:
    """A table of `points` rows with a ready map; its vectors are the map."""
    draw = np.random.default_rng(0)
    classes, patients = draw.integers(30, size=points), draw.integers(200, size=points)
    xy = draw.normal(size=(30, 2))[classes] * 6 + draw.normal(size=(points, 2))
    columns = pa.table(
        {
            "path": [f"field-{i // 20:06d}.png" for i in range(points)],
            "source": [f"laboratory {i % 4}" for i in patients],
            "patient": [f"patient {i}" for i in patients],
            "label": [f"class {i}" for i in classes],
            "view_x": draw.uniform(0, 640, points),
            "view_y": draw.uniform(0, 480, points),
            "view_side": np.full(points, 64.0),
        }
    )
    table = Embeddings(xy.astype(np.float32), columns, {"model": "made up"})
    return Overview(table, xy, draw.gamma(4, 0.25, points), None, "umap", 0, "label")


def measure(file: Path, points: int, runs: int) -> dict[str, object]:
    """Medians over `runs` page loads, in milliseconds from the start of the navigation."""
    from playwright.sync_api import sync_playwright

    first, frame, hover, search = [], [], [], []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for _ in range(runs):
            page = browser.new_page(viewport={"width": 1280, "height": 900}, bypass_csp=True)
            page.goto(file.as_uri())
            page.locator("#map[data-drawn]").wait_for()
            first.append(float(page.locator("#map").get_attribute("data-drawn") or "nan"))
            frame.append(page.evaluate(FRAME))
            hover.append(page.evaluate(HOVER))
            started = time.perf_counter()
            page.locator("#search").fill("class 7")
            page.locator("#listed", has_text=" 50 by").wait_for()
            page.locator("#listed:not(:has-text('" + str(points) + " of'))").wait_for()
            search.append(1000 * (time.perf_counter() - started))
            page.close()
        browser.close()
    return {
        "first map ms": [round(value) for value in first],
        "frame ms": round(float(np.median(frame)), 1),
        "hover ms": round(float(np.median(hover)), 2),
        "search ms": round(float(np.median(search))),
    }


FRAME = """async () => { const map = document.getElementById('map'); const times = [];
  for (let i = 0; i < 12; i++) {
    const before = map.dataset.frames, start = performance.now();
    map.dispatchEvent(new WheelEvent('wheel', {deltaY: i % 2 ? 60 : -60, clientX: 400, clientY: 400}));
    while (map.dataset.frames === before) await new Promise(requestAnimationFrame);
    times.push(performance.now() - start); }
  return times.sort((a, b) => a - b)[6]; }"""
HOVER = """() => { const map = document.getElementById('map'); const box = map.getBoundingClientRect();
  const start = performance.now();
  for (let i = 0; i < 200; i++) map.dispatchEvent(new PointerEvent('pointermove',
    {clientX: box.left + box.width * i / 200, clientY: box.top + box.height / 2}));
  return (performance.now() - start) / 200; }"""


def main() -> None:
    """Write the page, measure it, print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        parts, scripts = interactive_map(made_up(options.points), [], 19_000_000)
        page = Document("made up", "", sections=[("Map", "\n".join(parts))], scripts=scripts)
        file = Path(folder) / "report.html"
        file.write_text(page.html(), encoding="utf-8")
        written = time.perf_counter() - started
        size = file.stat().st_size / 1e6
        found = {"points": options.points, "written s": round(written, 1), "MB": round(size, 1)}
        print(json.dumps(found | measure(file, options.points, options.runs)))


if __name__ == "__main__":
    main()
