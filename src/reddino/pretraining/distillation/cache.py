"""Cached teacher features: those of every patch, computed once before the first step."""

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
from reddino.foundations.stages import watched
from reddino.pretraining.augmentation.crops import centred, resize_square
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.data.sampling import PatchOrder, patch_spec
from reddino.pretraining.distillation.teacher import DistillationTeacher, TeacherFeatures
from reddino.pretraining.distributed.processes import Processes
from reddino.pretraining.run.recipe import Recipe
from reddino.rbc.morphology import Morphology

#: Patches of one file of an unfinished cache, which one process computes, and of one forward pass.
PART, BATCH = 1024, 64
#: Numbers of float16 that hold the CRC-32 of a row; a cache without them is of an earlier version.
CHECKSUM = 2
log = logging.getLogger(__name__)


class TeacherFeatureCache:
    """The teacher's features of n patches, in a file from which rows are read as they are needed.

    Args:
        path: of the file, (n, d + f + 2) float16.
        dim: d, numbers of the pooled features; after them come the hand-crafted ones, and the bits of the
            row's checksum.
    """

    def __init__(self, path: Path, dim: int) -> None:
        whole = np.load(path, mmap_mode="r")
        self._width, self._start, self._dim = whole.shape[1], whole.offset, dim
        self._file = path.open("rb", buffering=0)

    def read(self, patches: Tensor, device: torch.device) -> TeacherFeatures:
        """Read the features of patches by their numbers (B,), the same for both crops of each: (2 B, ...).

        Raises:
            RedDinoError: a row does not fit its checksum.
        """
        rows = np.empty((len(patches), self._width), np.float16)
        for row, number in zip(rows, patches.tolist(), strict=True):
            self._file.seek(self._start + number * row.nbytes)
            self._file.readinto(row)
        if not _are_whole(rows):
            raise RedDinoError(
                f"teacher features are damaged, a row does not fit its checksum: {self._file.name}; "
                "the same command computes them again"
            )
        rows = np.ascontiguousarray(rows[:, :-CHECKSUM])
        features = to_device(torch.from_numpy(rows), device).float().repeat(2, 1)
        pooled, morphology = features[:, : self._dim], features[:, self._dim :]
        return TeacherFeatures(
            pooled if self._dim else None, None, morphology if morphology.shape[1] else None
        )


def precompute(
    teacher: DistillationTeacher,
    cache: ImageCache,
    recipe: Recipe,
    *,
    runtime: Runtime,
    folder: Path,
    processes: Processes,
    stop: Callable[[], bool] = lambda: False,
) -> TeacherFeatureCache | None:
    """Compute the teacher's features of every patch: of its centre, of the mean area of a global crop.

    The processes share the work. An interrupted run computes only what is missing.

    Args:
        teacher: on the device already, from which it is taken at the end.
        cache: decoded images.
        recipe: whose patches lie around cells.
        runtime: device and precision.
        folder: where the features are kept, in files whose names depend on all that they depend on.
        processes: of the run.
        stop: called by each process before each of its parts; where it returns True, all processes stop.

    Returns:
        The cache, or None where it was stopped.
    """
    order = PatchOrder(cache.index, patch_spec(recipe), recipe.seed)
    count = order.samples_per_epoch
    files = _Files(folder, _key(teacher, cache, recipe), count)
    missing = processes.from_main(files.tidy)
    for first in watched(range(0, len(missing), processes.count), f"features of {teacher.name}"):
        if processes.any(stop()):
            return None
        if processes.is_main and first // processes.count % 8 == 0:
            log.info("features of %s of %d cells: %d of %d files", teacher.name, count, first, len(missing))
        for part in missing[first:][processes.rank : processes.rank + 1]:
            numbers = range(part * PART, min(count, (part + 1) * PART))
            batches = (numbers[start : start + BATCH] for start in range(0, len(numbers), BATCH))
            rows = [_features(teacher, _squares(batch, cache, order, recipe), runtime) for batch in batches]
            files.write(part, np.concatenate(rows))
    processes.wait()
    processes.from_main(files.join)
    teacher.to(torch.device("cpu"))
    return TeacherFeatureCache(files.whole, teacher.dim)


def _key(teacher: DistillationTeacher, cache: ImageCache, recipe: Recipe) -> str:
    """Return 16 hex digits over all that the features depend on."""
    index, data, crops = cache.index, recipe.data, recipe.crops
    places = (index.hashes, index.checksums, index.cells, index.scale, index.cell_diameter, index.um_per_px)
    settings = (data.patch_side, data.patch_unit, crops.global_scale, recipe.clean_size, teacher.orientations)
    morphology = Morphology().weights_hash if teacher.morphology_dim else ""
    networks = (teacher.weights, teacher.dim, morphology, PART)
    return hash_bytes(*(place.tobytes() for place in places), repr((settings, networks, CHECKSUM)).encode())


class _Files:
    """The features of `count` patches: parts while they are computed, one file afterwards."""

    def __init__(self, folder: Path, key: str, count: int) -> None:
        self.whole = folder / f"{key}.npy"
        self._parts = [folder / f"{key}-{part:06d}.npy" for part in range(-(-count // PART))]
        self._count = count

    def tidy(self) -> list[int]:
        """Delete files of other patches and of killed processes; return the numbers of missing parts."""
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
            # Not through a memory map: on a full disk, that ends the process without an error.
            with atomic_path(self.whole) as partial, partial.open("wb") as file:
                np.lib.format.write_array_header_1_0(file, header)
                for part in self._parts:
                    file.write(np.load(part).data)
        for part in self._parts:
            part.unlink(missing_ok=True)


def _with_checksums(rows: NDArray[np.float16]) -> NDArray[np.float16]:
    """Put the bits of its CRC-32 behind each of the rows (n, w): (n, w + 2)."""
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
    log.warning("%s is damaged: the teacher's features are computed again", path)
    path.unlink(missing_ok=True)
    return False


def _squares(numbers: range, cache: ImageCache, order: PatchOrder, recipe: Recipe) -> NDArray[np.uint8]:
    """Cut the middles of patches, at the size of the teacher's input: (len(numbers), s, s, 3)."""
    size, area = recipe.clean_size, sum(recipe.crops.global_scale) / 2
    assert size is not None
    nothing = np.random.default_rng(0)  # nothing is random about patches around cells
    patches = (order.patch_numbered(number, nothing).cut(cache) for number in numbers)
    squares = np.stack([resize_square(centred(patch, area), size) for patch in patches])
    cache.release()
    return squares


def _features(
    teacher: DistillationTeacher, squares: NDArray[np.uint8], runtime: Runtime
) -> NDArray[np.float16]:
    """Compute pooled and hand-crafted features of squares: (n, d + f).

    Raises:
        RedDinoError: they are not finite, or not in float16.
    """
    with runtime.autocast():
        found = teacher.features(to_device(torch.from_numpy(squares), runtime.device))
    pooled = [] if found.pooled is None else [found.pooled.cpu().numpy()]
    morphology = [Morphology().embed(squares)] if teacher.morphology_dim else []
    with np.errstate(over="ignore"):
        kept = np.concatenate([*pooled, *morphology], axis=1).astype(np.float16)
    if not np.isfinite(kept).all():
        raise RedDinoError(
            f"a feature of a patch is not finite, or beyond float16, in which features are cached: "
            f"{teacher.name}; set distill.once=false, or choose another teacher"
        )
    return kept
