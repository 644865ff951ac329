"""The reading of each picture of a collection: one bit depth for a source, one focus plane for a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.foundations.stages import stage
from reddino.foundations.stores.objects import each
from reddino.smears.decode import ImageError, PictureHeader, read_header, sharpest_plane, stored_samples
from reddino.smears.findings import Finding
from reddino.smears.formats.samples import robust_highest, smallest_depth
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import LEVEL_COLUMNS, READING_COLUMNS
from reddino.smears.page_checks import pages_passed_over
from reddino.smears.stored_pictures import picture_url
from reddino.smears.suffixes import PLAIN_SUFFIXES
from reddino.smears.window_rules import require_one_depth

Numbers = NDArray[np.float64]

#: Pictures of a source whose pixels are read where no file states its depth, spread over all of them.
_SAMPLE = 256


class Readings:
    """The columns of a table on how its pictures are read, by path.

    Args:
        table: with a column `path`, and `bit_depth` and `plane` where pictures need them.
    """

    def __init__(self, table: pa.Table) -> None:
        self._options: dict[str, dict[str, int]] = {}
        for name in READING_COLUMNS:
            if name not in table.column_names:
                continue
            paths, values = table.column("path").to_pylist(), table.column(name).to_pylist()
            for path, value in zip(paths, values, strict=True):
                if path is not None and value is not None:
                    self._options.setdefault(path, {})[name] = int(value)

    def of(self, path: str) -> Mapping[str, int]:
        """Return the options of `decode_image` for a picture; none for an ordinary one."""
        return self._options.get(path, {})


@dataclass(frozen=True)
class _Picture:
    """An image of the manifest that is not read like any other.

    Attributes:
        number: of the image.
        path: as it stands in the manifest.
        source: of its first row.
        header: its header.
    """

    number: int
    path: str
    source: str
    header: PictureHeader

    @property
    def deep(self) -> bool:
        """Whether it holds samples of which not every bit need count."""
        return self.header.bits >= 16


def settle_readings(manifest: Manifest) -> Manifest:
    """Fill the columns `bit_depth` and `plane` for the pictures that need them, and note what was chosen.

    The depth of a source's 16-bit pictures is the one in its column, else the one that the files state, else
    the smallest of 8, 10, 12, 14 and 16 bits that holds the values of all of them, single hot pixels aside.
    Of several focus planes the sharpest is taken where the column names none.

    Collections of ordinary pictures come back as they are; of their PNG and TIFF files the first bytes are
    read.

    Raises:
        RedDinoError: a source has two depths, or a picture two planes.
    """
    names, codes = manifest.images()
    sources = manifest.strings("source")
    first = np.unique(codes, return_index=True)[1].tolist()
    windowed = any(not np.isnan(_given(manifest, name)).all() for name in LEVEL_COLUMNS)
    # With windows those of 9 to 15 bits count too, which otherwise are read in one way alone.
    headers = _unusual_headers([manifest.root / name for name in names], 8 if windowed else 15)
    pictures = [
        _Picture(number, name, sources[row], header)
        for number, (name, row, header) in enumerate(zip(names, first, headers, strict=True))
        if header is not None
    ]
    if not pictures:
        return manifest
    with stage("reading bit depths and planes"):
        planes, stacks = _planes(manifest, pictures)
        depths, found = _depths(manifest, pictures, planes)
    for column, values in (("plane", planes), ("bit_depth", depths)):
        if not np.isnan(values).all():
            manifest = manifest.with_column(column, pa.array(values[codes], from_pandas=True))
    passed_over = pages_passed_over({picture.path: picture.header for picture in pictures})
    found = [*stacks, *found, *passed_over]
    return replace(manifest, findings=tuple(dict.fromkeys((*manifest.findings, *found))))


def _unusual_headers(paths: Sequence[Path], most: int) -> Iterator[PictureHeader | None]:
    """Yield what `_unusual_header` reads of each, several at a time where they are in a store."""
    stored = any(picture_url(path) is not None for path in paths)
    header = partial(_unusual_header, most=most)
    return each(paths, header) if stored else map(header, paths)


def _unusual_header(path: Path, most: int) -> PictureHeader | None:
    """Read the header where it is out of the ordinary: of more than `most` bits, or of several planes.

    Damaged files are refused when they are decoded.
    """
    if str(path).lower().endswith(PLAIN_SUFFIXES):
        return None
    try:
        header = read_header(path)
    except ImageError:
        return None
    ordinary = header == PictureHeader(header.bits, header.stated) and header.bits <= most
    return None if ordinary else header


def _given(manifest: Manifest, column: str) -> Numbers:
    """Return the value of a column for each image (m,); NaN where it is empty.

    Raises:
        RedDinoError: the rows of one image disagree.
    """
    names, codes = manifest.images()
    given = np.full(len(names), np.nan)
    if column not in manifest.table.column_names:
        return given
    values = manifest.numbers(column)
    for row in np.flatnonzero(~np.isnan(values)).tolist():
        known = given[codes[row]]
        if not np.isnan(known) and known != values[row]:
            raise RedDinoError(
                f"{names[codes[row]]} has {column} {known:g} in one row of the manifest and {values[row]:g} "
                "in another; give each picture one"
            )
        given[codes[row]] = values[row]
    return given


def _channels(manifest: Manifest) -> dict[str, int]:
    """Return the channel that is taken as grey, by path, of the pictures whose rows name one.

    Raises:
        RedDinoError: the rows of one image disagree.
    """
    given = _given(manifest, "grey_channel")
    return {
        name: int(value)
        for name, value in zip(manifest.images()[0], given, strict=True)
        if not np.isnan(value)
    }


def _planes(manifest: Manifest, pictures: Iterable[_Picture]) -> tuple[Numbers, list[Finding]]:
    """Return the plane of each image (m,), NaN where it has only one; and the choices as findings."""
    planes = _given(manifest, "plane")
    channels = _channels(manifest)
    chosen: list[tuple[str, int, int]] = []
    for picture in pictures:
        if picture.header.planes == 1 or not np.isnan(planes[picture.number]):
            continue
        try:
            plane = sharpest_plane(manifest.root / picture.path, channels.get(picture.path))
        except ImageError:
            continue
        planes[picture.number] = plane
        chosen.append((picture.path, plane, picture.header.planes))
    if not chosen:
        return planes, []
    path, plane, count = chosen[0]
    message = (
        f"of the focus planes of {counted(len(chosen), 'picture')} the sharpest is taken (plane {plane} of "
        f"{count} in the first); to choose, fill the column plane of a manifest (`reddino manifest folder` "
        "writes one)"
    )
    return planes, [Finding("several focus planes", message, len(chosen), path)]


def _depths(manifest: Manifest, pictures: list[_Picture], planes: Numbers) -> tuple[Numbers, list[Finding]]:
    """Return the depth of each 16-bit image (m,), one per source; and the choices as findings."""
    depths = _given(manifest, "bit_depth")
    findings: list[Finding] = []
    by_source: dict[str, list[_Picture]] = {}
    for picture in pictures:
        if picture.header.bits > 8:
            by_source.setdefault(picture.source, []).append(picture)
    for source, several in by_source.items():
        deep = [picture for picture in several if picture.deep]
        if _has_window(manifest, source, several) or not deep:
            continue
        numbers = [picture.number for picture in deep]
        given = sorted({depths[number] for number in numbers if not np.isnan(depths[number])})
        if len(given) > 1:
            raise RedDinoError(
                f"source '{source}' has bit_depth {given[0]:g} and {given[1]:g} in the manifest: a source "
                "has one depth; give each camera a source of its own"
            )
        if given:
            depth: float | None = given[0]
        else:
            depth, found = _own_depth(manifest, source, deep, planes)
            findings += found
        if depth is not None:
            depths[numbers] = depth
    return depths, findings


def _has_window(manifest: Manifest, source: str, several: list[_Picture]) -> bool:
    """Return whether the pictures of more than 8 bits of a source are read by a window, one for all.

    Raises:
        RedDinoError: they have several, some have one and others have none, or they are of several depths.
    """
    numbers = [picture.number for picture in several]
    black, white = (np.nan_to_num(_given(manifest, name), nan=-1) for name in LEVEL_COLUMNS)
    windows = sorted(set(zip(black[numbers].tolist(), white[numbers].tolist(), strict=True)))
    if len(windows) > 1:
        first, other = ("none" if low < 0 else f"{low:g} to {high:g}" for low, high in windows[:2])
        raise RedDinoError(
            f"source '{source}' has several windows in the manifest (black_level to white_level: {first}; "
            f"{other}): a source has one; give each camera a source of its own"
        )
    if windows[0][0] < 0:
        return False
    require_one_depth(source, {picture.header.bits: picture.path for picture in reversed(several)})
    return True


def _own_depth(
    manifest: Manifest, source: str, deep: list[_Picture], planes: Numbers
) -> tuple[float | None, list[Finding]]:
    """Return the depth that the files of a source state or show."""
    stated = Counter(picture.header.stated for picture in deep if picture.header.stated is not None)
    if stated:
        scaled = [picture for picture in deep if picture.path.lower().endswith(".png")]
        measured, _ = _measured_depth(manifest, source, scaled, planes)
        if measured is not None and measured > max(stated):
            return 16, []  # scaled up to 16 bits, as PNG requires where fewer count
        if len(stated) == 1:
            return max(stated), []
        first = next(picture for picture in deep if picture.header.stated != max(stated))
        return max(stated), [_disagreement(source, stated, max(stated), first.path, "state")]
    return _measured_depth(manifest, source, [one for one in deep if one.header.bits == 16], planes)


def _measured_depth(
    manifest: Manifest, source: str, deep: list[_Picture], planes: Numbers
) -> tuple[float | None, list[Finding]]:
    """Return the smallest depth that holds the values of a source's pictures, single hot pixels aside."""
    spread = np.unique(np.linspace(0, len(deep) - 1, min(_SAMPLE, len(deep))).round().astype(int)).tolist()
    channels = _channels(manifest)
    seen: dict[str, int] = {}
    hot: list[tuple[str, int]] = []
    for picture in (deep[place] for place in spread):
        plane = None if np.isnan(planes[picture.number]) else int(planes[picture.number])
        try:
            values = stored_samples(manifest.root / picture.path, plane, channels.get(picture.path)).values
        except ImageError:
            continue
        seen[picture.path] = smallest_depth(robust_highest(values))
        hot.append((picture.path, int(values.max(initial=0))))
    if not seen:
        return None, []
    depth = max(seen.values())
    message = (
        f"the 16-bit samples of source '{source}' are read as {depth} bits, the smallest depth that holds "
        "their values; if that is wrong, fill the column bit_depth of a manifest (`reddino manifest folder` "
        "writes one)"
    )
    findings = [Finding("bit depth measured", message, len(deep), deep[0].path, harmless=True)]
    if len(set(seen.values())) > 1:
        first = next(path for path, own in seen.items() if own < depth)
        findings.append(_disagreement(source, Counter(seen.values()), depth, first, "need"))
    above = [path for path, highest in hot if highest >= 2**depth]
    if above:
        message = (
            f"single values of source '{source}' lie above its {depth} bits and become white (hot pixels)"
        )
        findings.append(Finding("values above the bit depth", message, len(above), above[0]))
    return depth, findings


def _disagreement(source: str, counts: Counter[int], depth: int, first: str, verb: str) -> Finding:
    each = ", ".join(f"{bits} bits in {count}" for bits, count in sorted(counts.items()))
    return Finding(
        "bit depths differ",
        f"the 16-bit pictures of source '{source}' {verb} different depths ({each}) and are all read as "
        f"{depth} bits; where they come from different cameras, give each a source of its own",
        sum(count for bits, count in counts.items() if bits != depth),
        first,
    )
