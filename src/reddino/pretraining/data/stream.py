"""The stream of training batches: crops made by worker processes, the same for any number of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from reddino.pretraining.augmentation.crops import MultiCrop
from reddino.pretraining.augmentation.pixel_operations import PixelOperations
from reddino.pretraining.data.image_cache import ImageCache
from reddino.pretraining.data.sampling import PatchOrder, PatchSpec, patch_spec, sample_rng
from reddino.pretraining.data.workers import Arrays, ArraySpec, shared_work
from reddino.pretraining.distributed.processes import ALONE, Processes
from reddino.pretraining.run.recipe import Recipe

_NEVER = 2**62


@dataclass(frozen=True)
class CropBatch:
    """The crops of B samples.

    Attributes:
        global_crops: (2, B, g, g, 3) uint8 RGB.
        local_crops: (L, B, l, l, 3) uint8 RGB.
        sample_index: (B,) int64, numbers of the samples since the start of training.
        image_row: (B,) int64, manifest rows of their images.
        patch: (B,) int64, their numbers among the patches of an epoch.
        clean_crops: (2, B, c, c, 3) uint8 RGB, the global crops without pixel operations; None where no
            distillation needs them.
        teacher_crops: (2, B, g, g, 3) uint8 RGB, the EMA teacher's global crops; None where they are the
            student's.
    """

    global_crops: torch.Tensor
    local_crops: torch.Tensor
    sample_index: torch.Tensor
    image_row: torch.Tensor
    patch: torch.Tensor
    clean_crops: torch.Tensor | None = None
    teacher_crops: torch.Tensor | None = None


class PretrainingStream:
    """Iterate over the batches of a training run from any sample on.

    Sample n is made from (seed, n) and the cache alone: neither the number of workers nor the batch size nor
    where the run was interrupted changes it.
    """

    def __init__(
        self,
        cache: ImageCache,
        crops: MultiCrop,
        patches: PatchSpec,
        *,
        seed: int,
        batch_size: int,
        workers: int = 0,
        start_sample: int = 0,
        stop_sample: int | None = None,
        replica: int = 0,
        replicas: int = 1,
        batches_ahead: int = 2,
        clean_size: int | None = None,
    ) -> None:
        """Prepare the order of samples; processes start with `iter()`.

        Args:
            cache: decoded images.
            crops: what is made of a patch.
            patches: which patches are samples.
            seed: of the order and of everything random in the crops.
            batch_size: samples a batch (of this replica).
            workers: processes that make batches, all of them a part of each; 0 makes them in this one.
            start_sample: number of the first sample: how many the run has seen before, over all replicas.
            stop_sample: end before this sample (whole batches only); None never ends.
            replica: this process's place in a distributed run.
            replicas: processes of the run; their n-th batches together are a contiguous range of samples.
            batches_ahead: batches kept ready by the workers.
            clean_size: side of the clean crops in pixels; None makes none.

        Raises:
            RedDinoError: patches are in cell diameters and that of an image is unknown.
        """
        self._order = PatchOrder(cache.index, patches, seed)
        self._cache, self._crops, self._seed = cache, crops, seed
        self._batch_size, self._workers, self._ahead = batch_size, workers, batches_ahead
        self._clean_size = clean_size
        stride, first = batch_size * replicas, start_sample + replica * batch_size
        end = _NEVER if stop_sample is None else stop_sample
        self._starts = range(first, end - batch_size + 1, stride)

    @property
    def samples_per_epoch(self) -> int:
        """Samples in an epoch, over all replicas."""
        return self._order.samples_per_epoch

    def __iter__(self) -> Iterator[CropBatch]:
        # Before any fork: a child that inherits OpenCV's thread pool without the threads waits for ever.
        cv2.setNumThreads(1)
        batches = shared_work(
            self._fill,
            self._array_spec(),
            self._starts,
            self._batch_size,
            workers=self._workers,
            ahead=self._ahead,
        )
        return (
            CropBatch(**{name: torch.from_numpy(array) for name, array in batch.items()}) for batch in batches
        )

    def _array_spec(self) -> ArraySpec:
        size, crops, clean = self._batch_size, self._crops, self._clean_size
        side = crops.global_size
        return {
            **({"clean_crops": ((2, size, clean, clean, 3), np.uint8)} if clean is not None else {}),
            **({"teacher_crops": ((2, size, side, side, 3), np.uint8)} if crops.teacher_strength < 1 else {}),
            "global_crops": ((2, size, side, side, 3), np.uint8),
            "local_crops": ((crops.local_count, size, crops.local_size, crops.local_size, 3), np.uint8),
            "sample_index": ((size,), np.int64),
            "image_row": ((size,), np.int64),
            "patch": ((size,), np.int64),
        }

    def _fill(self, first: int, positions: range, batch: Arrays) -> None:
        """Make the samples at `positions` of the batch that starts with sample `first`."""
        for position in positions:
            sample = first + position
            rng = sample_rng(self._seed, sample)
            patch = self._order.choose(sample, rng, self._cache)
            global_crops, local_crops = batch["global_crops"][:, position], batch["local_crops"][:, position]
            further = {
                name: batch[name][:, position] for name in ("clean_crops", "teacher_crops") if name in batch
            }
            self._crops.fill(patch.cut(self._cache), rng, global_crops, local_crops, **further)
            batch["sample_index"][position] = sample
            batch["image_row"][position] = self._cache.index.row[patch.image]
            batch["patch"][position] = self._order.number(sample)
        self._cache.release()


def pixel_operations(recipe: Recipe) -> PixelOperations:
    """Return the pixel operations of a recipe.

    Raises:
        RedDinoError: one is not known, or more are drawn than are listed.
    """
    augmentation = recipe.augmentation
    return PixelOperations(
        augmentation.operations,
        augmentation.choose,
        augmentation.probability,
        augmentation.strength,
        augmentation.strengths,
    )


def make_stream(
    recipe: Recipe, cache: ImageCache, start_step: int = 0, processes: Processes = ALONE
) -> PretrainingStream:
    """Make the micro-batches of a run from `start_step` on; of several processes, this one's part of each."""
    crops, augmentation, operations = recipe.crops, recipe.augmentation, pixel_operations(recipe)
    multi_crop = MultiCrop(
        global_size=crops.global_size,
        global_scale=crops.global_scale,
        local_size=crops.local_size,
        local_scale=crops.local_scale,
        local_count=crops.local_count,
        operations=operations,
        horizontal_flip=augmentation.horizontal_flip,
        vertical_flip=augmentation.vertical_flip,
        quarter_turn=augmentation.quarter_turn,
        aspect=crops.aspect,
        teacher_strength=augmentation.teacher_strength if recipe.has_prototypes else 1.0,
    )
    patches = patch_spec(recipe)
    return PretrainingStream(
        cache,
        multi_crop,
        patches,
        seed=recipe.seed,
        batch_size=patches.batch // processes.count,
        workers=recipe.runtime.workers,
        start_sample=start_step * recipe.run.batch,
        stop_sample=recipe.steps * recipe.run.batch,
        replica=processes.rank,
        replicas=processes.count,
        batches_ahead=2 * recipe.run.accumulate,
        clean_size=recipe.clean_size if recipe.uses_clean_crops else None,
    )
