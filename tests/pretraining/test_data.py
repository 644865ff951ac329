"""The stream of batches: a function of seed and sample number, whatever the workers, batches or start."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reddino.pretraining.augmentation.crops import MultiCrop, random_crop_box, resize_square
from reddino.pretraining.augmentation.pixel_operations import PIXEL_OPERATIONS, PixelOperations
from reddino.pretraining.data.image_cache import ImageCache, open_cache
from reddino.pretraining.data.image_index import ImageIndex
from reddino.pretraining.data.sampling import PatchOrder, PatchSpec, sample_rng
from reddino.pretraining.data.stream import CropBatch, PretrainingStream
from reddino.smears.decode import Failures
from reddino.smears.manifest import read_manifest

CROPS = MultiCrop(28, (0.32, 1.0), 24, (0.05, 0.32), 2, PixelOperations(list(PIXEL_OPERATIONS)))


@pytest.fixture(scope="module")
def cache() -> ImageCache:
    """Seven noisy images of 60 x 50 at every third row of a manifest."""
    pixels = np.random.default_rng(0).integers(0, 256, 7 * 60 * 50 * 3, dtype=np.uint8)
    index = ImageIndex(
        row=np.arange(7) * 3,
        height=np.full(7, 50),
        width=np.full(7, 60),
        offset=np.arange(7) * 60 * 50 * 3,
        scale=np.ones(7),
        cell_diameter=np.full(7, np.nan),
        source=np.zeros(7, np.int64),
        source_names=np.array(["a"]),
        hashes=np.zeros((7, 2), np.uint64),
    )
    return ImageCache(index, pixels, Failures())


def batches(cache: ImageCache, count: int, **changes: Any) -> list[CropBatch]:
    settings: dict[str, Any] = {"seed": 3, "batch_size": 6}
    stream = PretrainingStream(cache, CROPS, PatchSpec(40, an_epoch="one"), **(settings | changes))
    return list(islice(iter(stream), count))


def joined(parts: list[CropBatch]) -> CropBatch:
    """Several batches as one."""
    clean = [part.clean_crops for part in parts if part.clean_crops is not None]
    return CropBatch(
        torch.cat([part.global_crops for part in parts], dim=1),
        torch.cat([part.local_crops for part in parts], dim=1),
        torch.cat([part.sample_index for part in parts]),
        torch.cat([part.image_row for part in parts]),
        torch.cat([part.patch for part in parts]),
        torch.cat(clean, dim=1) if clean else None,
    )


def same(one: CropBatch, other: CropBatch) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(CropBatch)]
    return all(a is b if a is None or b is None else torch.equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def reference(cache: ImageCache) -> CropBatch:
    return joined(batches(cache, 4))


def test_batch__has_the_announced_shapes(reference: CropBatch) -> None:
    assert reference.global_crops.shape == (2, 24, 28, 28, 3)
    assert reference.local_crops.shape == (2, 24, 24, 24, 3)
    assert reference.global_crops.dtype == reference.local_crops.dtype == torch.uint8
    assert reference.sample_index.tolist() == list(range(24))


@pytest.mark.parametrize("workers", [1, 3])
def test_stream__is_the_same_with_any_number_of_workers(
    cache: ImageCache, reference: CropBatch, workers: int
) -> None:
    assert same(joined(batches(cache, 4, workers=workers)), reference)


@pytest.mark.parametrize(("workers", "size"), [(0, 28), (2, 28), (1, 36)])
def test_stream__clean_crops_come_with_the_others_which_stay_as_they_were(
    cache: ImageCache, reference: CropBatch, workers: int, size: int
) -> None:
    found = joined(batches(cache, 4, workers=workers, clean_size=size))
    assert found.clean_crops is not None and found.clean_crops.shape == (2, 24, size, size, 3)
    assert same(replace(found, clean_crops=None), reference)
    # The first crop of a sample is cut before any pixel operation has drawn a number.
    rng = sample_rng(3, 7)
    patch = PatchOrder(cache.index, PatchSpec(40, an_epoch="one"), 3).choose(7, rng, cache)
    box = random_crop_box(40, 40, (0.32, 1.0), rng)
    part = patch.cut(cache)[box.y : box.y + box.height, box.x : box.x + box.width]
    resized = resize_square(part, size)
    turned = [np.rot90(resized[:, ::flip], quarters) for flip in (1, -1) for quarters in range(4)]
    assert sum(np.array_equal(found.clean_crops[0, 7].numpy(), one) for one in turned) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_stream__goes_on_where_it_was(cache: ImageCache, reference: CropBatch, workers: int) -> None:
    rest = joined(batches(cache, 2, start_sample=12, workers=workers))
    assert torch.equal(rest.global_crops, reference.global_crops[:, 12:])
    assert torch.equal(rest.image_row, reference.image_row[12:])


def test_stream__is_the_same_with_any_batch_size(cache: ImageCache, reference: CropBatch) -> None:
    assert same(joined(batches(cache, 3, batch_size=8)), reference)


def test_stream__replicas_share_the_samples_of_one_process(cache: ImageCache, reference: CropBatch) -> None:
    first, second = (batches(cache, 2, replica=replica, replicas=2) for replica in range(2))
    assert same(joined([first[0], second[0], first[1], second[1]]), reference)


def test_stream__differs_between_seeds(cache: ImageCache, reference: CropBatch) -> None:
    other = joined(batches(cache, 4, seed=4))
    assert not torch.equal(other.image_row, reference.image_row)
    assert (other.global_crops != reference.global_crops).float().mean() > 0.5


def test_stream__crops_of_one_image_differ_between_epochs(reference: CropBatch) -> None:
    again = 7 + reference.image_row[7:14].tolist().index(reference.image_row[0].item())
    assert not torch.equal(reference.global_crops[:, 0], reference.global_crops[:, again])


def test_stream__shows_every_image_once_an_epoch(reference: CropBatch) -> None:
    for epoch in range(3):
        rows = reference.image_row[7 * epoch : 7 * (epoch + 1)]
        assert sorted(rows.tolist()) == [0, 3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize("workers", [0, 2])
def test_stream__ends_before_its_last_sample(cache: ImageCache, workers: int) -> None:
    parts = batches(cache, 99, stop_sample=20, workers=workers)
    assert [part.sample_index[0].item() for part in parts] == [0, 6, 12]


def test_stream__can_be_iterated_twice(cache: ImageCache) -> None:
    stream = PretrainingStream(cache, CROPS, PatchSpec(40), seed=3, batch_size=2, workers=2)
    assert same(next(iter(stream)), next(iter(stream)))


def test_stream__leaves_global_randomness_alone(cache: ImageCache) -> None:
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(1).item(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    batches(cache, 2, workers=1)
    batches(cache, 1)
    assert (torch.rand(1).item(), np.random.rand()) == expected  # noqa: NPY002


def test_batch__is_not_overwritten_by_later_ones(cache: ImageCache) -> None:
    stream = iter(
        PretrainingStream(cache, CROPS, PatchSpec(40), seed=3, batch_size=4, workers=1, batches_ahead=1)
    )
    first = next(stream)
    kept = first.global_crops.clone()
    for _ in range(3):
        next(stream)
    assert torch.equal(first.global_crops, kept)


@pytest.mark.smears
def test_stream__of_real_smears_in_cell_diameters(smears: Path, tmp_path: Path) -> None:
    manifest = read_manifest(smears / "bccd" / "manifest.csv")
    few = manifest.select(np.unique(manifest.images()[1], return_index=True)[1][:12])
    diameters = dict.fromkeys(manifest.strings("source"), 102.0)
    cache = open_cache(few, tmp_path, cell_diameters=diameters, max_cell_diameter=51.0)
    assert len(cache) == 12 and cache.failures.count == 0
    assert set(cache.index.height.tolist()) == {240}
    stream = PretrainingStream(cache, CROPS, PatchSpec(3, "diameters"), seed=0, batch_size=12, workers=1)
    # 640 x 480 pixels are 6.3 x 4.7 diameters of 102 pixels: two patches of three diameters each.
    assert stream.samples_per_epoch == 24
    batch = next(iter(stream))
    assert batch.global_crops.float().std() > 10
