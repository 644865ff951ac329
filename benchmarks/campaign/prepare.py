"""What a campaign carries along: smears as small as their recipe sees them, and plans that were counted."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import reddino
from campaign.plans import write_plans
from campaign.throughput import RECIPES, SIZES, recipe_of
from reddino.pretraining.data.image_cache import ImageCache, open_packed_cache
from reddino.pretraining.run.recipe import Recipe
from reddino.smears.packs import read_pack

#: Of JPEG; training applies stronger compression itself (ImageCompression).
QUALITY = 85


def prepare(data: Sequence[str], campaign: Path, recipe: Recipe, megabytes: float, plans: bool) -> str:
    """Fill the folder of a campaign; returns what is in it, in words.

    Args:
        data: manifests or folders of images.
        campaign: the folder.
        recipe: that the images are for, which says how large a cell must be.
        megabytes: of the shard at most; where it would be more, images of every source are left out.
        plans: whether to count the plans, which takes minutes.
    """
    campaign.mkdir(parents=True, exist_ok=True)
    for old in campaign.glob("smears-*.tar"):
        old.unlink()
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        reddino.pack(list(data), Path(folder, "pack"), recipe=recipe)
        cache = open_packed_cache(read_pack(Path(folder, "pack")), recipe.data.max_cell_diameter)
        samples = [(cache.index.source_name(number), _sample(cache, number)) for number in range(len(cache))]
    kept = thinned([len(image) + len(row) + 2048 for _, (image, row) in samples], megabytes * 1e6)
    path = campaign / "smears-000.tar"
    with tarfile.open(path, "w") as tar:
        for number in kept:
            source, (image, row) = samples[number]
            for suffix, content in (("jpg", image), ("json", row)):
                member = tarfile.TarInfo(f"{source}/{number:06d}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    if plans:
        write_plans([recipe_of(name, size, "cuda") for name in RECIPES for size in SIZES], campaign)
    sources = sorted({samples[number][0] for number in kept})
    return (
        f"{len(kept)} of {len(samples)} images of {', '.join(sources)}: {path.stat().st_size / 1e6:.1f} MB"
        f"{', with plans' if plans else ''}"
    )


def thinned(sizes: Sequence[int], most: float) -> list[int]:
    """Numbers of those to keep so that their sizes sum to at most `most`, spread evenly over all."""
    fraction = min(1.0, most / max(1, sum(sizes)))
    while True:
        marks = np.floor(np.arange(1, len(sizes) + 1) * fraction)
        kept = (
            np.flatnonzero(np.diff(marks, prepend=0.0)).tolist() if fraction < 1 else list(range(len(sizes)))
        )
        if sum(sizes[number] for number in kept) <= most or not kept:
            return kept
        fraction *= 0.98


def _sample(cache: ImageCache, number: int) -> tuple[bytes, bytes]:
    """An image as JPEG, and its rows as JSON: source, cell diameter, and the centre of each cell."""
    index = cache.index
    parameters = [cv2.IMWRITE_JPEG_QUALITY, QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x211111]
    _, encoded = cv2.imencode(".jpg", cache.image(number)[..., ::-1], parameters)
    about: dict[str, Any] = {"source": index.source_name(number)}
    if np.isfinite(index.cell_diameter[number]):
        about["cell_diameter"] = round(float(index.cell_diameter[number]), 2)
    centres = index.cells[index.cells[:, 0] == number, 1:].round(1).tolist()
    rows = [{**about, "x": x, "y": y} for x, y in centres] or [about]
    return encoded.tobytes(), json.dumps(rows).encode()
