"""The stream of training batches: crops made by worker processes, the same for any number of them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from reddino.pretrain.crops import MultiCrop
from reddino.pretrain.image_cache import ImageCache
from reddino.pretrain.sampling import PatchOrder, PatchSpec, sample_rng


@dataclass(frozen=True)
class CropBatch:
    """The crops of B samples.

    Attributes:
        global_crops: (2, B, g, g, 3) uint8 RGB.
        local_crops: (L, B, l, l, 3) uint8 RGB.
        sample_index: (B,) int64, numbers of the samples since the start of training.
        image_row: (B,) int64, manifest rows of their images.
    """

    global_crops: torch.Tensor
    local_crops: torch.Tensor
    sample_index: torch.Tensor
    image_row: torch.Tensor


class PretrainingStream:
    """Iterate over the batches of a training run from any sample on.

    Sample n is made from (seed, n) and the cache alone: neither the number of workers nor the batch size nor where the
    run was interrupted changes it.
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
    ) -> None:
        """Prepare the order of samples; processes start with the iteration.

        Args:
            cache: decoded images.
            crops: what is made of a patch.
            patches: which patches are samples.
            seed: of the order and of everything random in the crops.
            batch_size: samples a batch (of this replica).
            workers: processes that make batches; 0 makes them in this one.
            start_sample: number of the first sample, that is how many the run has seen before, over all replicas.
            stop_sample: end before this sample (whole batches only); None never ends.
            replica, replicas: this process's share of a distributed run: batch n of all replicas together is a
                contiguous range of samples.
            batches_ahead: finished batches a worker keeps ready.
        """
        self._order = PatchOrder(cache, patches, seed)
        self._samples = _BatchMaker(cache, crops, self._order, seed, batch_size)
        self._workers, self._ahead = workers, batches_ahead
        stride = batch_size * replicas
        first = start_sample + replica * batch_size
        self._starts = (
            count(first, stride)
            if stop_sample is None
            else range(first, stop_sample - batch_size + 1, stride)
        )

    @property
    def samples_per_epoch(self) -> int:
        """Samples in an epoch, over all replicas."""
        return self._order.samples_per_epoch

    def __iter__(self) -> Iterator[CropBatch]:
        # Before the fork: a child that inherits OpenCV's thread pool but not its threads waits for them for ever.
        cv2.setNumThreads(1)
        loader: DataLoader[CropBatch] = DataLoader(
            self._samples,
            batch_size=None,
            sampler=self._starts,
            num_workers=self._workers,
            collate_fn=_as_it_is,
            worker_init_fn=_prepare_worker if self._workers else None,
            prefetch_factor=self._ahead if self._workers else None,
            multiprocessing_context="fork" if self._workers else None,
            # Its own generator: else starting workers would draw from, and so change, the global one.
            generator=torch.Generator(),
        )
        return iter(loader)


class _BatchMaker(Dataset[CropBatch]):
    """Batch of the samples from a given number on."""

    def __init__(
        self, cache: ImageCache, crops: MultiCrop, order: PatchOrder, seed: int, batch_size: int
    ) -> None:
        self._cache, self._crops, self._order = cache, crops, order
        self._seed, self._batch_size = seed, batch_size

    def __getitem__(self, first: int) -> CropBatch:
        size, crops = self._batch_size, self._crops
        global_crops = np.empty((2, size, crops.global_size, crops.global_size, 3), np.uint8)
        local_crops = np.empty((crops.local_count, size, crops.local_size, crops.local_size, 3), np.uint8)
        rows = np.empty(size, np.int64)
        for position in range(size):
            rng = sample_rng(self._seed, first + position)
            sample = self._order.sample(first + position, rng)
            crops.fill(self._order.patch(sample), rng, global_crops[:, position], local_crops[:, position])
            rows[position] = self._cache.entries[sample.entry].row
        return CropBatch(
            torch.from_numpy(global_crops),
            torch.from_numpy(local_crops),
            torch.arange(first, first + size),
            torch.from_numpy(rows),
        )


def _as_it_is(batch: CropBatch) -> CropBatch:
    return batch


def _prepare_worker(_worker: int) -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
