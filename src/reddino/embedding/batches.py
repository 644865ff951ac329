"""Deal images to the parts of a table, and their squares to the batches of a network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from reddino.embedding.prefetch import prefetch_map
from reddino.embedding.view_encoder import Images
from reddino.smears.contents import Content, read_content, require_unchanged
from reddino.smears.failures import Failures, ImageError
from reddino.smears.manifest import Manifest
from reddino.smears.sketches import sketch_of
from reddino.views.by_image import ViewsByImage
from reddino.views.opened import OpenedImage
from reddino.views.placing import Squares

Entries = TypeVar("Entries", bound=npt.NDArray[Any])
#: Images from one number up to, not including, another.
Run = tuple[int, int]


@dataclass(frozen=True)
class Batch:
    """Squares to embed, all of one part.

    Attributes:
        part: number of the part's first image.
        squares: (n,).
        images: their pixels, (n, s, s, 3).
        expected: views of the whole pass, as far as they are known.
    """

    part: int
    squares: Squares
    images: Images
    expected: int


@dataclass(frozen=True)
class PartEnd:
    """The end of a part: all its batches have been yielded.

    Attributes:
        images: of the part.
        failures: (path, reason) of those that are unusable.
        views: squares yielded.
        dropped: squares left out, since they leave their image, by the label of their row.
        hashes: sketches of the images that were opened, by number (`reddino.smears.sketches.Sketch.as_hex`).
        contents: of the images that were opened, by number: size, dates and digest of their files.
    """

    images: Run
    failures: tuple[tuple[str, str], ...]
    views: int
    dropped: dict[str, int]
    hashes: dict[int, str]
    contents: dict[int, tuple[int, int, int, str]]


class Forecast:
    """How many views a pass will have, from what each image lists, or from the mean of those seen so far."""

    def __init__(self, views: ViewsByImage, runs: Sequence[Run], done_views: int) -> None:
        self._listed = views.expected()
        self._images_left = sum(stop - start for start, stop in runs)
        self._images_seen = len(views) - self._images_left
        self._views_seen = done_views
        self._views_left = (
            0 if self._listed is None else sum(int(self._listed[start:stop].sum()) for start, stop in runs)
        )

    def see(self, image: int, views: int) -> None:
        """Note that image number `image` has `views` views."""
        self._images_left -= 1
        self._images_seen += 1
        self._views_seen += views
        if self._listed is not None:
            self._views_left -= int(self._listed[image])

    def total(self) -> int:
        """Return the views of the whole pass, as far as they are known."""
        if self._listed is not None:
            return self._views_seen + self._views_left
        mean = self._views_seen / max(self._images_seen, 1)
        return self._views_seen + math.ceil(mean * self._images_left)


@dataclass(frozen=True)
class Dealer:
    """Deals images, opened in several threads, to parts and batches.

    Parts are whole images, one after the other, and end with the image that brings them to `part_rows` views
    (or images). Each part begins with a new batch: what a part holds depends on its first image alone, not on
    what an earlier call finished.

    Attributes:
        views: of the manifest, by image.
        part_rows: views of a part, up to the next whole image.
        batch_size: views of a batch; the last of a part may be shorter.
        threads: in which images are opened, and sketched.
    """

    views: ViewsByImage
    part_rows: int
    batch_size: int
    threads: int

    @cached_property
    def _listed(self) -> npt.NDArray[np.int64] | None:
        return self.views.expected()

    def deal(self, runs: Sequence[Run], forecast: Forecast) -> Generator[Batch | PartEnd, None, None]:
        """Yield the batches of every part of `runs`, each part followed by its end."""
        numbers = (number for start, stop in runs for number in range(start, stop))
        opened = prefetch_map(self._open, numbers, self.threads)
        try:
            for start, stop in runs:
                first = start
                while first < stop:
                    part = _OpenPart(first)
                    stacks = self._stacks(part, stop, opened, forecast)
                    for squares, images in rebatch(stacks, self.batch_size):
                        yield Batch(first, squares, images, forecast.total())
                    yield part.end(self.views.manifest)
                    first = part.stop
        finally:
            opened.close()

    def _open(self, number: int) -> _Read:
        """Open an image, sketch it and cut its first squares: the rest is cut later, to bound memory."""
        path = self.views.manifest.root / self.views.names[number]
        content = read_content(path) if self._is_read(number) else None
        found = self._decode(number)
        require_unchanged(path, content)
        return _Read(found, content)

    def _is_read(self, number: int) -> bool:
        return self._listed is None or bool(self._listed[number])

    def _decode(self, number: int) -> tuple[OpenedImage, Images, str | None] | ImageError:
        try:
            opened = self.views.open(number)
        except ImageError as error:
            return error
        sketch = sketch_of(opened.pixels).as_hex() if opened.pixels.size else None
        return opened, opened.cut(0, self.batch_size, self.views.spec.output), sketch

    def _stacks(
        self,
        part: _OpenPart,
        stop: int,
        opened: Iterator[_Read],
        forecast: Forecast,
    ) -> Iterator[tuple[Squares, Images]]:
        """Yield the squares of one part, image by image, and note in `part` what came of each image."""
        size = self.batch_size
        while part.stop < stop and part.views < self.part_rows and part.images < self.part_rows:
            read = next(opened)
            number, result = part.stop, read.result
            part.stop += 1
            if read.content is not None:
                part.contents[number] = (*vars(read.content.state).values(), read.content.digest)
            if isinstance(result, ImageError):
                part.failures.add(result.path, result.reason)
                forecast.see(number, 0)
                continue
            image, first, sketch = result
            if sketch is not None:
                part.hashes[number] = sketch
            part.views += len(image.squares)
            part.dropped += image.dropped.tolist()
            forecast.see(number, len(image.squares))
            if len(first):
                yield image.squares[:size], first
            for start in range(size, len(image.squares), size):
                yield (
                    image.squares[start : start + size],
                    image.cut(start, start + size, self.views.spec.output),
                )


@dataclass(frozen=True)
class _Read:
    """What came of an image: itself, its first squares and its hash, or why not; and its file's content."""

    result: tuple[OpenedImage, Images, str | None] | ImageError
    content: Content | None


@dataclass
class _OpenPart:
    """A part in the making, of the images `start` to `stop`."""

    start: int
    stop: int = field(init=False)
    views: int = 0
    dropped: list[int] = field(default_factory=list)
    failures: Failures = field(default_factory=Failures)
    hashes: dict[int, str] = field(default_factory=dict)
    contents: dict[int, tuple[int, int, int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stop = self.start

    @property
    def images(self) -> int:
        return self.stop - self.start

    def end(self, manifest: Manifest) -> PartEnd:
        failures = tuple(relative_failures(self.failures, manifest))
        labels = Counter(manifest.select(np.array(self.dropped, np.int64)).strings("label"))
        return PartEnd(
            (self.start, self.stop),
            failures,
            self.views,
            dict(sorted(labels.items())),
            self.hashes,
            self.contents,
        )


def rebatch(stacks: Iterable[tuple[Entries, Images]], size: int) -> Iterator[tuple[Entries, Images]]:
    """Yield stacks (squares or their numbers, and pixels) as batches of `size`, save the last."""
    squares: list[Entries] = []
    images: list[Images] = []
    held = 0
    for new_squares, new_images in stacks:
        squares.append(new_squares)
        images.append(new_images)
        held += len(new_squares)
        if held < size:
            continue
        joined_squares: Entries = cast(Entries, np.concatenate(squares))
        joined = np.concatenate(images)
        whole = held - held % size
        for start in range(0, whole, size):
            yield cast(Entries, joined_squares[start : start + size]), joined[start : start + size]
        squares, images = [cast(Entries, joined_squares[whole:])], [joined[whole:]]
        held -= whole
    if held:
        yield cast(Entries, np.concatenate(squares)), np.concatenate(images)


def relative_failures(failures: Failures, manifest: Manifest) -> list[tuple[str, str]]:
    """Return (path, reason) of each failure, the path as in the manifest."""
    return [(_relative(Path(path), manifest.root), reason) for path, reason in failures]


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
