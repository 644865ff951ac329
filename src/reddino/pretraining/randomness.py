"""Random numbers that follow from the seed and a sample's number, whatever the batch, worker or rank."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: The uses of randomness; each has its own stream of numbers. Renumbering changes every run.
MASKS, DROP_PATH, INITIALISATION, TORCH = 1, 2, 3, 4
ORDER, CROPS = 101, 102

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Apply the finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbours give unrelated outputs."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def uniforms(seed: int, stream: int, keys: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Draw uniform numbers in [0, 1), one row per key.

    Args:
        seed: of the run.
        stream: which use of randomness (`MASKS`, `DROP_PATH`, ...).
        keys: (n,) global indices.
        count: numbers per key.

    Returns:
        (n, count) float64; row i depends on (seed, stream, keys[i]) alone.
    """
    with np.errstate(over="ignore"):
        start = _mix(np.full(1, np.uint64(seed % 2**64)) + _GOLDEN * np.uint64(stream + 1))
        rows = _mix(start + _GOLDEN * (keys.astype(np.uint64) + np.uint64(1)))
        cells = _mix(rows[:, None] + _GOLDEN * np.arange(1, count + 1, dtype=np.uint64)[None])
    return np.asarray((cells >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def derived_seed(seed: int, stream: int, key: int) -> int:
    """Return a seed for another generator, below 2**53."""
    return int(uniforms(seed, stream, np.array([key]), 1)[0, 0] * 2**53)


def generator(seed: int, stream: int, key: int) -> np.random.Generator:
    """Return a numpy generator for one key."""
    return np.random.Generator(np.random.PCG64(derived_seed(seed, stream, key)))
