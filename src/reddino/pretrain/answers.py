"""What the guide of a distillation says of every patch, asked once before the first step."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reddino.atomic import atomic_path
from reddino.pretrain.crops import centred, resize_square
from reddino.pretrain.distribution import Processes
from reddino.pretrain.guide import Guide, Words
from reddino.pretrain.image_cache import ImageCache
from reddino.pretrain.recipe import Recipe
from reddino.pretrain.sampling import PatchOrder, patch_spec
from reddino.runtime import Runtime, to_device
from reddino.smears.morphology import Morphology

#: Patches a file, and of these as many as the guide is shown at a time.
PART, BATCH = 1024, 64
log = logging.getLogger(__name__)


class Answers:
    """The guide's words on n patches, in files of a folder, which are read as they are needed.

    Args:
        folder: of the files.
        count: n.
        dim: numbers of the pooled output at the start of each row; after them come the hand-crafted features.
    """

    def __init__(self, folder: Path, count: int, dim: int) -> None:
        parts = range(-(-count // PART))
        self._parts = [np.load(_file(folder, part), mmap_mode="r") for part in parts]
        self._dim = dim

    def of(self, patches: Tensor, device: torch.device) -> Words:
        """Words on the patches of these numbers (B,), alike for both crops of each: (2 B, ...)."""
        rows = np.stack([self._parts[number // PART][number % PART] for number in patches.tolist()])
        words = to_device(torch.from_numpy(rows), device).float().repeat(2, 1)
        pooled, shapes = words[:, : self._dim], words[:, self._dim :]
        return Words(pooled if self._dim else None, None, shapes if shapes.shape[1] else None)


def ask_once(
    guide: Guide | None,
    cache: ImageCache,
    recipe: Recipe,
    *,
    runtime: Runtime,
    folder: Path,
    processes: Processes,
) -> Answers | None:
    """Ask the guide of every patch: its centre, of the mean area of a global crop.

    None where there is no guide, or the recipe asks it of each crop.

    The processes share the work; of an interrupted run only what is missing is asked.

    Args:
        guide: on the device already.
        cache: decoded images.
        recipe: whose patches lie round cells.
        runtime: device and precision.
        folder: where the answers are kept; those that lie there are of the same guide and images.
        processes: of the run.
    """
    if guide is None or recipe.asks_each_crop:
        return None
    order = PatchOrder(cache.index, patch_spec(recipe), recipe.seed)
    count = order.samples_per_epoch
    missing = [part for part in range(-(-count // PART)) if not _file(folder, part).is_file()]
    for done, part in enumerate(missing[processes.rank :: processes.count]):
        if processes.is_main and done % 8 == 0:
            log.info("asking %s of the cells: %d of %d", guide.name, part * PART, count)
        numbers = range(part * PART, min(count, (part + 1) * PART))
        batches = (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))
        rows = [_words(guide, _squares(batch, cache, order, recipe), runtime) for batch in batches]
        with atomic_path(_file(folder, part)) as partial, partial.open("wb") as file:
            np.save(file, np.concatenate(rows))
    processes.wait()
    return Answers(folder, count, guide.dim)


def _squares(numbers: range, cache: ImageCache, order: PatchOrder, recipe: Recipe) -> NDArray[np.uint8]:
    """(len(numbers), s, s, 3) the middles of patches, as large as the guide is shown them."""
    size, area = recipe.clean_size, sum(recipe.crops.global_scale) / 2
    assert size is not None
    nothing = np.random.default_rng(0)  # patches round cells lie where they lie
    patches = (order.patch_numbered(number, nothing).cut(cache) for number in numbers)
    squares = np.stack([resize_square(centred(patch, area), size) for patch in patches])
    cache.release()
    return squares


def _words(guide: Guide, squares: NDArray[np.uint8], runtime: Runtime) -> NDArray[np.float16]:
    """(n, d + f) pooled words and hand-crafted features."""
    with runtime.autocast():
        words = guide.says(to_device(torch.from_numpy(squares), runtime.device))
    pooled = [] if words.pooled is None else [words.pooled.cpu().numpy()]
    shapes = [Morphology().embed(squares)] if guide.shape_dim else []
    return np.concatenate([*pooled, *shapes], axis=1).astype(np.float16)


def _file(folder: Path, part: int) -> Path:
    return folder / f"{part:06d}.npy"
