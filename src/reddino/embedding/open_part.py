"""What came of each image, and the part of a table that images come to, one after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from reddino.smears.failures import Failures
from reddino.smears.manifest import Manifest

#: Images from one number up to, not including, another.
Run = tuple[int, int]


@dataclass(frozen=True)
class ImageOutcome:
    """What came of an image, besides its pixels.

    Attributes:
        number: of the image, in the order of the manifest.
        views: squares that are embedded.
        content: size, dates and digest of its file; None where it was not read.
        sketch: of its pixels (`reddino.smears.sketches.Sketch.as_hex`); None where there are none.
        failure: (path in the manifest, reason) of an image that cannot be used.
        dropped: rows of squares that were left out, since they leave the image.
    """

    number: int
    views: int = 0
    content: tuple[int, int, int, str] | None = None
    sketch: str | None = None
    failure: tuple[str, str] | None = None
    dropped: tuple[int, ...] = ()


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


@dataclass
class OpenPart:
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
        """Number of images so far."""
        return self.stop - self.start

    def takes_more(self, part_rows: int) -> bool:
        """Return whether the next image belongs to this part, which ends at `part_rows` views, or images."""
        return self.views < part_rows and self.images < part_rows

    def add(self, outcome: ImageOutcome) -> None:
        """Take the next image.

        Raises:
            ValueError: it is another one.
        """
        if outcome.number != self.stop:
            raise ValueError(f"image {outcome.number} came where {self.stop} was due")
        self.stop += 1
        if outcome.content is not None:
            self.contents[outcome.number] = outcome.content
        if outcome.failure is not None:
            self.failures.add(*outcome.failure)
        if outcome.sketch is not None:
            self.hashes[outcome.number] = outcome.sketch
        self.views += outcome.views
        self.dropped += outcome.dropped

    def end(self, manifest: Manifest) -> PartEnd:
        """Return the end of the part, for images of `manifest`."""
        labels = Counter(manifest.select(np.array(self.dropped, np.int64)).strings("label"))
        return PartEnd(
            (self.start, self.stop),
            tuple(self.failures),
            self.views,
            dict(sorted(labels.items())),
            self.hashes,
            self.contents,
        )


def relative_failures(failures: Failures, manifest: Manifest) -> list[tuple[str, str]]:
    """Return (path, reason) of each failure, the path as in the manifest."""
    return [(relative_path(Path(path), manifest.root), reason) for path, reason in failures]


def relative_path(path: Path, root: Path) -> str:
    """Return a path as it stands in a manifest whose folder is `root`."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
