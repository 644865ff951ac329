"""Deal images to the parts of a table, and their squares to the batches of a network."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from reddino.embedding.open_part import ImageOutcome, OpenPart, PartEnd, Run, relative_path
from reddino.embedding.prefetch import prefetch_map
from reddino.embedding.view_encoder import Images
from reddino.smears.contents import read_content, require_unchanged
from reddino.smears.failures import ImageError
from reddino.smears.sketches import sketch_of
from reddino.smears.stored_pictures import fetched_once
from reddino.views.by_image import ViewsByImage
from reddino.views.opened import OpenedImage
from reddino.views.placing import Squares

Entries = TypeVar("Entries", bound=npt.NDArray[Any])
_NO_IMAGES: Images = np.empty((0, 0, 0, 3), dtype=np.uint8)


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
        opened = self.opened(numbers)
        try:
            for start, stop in runs:
                first = start
                while first < stop:
                    part = OpenPart(first)
                    stacks = self._stacks(part, stop, opened, forecast)
                    for squares, images in rebatch(stacks, self.batch_size):
                        yield Batch(first, squares, images, forecast.total())
                    yield part.end(self.views.manifest)
                    first = part.stop
        finally:
            opened.close()

    def _open(self, number: int) -> ReadImage:
        """Open an image, sketch it and cut its first squares: the rest is cut later, to bound memory."""
        path = self.views.manifest.root / self.views.names[number]
        with fetched_once(path):
            content = read_content(path) if self._is_read(number) else None
            read = self._decode(number)
            require_unchanged(path, content)
        if content is None:
            return read
        noted = (*vars(content.state).values(), content.digest)
        return replace(read, outcome=replace(read.outcome, content=noted))

    def _is_read(self, number: int) -> bool:
        return self._listed is None or bool(self._listed[number])

    def _decode(self, number: int) -> ReadImage:
        try:
            opened = self.views.open(number)
        except ImageError as error:
            failure = (relative_path(error.path, self.views.manifest.root), error.reason)
            return ReadImage(ImageOutcome(number, failure=failure), None, _NO_IMAGES)
        outcome = ImageOutcome(
            number,
            len(opened.squares),
            sketch=sketch_of(opened.pixels).as_hex() if opened.pixels.size else None,
            dropped=tuple(opened.dropped.tolist()),
        )
        return ReadImage(outcome, opened, opened.cut(0, self.batch_size, self.views.spec.output))

    def opened(self, numbers: Iterable[int]) -> Generator[ReadImage, None, None]:
        """Yield images in the order of `numbers`, opened ahead in several threads."""
        return prefetch_map(self._open, numbers, self.threads)

    def stacks(self, read: ReadImage) -> Iterator[tuple[Squares, Images]]:
        """Yield the squares of an image, and their pixels, a batch at a time."""
        if read.image is None:
            return
        size, squares = self.batch_size, read.image.squares
        if len(read.first):
            yield squares[:size], read.first
        for start in range(size, len(squares), size):
            yield (
                squares[start : start + size],
                read.image.cut(start, start + size, self.views.spec.output),
            )

    def _stacks(
        self,
        part: OpenPart,
        stop: int,
        opened: Iterator[ReadImage],
        forecast: Forecast,
    ) -> Iterator[tuple[Squares, Images]]:
        """Yield the squares of one part, image by image, and note in `part` what came of each image."""
        while part.stop < stop and part.takes_more(self.part_rows):
            read = next(opened)
            part.add(read.outcome)
            forecast.see(read.outcome.number, read.outcome.views)
            yield from self.stacks(read)


@dataclass(frozen=True)
class ReadImage:
    """What came of an image, itself, and its first squares: without image where there is nothing to cut."""

    outcome: ImageOutcome
    image: OpenedImage | None
    first: Images


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
