"""One window of sample values for a source: what becomes black and white, by percentiles of its pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import watched
from reddino.smears.decode import ImageError, read_header, stored_samples
from reddino.smears.findings import Finding
from reddino.smears.formats.samples import Samples
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import LEVEL_COLUMNS
from reddino.smears.readings import Readings
from reddino.smears.window_rules import require_one_depth

#: Pictures of a source whose samples are counted, spread over all of them.
SAMPLE = 64
#: Samples have up to 16 bits here; of deeper ones no window is measured.
_VALUES = 2**16
#: What the finding of a window is called.
WINDOW = "window measured"


def with_windows(manifest: Manifest, low: float, high: float) -> Manifest:
    """Fill black_level and white_level of the pictures of more than 8 bits, one window for each source.

    A window runs from the `low` to the `high` percentile of all samples of up to 64 pictures of the source,
    so that no picture is scaled by what it happens to hold. It is for cameras that use a small part of
    their depth; what lies outside of it is cut off.

    Args:
        manifest: of pictures or of regions; rows of other pictures stay as they are.
        low: percentile that becomes black, 0..100.
        high: percentile that becomes white, above `low`.

    Returns:
        The manifest, with each window and what it cuts off among its `findings`.

    Raises:
        RedDinoError: percentiles that make no sense, no picture of more than 8 bits, or one of 32 bits.
    """
    if not 0 <= low < high <= 100:
        raise RedDinoError(
            f"a window needs two percentiles from 0 to 100, the lower one first: not {low:g} and {high:g}"
        )
    names, codes = manifest.images()
    sources = manifest.strings("source")
    first = np.unique(codes, return_index=True)[1]
    by_source: dict[str, dict[int, list[int]]] = {}
    for number, row in enumerate(first.tolist()):
        bits = _bits(manifest, names[number])
        if bits is not None:
            by_source.setdefault(sources[row], {}).setdefault(bits, []).append(number)
    if not any(bits > 8 for depths in by_source.values() for bits in depths):
        raise RedDinoError("a window is for pictures of more than 8 bits, and there are none: leave it out")
    levels = np.full((2, len(names)), np.nan)
    findings: list[Finding] = []
    for source, depths in by_source.items():
        deep = {bits: numbers for bits, numbers in depths.items() if bits > 8}
        if not deep:
            continue
        require_one_depth(source, {bits: names[one[0]] for bits, one in deep.items()})
        numbers = next(iter(deep.values()))
        shallow = sorted(number for bits, some in depths.items() if bits <= 8 for number in some)
        counts = _counts(manifest, [names[number] for number in _spread(numbers)], source)
        black, white = _window(counts, low, high, source)
        levels[0, numbers], levels[1, numbers] = black, white
        findings.append(_finding(source, counts, (black, white), len(numbers), names[numbers[0]]))
        if shallow:
            findings.append(_left_alone(source, len(shallow), names[shallow[0]]))
    # Both at once: a manifest with one of them alone would be refused.
    table = manifest.table.drop_columns([one for one in LEVEL_COLUMNS if one in manifest.table.column_names])
    for column, values in zip(LEVEL_COLUMNS, levels, strict=True):
        table = table.append_column(column, pa.array(values[codes], from_pandas=True))
    return replace(manifest, table=table, findings=(*manifest.findings, *findings))


def _bits(manifest: Manifest, name: str) -> int | None:
    try:
        return read_header(manifest.root / name).bits
    except ImageError:
        return None  # it is refused where it is decoded


def _spread(numbers: Sequence[int]) -> list[int]:
    """Return up to `SAMPLE` of the numbers, spread over all."""
    places = np.linspace(0, len(numbers) - 1, min(SAMPLE, len(numbers))).round().astype(int)
    return [numbers[place] for place in np.unique(places).tolist()]


def _counts(manifest: Manifest, names: Sequence[str], source: str) -> NDArray[np.int64]:
    """Return how often each sample value (65,536) occurs in some pictures."""
    readings, counts = Readings(manifest.table), np.zeros(_VALUES, dtype=np.int64)
    for name in watched(names, f"measuring the window of {source}"):
        own = readings.of(name)
        try:
            samples = stored_samples(manifest.root / name, own.get("plane"), own.get("grey_channel"))
        except ImageError:
            continue
        counts += np.bincount(_whole(name, samples).reshape(-1), minlength=_VALUES)
    if not counts.any():
        raise RedDinoError(f"not one picture of source '{source}' can be read: see `reddino check`")
    return counts


def _whole(name: str, samples: Samples) -> NDArray[np.int64]:
    if samples.bits > 16 or samples.white_is_zero:
        what = "samples of which 0 is white" if samples.white_is_zero else f"{samples.bits}-bit samples"
        raise RedDinoError(f"{name} has {what}, of which no window is measured: save it with 16 bits")
    return samples.values.astype(np.int64)


def _window(counts: NDArray[np.int64], low: float, high: float, source: str) -> tuple[int, int]:
    """Return the values at two percentiles of all samples."""
    below = np.cumsum(counts)
    # The lowest is the smallest sample, not 0.
    black, white = (int(np.searchsorted(below, max(at / 100 * below[-1], 1))) for at in (low, high))
    if black >= white:
        raise RedDinoError(
            f"source '{source}' has the value {black} at both percentiles, so that there is no window: take "
            "percentiles that lie farther apart"
        )
    return black, white


def _left_alone(source: str, pictures: int, first: str) -> Finding:
    message = (
        f"no window for {counted(pictures, 'picture')} of up to 8 bits of source '{source}', whose light may "
        "differ from that of its others: give them a source of their own"
    )
    return Finding(WINDOW, message, pictures, first)


def _finding(
    source: str, counts: NDArray[np.int64], window: tuple[int, int], pictures: int, first: str
) -> Finding:
    black, white = window
    cut = (counts[:black].sum(), counts[white + 1 :].sum()) / counts.sum()
    measured = f", measured on {SAMPLE} of them" if pictures > SAMPLE else ""
    message = (
        f"of source '{source}' samples from {black} to {white} are spread over all greys, in "
        f"{counted(pictures, 'picture')}{measured}; {cut[0]:.2%} of all samples lie below and {cut[1]:.2%} "
        "above, and are cut off"
    )
    return Finding(WINDOW, message, pictures, first, harmless=True)
