"""What the guide of a distillation says of every patch, asked once before the first step."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reddino.foundations.atomic import atomic_path, remove_partials
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.runtime import Runtime, to_device
from reddino.pretraining.augmentation.crops import centred, resize_square
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.data.sampling import PatchOrder, patch_spec
from reddino.pretraining.distillation.teacher import Guide, Words
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.run.recipe import Recipe
from reddino.rbc.morphology import Morphology

#: Patches that one process is asked about before it writes, and as many of these as the guide is shown at a
#: time.
PART, BATCH = 1024, 64
#: Numbers of float16 that hold the CRC-32 of a row; answers without one are of an earlier version.
CHECKSUM = 2
log = logging.getLogger(__name__)


class Answers:
    """The guide's words on n patches, in a file from which rows are read as they are needed.

    Args:
        path: of the file, (n, d + f + 2) float16.
        dim: d, numbers of the pooled words; after them come the hand-crafted features, and the bits of the
            row's checksum.
    """

    def __init__(self, path: Path, dim: int) -> None:
        whole = np.load(path, mmap_mode="r")
        self._width, self._start, self._dim = whole.shape[1], whole.offset, dim
        self._file = path.open("rb", buffering=0)

    def of(self, patches: Tensor, device: torch.device) -> Words:
        """Words on the patches of these numbers (B,), alike for both crops of each: (2 B, ...).

        Raises:
            RedDinoError: a row does not fit its checksum.
        """
        rows = np.empty((len(patches), self._width), np.float16)
        for row, number in zip(rows, patches.tolist(), strict=True):
            self._file.seek(self._start + number * row.nbytes)
            self._file.readinto(row)
        if not _are_whole(rows):
            raise RedDinoError(
                f"the answers of the teacher in {self._file.name} are damaged: a row does not fit its "
                "checksum; the same command computes them again"
            )
        rows = np.ascontiguousarray(rows[:, :-CHECKSUM])
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
    stop: Callable[[], bool] = lambda: False,
) -> Answers | None:
    """Ask the guide of every patch: its centre, of the mean area of a global crop.

    The processes share the work; of an interrupted run only what is missing is asked. None where there is no
    guide, where the recipe asks it of each crop, and where it was stopped.

    Args:
        guide: on the device already, from which it is taken at the end.
        cache: decoded images.
        recipe: whose patches lie round cells.
        runtime: device and precision.
        folder: where the answers are kept, in files whose names tell what they are of.
        processes: of the run.
        stop: asked by each process after each of its parts; all of them stop.
    """
    if guide is None or recipe.asks_each_crop:
        return None
    order = PatchOrder(cache.index, patch_spec(recipe), recipe.seed)
    count = order.samples_per_epoch
    asked = _Files(folder, _key(guide, cache, recipe), count)
    missing = processes.from_main(asked.tidy)
    for first in range(0, len(missing), processes.count):
        if processes.any(stop()):
            return None
        if processes.is_main and first // processes.count % 8 == 0:
            log.info("asking %s of %d cells: %d of %d files", guide.name, count, first, len(missing))
        for part in missing[first:][processes.rank : processes.rank + 1]:
            numbers = range(part * PART, min(count, (part + 1) * PART))
            batches = (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))
            rows = [_words(guide, _squares(batch, cache, order, recipe), runtime) for batch in batches]
            asked.write(part, np.concatenate(rows))
    processes.wait()
    processes.from_main(asked.join)
    guide.to(torch.device("cpu"))
    return Answers(asked.whole, guide.dim)


def _key(guide: Guide, cache: ImageCache, recipe: Recipe) -> str:
    """16 hex digits over all that the answers depend on."""
    index, data, crops = cache.index, recipe.data, recipe.crops
    places = (index.hashes, index.checksums, index.cells, index.scale, index.cell_diameter)
    settings = (data.patch_side, data.patch_unit, crops.global_scale, recipe.clean_size, guide.orientations)
    teachers = (guide.weights, guide.dim, Morphology().weights_hash if guide.shape_dim else "", PART)
    return hash_bytes(*(place.tobytes() for place in places), repr((settings, teachers, CHECKSUM)).encode())


class _Files:
    """The answers on `count` patches: parts while they are asked, one file afterwards."""

    def __init__(self, folder: Path, key: str, count: int) -> None:
        self.whole = folder / f"{key}.npy"
        self._parts = [folder / f"{key}-{part:06d}.npy" for part in range(-(-count // PART))]
        self._count = count

    def tidy(self) -> list[int]:
        """Delete what is of other patches, or was left by a killed process; the numbers of missing parts."""
        remove_partials(self.whole.parent)
        for file in self.whole.parent.glob("*"):
            if file.is_file() and file != self.whole and file not in self._parts:
                file.unlink(missing_ok=True)
        if self.whole.is_file() and _is_whole_file(self.whole):
            return []
        return [
            number for number, part in enumerate(self._parts) if not (part.is_file() and _is_whole_file(part))
        ]

    def write(self, part: int, rows: NDArray[np.float16]) -> None:
        with atomic_path(self._parts[part]) as partial, partial.open("wb") as file:
            np.save(file, _with_checksums(rows))

    def join(self) -> None:
        """Put the parts into one file, where that has not been done."""
        if not self.whole.is_file():
            width = np.load(self._parts[0], mmap_mode="r").shape[1]
            header = {
                "descr": np.lib.format.dtype_to_descr(np.dtype(np.float16)),
                "fortran_order": False,
                "shape": (self._count, width),
            }
            # Not through a memory map: on a full disk, that ends the process without a word.
            with atomic_path(self.whole) as partial, partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for part in self._parts:
                    file.write(np.load(part).data)
        for part in self._parts:
            part.unlink(missing_ok=True)


def _with_checksums(rows: NDArray[np.float16]) -> NDArray[np.float16]:
    """(n, w + 2): rows (n, w), each with the bits of its CRC-32 behind it."""
    sums = np.array([zlib.crc32(row.tobytes()) for row in rows], np.uint32)
    return np.concatenate([rows, sums.view(np.float16).reshape(-1, CHECKSUM)], axis=1)


def _are_whole(rows: NDArray[np.float16]) -> bool:
    """Whether rows (n, w + 2) fit their checksums."""
    kept = np.ascontiguousarray(rows[:, -CHECKSUM:]).view(np.uint32)[:, 0]
    return all(
        zlib.crc32(row[:-CHECKSUM].tobytes()) == wanted
        for row, wanted in zip(rows, kept.tolist(), strict=True)
    )


def _is_whole_file(path: Path) -> bool:
    """Whether a file of rows is undamaged; one that is not is deleted, which is logged."""
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
        if all(_are_whole(rows[first : first + PART]) for first in range(0, len(rows), PART)):
            return True
    except (OSError, ValueError, IndexError) as error:
        log.info("%s: %s", path, error)
    log.warning("%s is damaged: the teacher is asked again", path)
    path.unlink(missing_ok=True)
    return False


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
    """(n, d + f) pooled words and hand-crafted features.

    Raises:
        RedDinoError: they are not finite, or not in float16.
    """
    with runtime.autocast():
        words = guide.says(to_device(torch.from_numpy(squares), runtime.device))
    pooled = [] if words.pooled is None else [words.pooled.cpu().numpy()]
    shapes = [Morphology().embed(squares)] if guide.shape_dim else []
    with np.errstate(over="ignore"):
        kept = np.concatenate([*pooled, *shapes], axis=1).astype(np.float16)
    if not np.isfinite(kept).all():
        raise RedDinoError(
            f"what {guide.name} says of a patch is not finite, or beyond float16, in which its answers are "
            "kept: set distill.once=false, or give another teacher"
        )
    return kept
