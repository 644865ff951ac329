"""Samples a second of pretraining's augmentation on one core, against the published pipeline as written.

A sample is two global and eight local crops of one field of 224 pixels. All variants are measured in turn in
one run, several times over, so that their ratio holds on a busy machine; the medians are printed.
`--operations` prints what each pixel operation costs instead, as albumentations computes it and as we do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

os.environ.setdefault("OMP_NUM_THREADS", "1")

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

from reddino.pretraining.augmentation.crops import MultiCrop
from reddino.pretraining.augmentation.operations import CONFIGURED
from reddino.pretraining.augmentation.operations.reference import ALBUMENTATIONS
from reddino.pretraining.augmentation.pixel_operations import PIXEL_OPERATIONS, PixelOperations

SLOWEST = ("RandomFog", "GlassBlur", "RandomSunFlare", "FancyPCA", "Defocus", "ISONoise")
GLOBAL_SCALE, LOCAL_SCALE, LOCAL_COUNT = (0.32, 1.0), (0.05, 0.32), 8
PROBABILITY = 0.85

Image = NDArray[np.uint8]
MakeSample = Callable[[Image, int], object]


def field(size: int = 224) -> Image:
    """A field of pink discs on pale, slightly noisy ground."""
    rng = np.random.default_rng(0)
    image = np.full((size, size, 3), (235, 225, 228), np.uint8)
    for _ in range(25):
        centre, radius = tuple(int(place) for place in rng.integers(0, size, 2)), int(rng.integers(14, 22))
        cv2.circle(image, centre, radius, (205, 140, 150), -1, cv2.LINE_AA)
        cv2.circle(image, centre, radius // 3, (225, 180, 188), -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def plain_albumentations(global_size: int, local_size: int) -> MakeSample:
    """The published pipeline as written there: a Compose for each kind of crop."""

    def pipeline(size: int, scale: tuple[float, float]) -> A.Compose:
        operations = [make() for make in ALBUMENTATIONS.values()]
        for operation in operations:
            operation.p = PROBABILITY
        steps = [
            A.RandomResizedCrop(size=(size, size), scale=scale),
            A.SomeOf(operations, n=4),
            A.HorizontalFlip(p=PROBABILITY),
            A.VerticalFlip(p=PROBABILITY),
            A.RandomRotate90(p=PROBABILITY),
        ]
        return A.Compose(steps, seed=0)

    pipelines = [pipeline(global_size, GLOBAL_SCALE)] * 2 + [pipeline(local_size, LOCAL_SCALE)] * LOCAL_COUNT
    return lambda image, seed: [pipeline(image=image)["image"] for pipeline in pipelines]


def ours(global_size: int, local_size: int, names: Sequence[str]) -> MakeSample:
    """Our multi-crop with the named operations."""
    crops = MultiCrop(
        global_size,
        GLOBAL_SCALE,
        local_size,
        LOCAL_SCALE,
        LOCAL_COUNT,
        PixelOperations(names, 4, PROBABILITY),
    )
    return lambda image, seed: crops(image, np.random.default_rng(seed))


def samples_per_second(make: MakeSample, image: Image, seconds: float, seed: int) -> float:
    """How many samples `make` makes a second."""
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        make(image, seed * 100_000 + count)
        count += 1
    return count / (time.perf_counter() - started)


def compare_pipelines(runs: int, seconds: float) -> None:
    """Print the median samples/s of every variant at both crop sizes."""
    image = field()
    fast = [name for name in CONFIGURED if name not in SLOWEST]
    for sizes in ((224, 98), (112, 56)):
        variants = {
            "published, plain albumentations": plain_albumentations(*sizes),
            "ours, the same 33 operations": ours(*sizes, list(CONFIGURED)),
            "ours, without albumentations' six slowest": ours(*sizes, fast),
            "ours, crops and flips alone": ours(*sizes, []),
        }
        rates: dict[str, list[float]] = {name: [] for name in variants}
        for run in range(runs):
            for name, make in variants.items():
                rates[name].append(samples_per_second(make, image, seconds, run))
        base = statistics.median(rates["published, plain albumentations"])
        print(
            f"\n2 global + {LOCAL_COUNT} local crops at {sizes[0]}/{sizes[1]}, 1 core, median of {runs} runs"
        )
        for name, values in rates.items():
            median = statistics.median(values)
            spread = f"{min(values):.1f}-{max(values):.1f}"
            print(f"{name:50s} {median:8.1f} samples/s {median / base:6.2f} x   ({spread})")


def compare_operations(runs: int, size: int = 224) -> None:
    """Print the median microseconds of every operation, ours and albumentations'."""
    image = field(size)
    print(f"{'microseconds at ' + str(size):28s}{'albumentations':>16s}{'ours':>10s}   median of {runs}")
    for name in CONFIGURED:
        original, mine = ALBUMENTATIONS[name](), PIXEL_OPERATIONS[name]
        rng = np.random.default_rng(0)
        times = [
            (_microseconds(partial(original, image=image)), _microseconds(partial(mine, image, rng)))
            for _ in range(runs)
        ]
        theirs, own = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:28s}{theirs:16.0f}{own:10.0f}")


def _microseconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return 1e6 * (time.perf_counter() - started)


def main() -> None:
    """Parse the command line and print one of the two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--operations", action="store_true", help="cost of each operation instead")
    parser.add_argument("--runs", type=int, default=5, help="repetitions of which the median is printed")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one repetition of one variant")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    if arguments.operations:
        compare_operations(max(arguments.runs, 15))
    else:
        compare_pipelines(arguments.runs, arguments.seconds)


if __name__ == "__main__":
    main()
