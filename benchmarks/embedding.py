"""Embedding JPEG files into a table, beside the published README's way: `python benchmarks/embedding.py`.

The published way is timm's eager float32 network with PIL and timm's own transform, an image at a time; the
same in batches stands beside it. Runs alternate; ratios are medians over the rounds, each against the same
round's peer. The memory part runs the pass with torch.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image

import reddino
from reddino.embedding.embedding_pass import embed_manifest
from reddino.embedding.runtimes.check import agreement, sample_views, synthetic_cells
from reddino.embedding.runtimes.choice import use_runtime
from reddino.embedding.table import read_embeddings
from reddino.foundations.runtime import choose_runtime
from reddino.networks.encoder import Encoder, open_model
from reddino.networks.folder import save_model_folder
from reddino.smears.readers import read_folder
from reddino.views.spec import ViewSpec

Vectors = NDArray[np.float32]


def draw_files(folder: Path, count: int, size: int) -> list[Path]:
    """JPEG files of drawn cells; more than 200 repeat, under names of their own."""
    folder.mkdir(parents=True)
    pictures = synthetic_cells(min(count, 200), size)
    paths = []
    for number in range(count):
        paths.append(folder / f"{number:06d}.jpg")
        if number < len(pictures):
            Image.fromarray(pictures[number]).save(paths[-1], quality=92)
        else:
            os.link(paths[number % len(pictures)], paths[-1])
    return paths


def published_way(model: Path, paths: list[Path], batch: int) -> Vectors:
    """timm eager float32, PIL and timm's transform, `batch` images at a time."""
    network = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    vectors = []
    with torch.no_grad():
        for start in range(0, len(paths), batch):
            images = [transform(Image.open(path).convert("RGB")) for path in paths[start : start + batch]]
            vectors.append(network(torch.stack(images)).numpy())
    return np.concatenate(vectors)


def our_way(encoder: Encoder, files: Path, out: Path, batch: int) -> Vectors:
    """The real pass: files on disk to a table on disk."""
    embed_manifest(
        read_folder(files),
        encoder,
        out,
        view=ViewSpec(kind="image", output=encoder.input_size),
        batch_size=batch,
    )
    return read_embeddings(out).vectors


def compare(options: argparse.Namespace, place: Path) -> None:
    """Print images a second, ratios and cosines."""
    files = place / "files"
    paths = draw_files(files, options.images, options.file_size)
    runtime = choose_runtime("cpu", "fp32", options.threads)
    encoder = open_model(options.model, image_size=options.size, runtime=runtime)
    model = place / "model"
    save_model_folder(model, encoder.backbone, encoder.card)
    view = ViewSpec(kind="image", output=encoder.input_size)
    started = time.perf_counter()
    choice = use_runtime(
        encoder, options.runtime, options.precision, sample=sample_views(read_folder(files), view, None)
    )
    print(
        f"{options.model}, {options.size} px, {options.images} JPEG files of {options.file_size} px, ", end=""
    )
    print(f"threads: {options.threads}, torch {torch.__version__}, timm {timm.__version__}")
    print(f"runtime: {choice.chosen} ({choice.reason}); choosing took {time.perf_counter() - started:.1f} s")
    for one in choice.measured:
        print(f"  {one}")
    products = torch.get_float32_matmul_precision()
    ways: dict[str, Callable[[int], Vectors]] = {
        "published, one at a time": lambda _: published_way(model, paths, 1),
        f"published, batches of {options.batch}": lambda _: published_way(model, paths, options.batch),
        f"reddino embed, batches of {options.batch}": lambda n: our_way(
            encoder, files, place / f"table-{n}", options.batch
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Vectors] = {}
    for number in range(options.rounds):
        for name, way in ways.items():
            # The published way leaves torch as it comes.
            torch.set_float32_matmul_precision("highest" if name.startswith("published") else products)
            started = time.perf_counter()
            found[name] = way(number)
            seconds[name].append(time.perf_counter() - started)
    report(seconds, found, options.images)


def report(seconds: dict[str, list[float]], found: dict[str, Vectors], images: int) -> None:
    """The table in Markdown."""
    one, _, ours = seconds
    print("| way | images/s | x (median of rounds, against one at a time) | centred cosine mean / least |")
    print("|---|---|---|---|")
    for name, times in seconds.items():
        ratio = median(a / b for a, b in zip(seconds[one], times, strict=True))
        agrees = agreement(found[name], found[one])
        rate = images / median(times)
        print(f"| {name} | {rate:.2f} | {ratio:.2f} | {agrees.mean:.6f} / {agrees.least:.6f} |")
    batched = list(seconds)[1]
    ratio = median(a / b for a, b in zip(seconds[batched], seconds[ours], strict=True))
    print(f"reddino against the published way in batches: {ratio:.2f} x")


def memory(options: argparse.Namespace, place: Path) -> None:
    """Peak memory of a pass over few and over many images, each in a process of its own."""
    few, many = options.memory
    files = place / "many"
    paths = draw_files(files, many, options.file_size)
    peaks = []
    for count in (few, many):
        subset = place / f"first-{count}"
        subset.mkdir()
        for path in paths[:count]:
            os.link(path, subset / path.name)
        command = [sys.executable, __file__, "--measure-pass", str(subset), "--model", options.memory_model]
        command += [
            "--size",
            str(options.memory_size),
            "--threads",
            str(options.threads),
            "--batch",
            str(options.batch),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        peaks.append(float(json.loads(done.stdout.splitlines()[-1])["peak_mb"]))
        print(f"{count} images ({options.memory_model}, {options.memory_size} px): peak {peaks[-1]:.0f} MB")
    print(f"{many // few} times the images: {peaks[1] / peaks[0]:.2f} times the memory")


def measure_pass(options: argparse.Namespace) -> None:
    """One pass, and the peak of this process's resident memory."""
    runtime = choose_runtime("cpu", "fp32", options.threads)
    encoder = open_model(options.model, image_size=options.size, runtime=runtime)
    with tempfile.TemporaryDirectory() as out:
        our_way(encoder, options.measure_pass, Path(out) / "table", options.batch)
    print(json.dumps({"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def main() -> None:
    """Run both parts, or what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="untrained:vit_small_patch14_dinov2")
    parser.add_argument("--size", type=int, default=224, help="pixels of the network's input")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--file-size", type=int, default=256, help="pixels of the JPEG files")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--memory", type=int, nargs=2, default=(2000, 20000), metavar=("FEW", "MANY"))
    parser.add_argument("--memory-model", default="untrained:resnet10t")
    parser.add_argument("--memory-size", type=int, default=64)
    parser.add_argument("--skip", nargs="*", choices=["speed", "memory"], default=[])
    parser.add_argument("--measure-pass", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_pass:
        measure_pass(options)
        return
    print(f"reddino {reddino.__version__}")
    with tempfile.TemporaryDirectory() as place:
        if "speed" not in options.skip:
            compare(options, Path(place))
        if "memory" not in options.skip:
            memory(options, Path(place))


if __name__ == "__main__":
    main()
