"""A drawn whole smear of 40,000 x 20,000 pixels: cells against truth, memory, speed, and the monolayer.

`python benchmarks/slides.py` draws the slide once (into --folder), surveys it, embeds a part of its cells,
and runs a straightforward script of OpenSlide, scikit-image and timm beside it, on some of its tiles. Each
step is a process of its own, whose peak memory is measured. Speeds are given by the clock, and by the seconds
of the processor, which other work on the machine does not change. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

Real = npt.NDArray[np.float64]
#: Tiles of the plain script, in pixels a side; a cell is found within this many diameters of its centre.
TILE, NEAR = 2048, 0.5
#: Bodies that are no red cells.
OTHERS = ("white cell", "platelet")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/reddino-slides"))
    parser.add_argument("--width", type=int, default=40_000)
    parser.add_argument("--height", type=int, default=20_000)
    parser.add_argument("--um-per-px", type=float, default=0.2)
    parser.add_argument("--cells", type=int, default=5000, help="cells that are embedded")
    parser.add_argument("--tiles", type=int, default=8, help="tiles of the plain script")
    parser.add_argument("--step", choices=("draw", "find", "embed", "plain"))
    options = parser.parse_args()
    if options.step:
        print(json.dumps(STEPS[options.step](options)))
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"hardware": _hardware(), "load_before": os.getloadavg()[0]}
    for step in STEPS:
        report[step] = _in_own_process(step)
        print(step, json.dumps(report[step]), file=sys.stderr, flush=True)
    found, embedded, plain = report["find"], report["embed"], report["plain"]
    ours = 1 / found["cells_per_cpu_s"] + 1 / embedded["cells_per_cpu_s"]
    theirs = 1 / plain["found_per_cpu_s"] + 1 / plain["embedded_per_cpu_s"]
    report["times_less_cpu_to_find_and_embed"] = round(theirs / ours, 2)
    report["load_after"] = os.getloadavg()[0]
    print(json.dumps(report))


def _hardware() -> str:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        lines = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {os.cpu_count()} threads"


def _in_own_process(step: str) -> dict[str, Any]:
    """Run a step, and note its time and the peak of its memory."""
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], "--step", step], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = process.stdout.read().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"step {step} failed")
    result: dict[str, Any] = json.loads(lines[-1])
    result["wall_s"] = round(time.perf_counter() - started, 1)
    result["peak_gb"] = round(usage.ru_maxrss / 1e6, 3)
    return result


def _draw(options: argparse.Namespace) -> dict[str, Any]:
    from reddino.synthetic.whole_slide.settings import SlideSettings
    from reddino.synthetic.whole_slide.slide_file import write_slide

    slide = _slide(options)
    if not slide.exists():
        write_slide(slide, SlideSettings(options.width, options.height, seed=1, um_per_px=options.um_per_px))
    return {"bodies": len(_truth(options)), "file_mb": round(slide.stat().st_size / 1e6)}


def _slide(options: argparse.Namespace) -> Path:
    return Path(options.folder) / f"slide-{options.width}x{options.height}-{options.um_per_px}.tif"


def _truth(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(_slide(options).with_suffix(".truth.parquet")).to_pylist()
    return rows


def _find(options: argparse.Namespace) -> dict[str, Any]:
    """Survey the whole slide; compare cells, doubles and monolayer with the truth."""
    from reddino.regions.slide_cells import find_all_cells
    from reddino.smears.opening import open_data

    folder = Path(options.folder) / "survey"
    shutil.rmtree(folder, ignore_errors=True)
    started, busy = time.perf_counter(), time.process_time()
    cells = find_all_cells(open_data(_slide(options)), folder=folder)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    centres = np.column_stack([np.array(cells.strings(f"level0_{axis}"), float) for axis in "xy"])
    diameter = float(np.median(cells.numbers("cell_diameter")))
    region = np.array(cells.strings("region"))
    result: dict[str, Any] = {
        "cells": len(cells),
        "seconds": round(seconds, 1),
        "cells_per_s": round(len(cells) / seconds, 1),
    }
    result |= {"cpu_s": round(busy, 1), "cells_per_cpu_s": round(len(cells) / busy, 1)}
    result["megapixels_per_s"] = round(options.width * options.height / 1e6 / seconds, 2)
    result |= _scores(centres, _truth(options), diameter)
    result["doubles_across_regions"] = _doubles(centres, region, diameter)
    result["monolayer_iou"] = _monolayer_iou(options, folder)
    return result


def _scores(centres: Real, truth: list[dict[str, Any]], diameter: float) -> dict[str, Any]:
    """Return F1 against the truth, of all red cells and of those without a fault by zone."""
    from scipy.spatial import cKDTree

    red = [row for row in truth if row["label"] not in OTHERS and row["whole"]]
    places = np.array([(row["cx"], row["cy"]) for row in red])
    apart, nearest = (np.asarray(values) for values in cKDTree(places).query(centres))
    back = np.asarray(cKDTree(centres).query(places)[1])
    right = (back[nearest] == np.arange(len(centres))) & (apart < NEAR * diameter)
    hit = np.zeros(len(red), np.bool_)
    hit[nearest[right]] = True
    zone = np.array([row["zone"] for row in red])
    clear = np.array([not row["fault"] for row in red])
    scores: dict[str, Any] = {"f1_all": _f1(right, hit)}
    for name in ("thick part", "monolayer", "feathered edge"):
        there = (zone[nearest] == name) & clear[nearest]
        scores[f"f1_{name.replace(' ', '_')}"] = _f1(right[there], hit[(zone == name) & clear])
    return scores


def _f1(right: npt.NDArray[np.bool_], hit: npt.NDArray[np.bool_]) -> float:
    precision, recall = float(right.mean()), float(hit.mean())
    return round(2 * precision * recall / (precision + recall), 4)


def _doubles(centres: Real, region: npt.NDArray[np.str_], diameter: float) -> int:
    """Return pairs of cells of different regions whose centres are under half a diameter apart."""
    from scipy.spatial import cKDTree

    pairs = cKDTree(centres).query_pairs(NEAR * diameter, output_type="ndarray")
    return int((region[pairs[:, 0]] != region[pairs[:, 1]]).sum())


def _monolayer_iou(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Return the overlap of the monolayer that was found with the one drawn, with and without its faults."""
    from contextlib import ExitStack

    from reddino.regions.quality import judged_slides
    from reddino.regions.survey import survey
    from reddino.smears.opening import open_data

    with ExitStack() as kept:
        quality = judged_slides(survey(open_data(_slide(options)), folder, kept))[0]
    with np.load(_slide(options).with_suffix(".masks.npz")) as masks:
        zones, faults = masks["zones"], masks["faults"]
    found = np.zeros(zones.shape, np.bool_)
    for (x, y, w, h), area in zip(quality.squares[:, :4] / 32, quality.areas, strict=True):
        if area:
            found[round(y) : round(y + h), round(x) : round(x + w)] = True
    wanted = {"without_faults": (zones == 2) & (faults == 0), "whole_zone": zones == 2}
    return {name: round(float((found & own).sum() / (found | own).sum()), 4) for name, own in wanted.items()}


def _embed(options: argparse.Namespace) -> dict[str, Any]:
    """Embed some cells of the best regions, after the survey that is already there."""
    import reddino

    out = Path(options.folder) / "table"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    shutil.copytree(Path(options.folder) / "survey", out / "_survey")
    started, busy = time.perf_counter(), time.process_time()
    report = reddino.embed(
        _slide(options),
        "reddino-tiny",
        out,
        find_cells=True,
        cells=options.cells,
        cells_from="monolayer",
    )
    whole, busy = time.perf_counter() - started, time.process_time() - busy
    return {
        "cells": report.rows,
        "pass_s": round(report.seconds, 1),
        "cells_per_s": round(report.rows / report.seconds, 1),
        "with_reading_the_survey_s": round(whole, 1),
        "cpu_s": round(busy, 1),
        "cells_per_cpu_s": round(report.rows / busy, 1),
        "runtime": f"{report.runtime} {report.precision}",
    }


def _plain(options: argparse.Namespace) -> dict[str, Any]:
    """Do it as one would without RedDino: OpenSlide, a watershed of scikit-image, the same net in timm."""
    import openslide
    import timm
    import torch

    from reddino.networks import shipped

    folder = Path(shipped.__file__).parent.parent / "weights" / "reddino-tiny"
    net = timm.create_model(f"local-dir:{folder}", num_classes=0, pretrained=True).eval()
    about = json.loads((folder / "config.json").read_text())["pretrained_cfg"]
    slide = openslide.OpenSlide(_slide(options))
    truth, clock, busy = _truth(options), {"find": 0.0, "embed": 0.0}, {"find": 0.0, "embed": 0.0}
    rng = np.random.default_rng(0)
    corners = [
        (x, y)
        for x in range(0, options.width - TILE, TILE)
        for y in range(0, options.height - TILE, TILE)
        if 0.1 < x / options.width < 0.75
    ]
    found: list[Real] = []
    chosen = [corners[i] for i in rng.permutation(len(corners))[: options.tiles]]
    for x, y in chosen:
        started = time.perf_counter(), time.process_time()
        image = np.asarray(slide.read_region((x, y), 0, (TILE, TILE)).convert("RGB"))
        boxes = _watershed(image)
        clock["find"] += time.perf_counter() - started[0]
        busy["find"] += time.process_time() - started[1]
        started = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            for first in range(0, len(boxes), 64):
                net(_crops(image, boxes[first : first + 64], about))
        clock["embed"] += time.perf_counter() - started[0]
        busy["embed"] += time.process_time() - started[1]
        found.append(boxes[:, :2] + [x, y])
    centres = np.concatenate(found)
    inside = [
        row
        for row in truth
        if any(x <= row["cx"] < x + TILE and y <= row["cy"] < y + TILE for x, y in chosen)
    ]
    diameter = 7.0 / options.um_per_px
    return {
        "tiles": len(chosen),
        "cells": len(centres),
        "found_per_s": round(len(centres) / clock["find"], 1),
        "embedded_per_s": round(len(centres) / clock["embed"], 1),
        "found_per_cpu_s": round(len(centres) / busy["find"], 1),
        "embedded_per_cpu_s": round(len(centres) / busy["embed"], 1),
        "megapixels_per_s": round(len(chosen) * TILE * TILE / 1e6 / clock["find"], 2),
        **_scores(centres, inside, diameter),
    }


def _watershed(image: npt.NDArray[np.uint8]) -> Real:
    """Return centre and side (n, 3) of what Otsu's threshold and a watershed of the distances find."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.measure import regionprops
    from skimage.segmentation import watershed

    green = gaussian(image[..., 1], 1.0, preserve_range=True)
    mask = ndimage.binary_fill_holes(green < threshold_otsu(green))
    distance = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(distance, min_distance=9, labels=ndimage.label(mask)[0])
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    regions = regionprops(watershed(-distance, markers, mask=mask))
    sizes = np.sqrt([4 * one.area / np.pi for one in regions])
    usual = float(np.median(sizes))
    kept = [one for one, size in zip(regions, sizes, strict=True) if 0.5 * usual < size < 1.6 * usual]
    return np.array([(*one.centroid[::-1], 1.6 * usual) for one in kept]).reshape(-1, 3)


def _crops(image: npt.NDArray[np.uint8], boxes: Real, about: dict[str, Any]) -> Any:
    """Return the crops around some cells as a batch of the network."""
    import torch
    from PIL import Image

    size = about["input_size"][-1]
    whole = Image.fromarray(image)
    crops = [
        np.asarray(
            whole.crop((x - s / 2, y - s / 2, x + s / 2, y + s / 2)).resize(
                (size, size), Image.Resampling.BICUBIC
            )
        )
        for x, y, s in boxes
    ]
    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(about[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (batch - mean) / std


STEPS = {"draw": _draw, "find": _find, "embed": _embed, "plain": _plain}

if __name__ == "__main__":
    main()
