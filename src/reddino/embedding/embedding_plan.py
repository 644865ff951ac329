"""What an embedding pass over many images would take, added up from a short pass over some of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reddino.foundations.counting import counted

#: Part of the time of an image from which on opening it (decoding, finding cells, cutting) is the bottleneck.
_BOUND = 0.9


@dataclass(frozen=True)
class EmbeddingPlan:
    """What a pass takes, measured on a sample of its images.

    Attributes:
        images: of the whole pass.
        sampled: images that the probe embedded.
        nodes: machines like this one that share the images.
        views_per_image: mean over the sample.
        seconds_per_image: of one node, beyond what starting takes.
        spread: half of a 95 % interval of `seconds_per_image`, as a fraction of it; 0 where unknown.
        start_seconds: of a pass on each node: reading the manifest, opening the network, comparing runtimes.
        open_seconds: decoding an image, finding its cells and cutting its views, in one thread.
        cores: that open images and compute.
        bytes_read: of an image's file, mean.
        bytes_written: of a view in the table.
        memory: bytes that this process took at most.
        failed: images of the sample that could not be used.
        runtime: that computed, and its precision.
        more_nodes: further numbers of machines to compare with.
    """

    images: int
    sampled: int
    nodes: int
    views_per_image: float
    seconds_per_image: float
    spread: float
    start_seconds: float
    open_seconds: float
    cores: int
    bytes_read: float
    bytes_written: float
    memory: int
    failed: int
    runtime: str
    more_nodes: tuple[int, ...] = ()

    @property
    def views(self) -> float:
        """Views of the whole pass."""
        return self.images * self.views_per_image

    @property
    def hours(self) -> float:
        """Of the whole pass on all nodes."""
        return (self.images / self.nodes * self.seconds_per_image + self.start_seconds) / 3600

    @property
    def table_bytes(self) -> float:
        """Bytes of the finished table."""
        return self.views * self.bytes_written

    @property
    def opening(self) -> float:
        """The part of an image's time that opening it takes where all cores open images."""
        return self.open_seconds / self.cores / self.seconds_per_image

    @property
    def read_rate(self) -> float:
        """Bytes a second that each node reads."""
        return self.bytes_read / self.seconds_per_image

    def text(self) -> str:
        """Return everything, for the user."""
        rate = self.views_per_image / self.seconds_per_image
        sure = f" (give or take {100 * self.spread:.0f} %)" if self.spread else ""
        lines = [
            f"probe         {counted(self.sampled, 'image')} of {self.images:,}, "
            f"{self.views_per_image:.1f} views each; {self.runtime} on {counted(self.cores, 'core')}",
            f"speed         {1 / self.seconds_per_image:.2f} images/s, {rate:.1f} views/s a node{sure}",
            f"length        {self.views:,.0f} views: {_time(self.hours)} on {counted(self.nodes, 'node')}, "
            f"of which {self.start_seconds:.0f} s to start",
            f"storage       {_size(self.table_bytes)} of table ({self.bytes_written:,.0f} bytes a view)",
            f"memory        {_size(self.memory)} a node, whatever the number of images",
            f"reading       {_size(self.read_rate)}/s a node, {_size(self.read_rate * self.nodes)}/s from "
            f"storage in all; {_size(self.images * self.bytes_read)} in all",
            f"writing       {_size(self.bytes_written * rate)}/s a node",
            f"bottleneck    {self._bottleneck()}",
        ]
        if self.failed:
            lines.append(f"left out      {self.failed} of the {self.sampled} images cannot be used")
        if self.more_nodes:
            lines += ["", *self._by_nodes(), ""]
        return "\n".join([*lines, *_assumptions(max(self.nodes, *self.more_nodes, 1))])

    def _by_nodes(self) -> list[str]:
        """Return a line for each number of nodes: time, speed, and what storage has to give and take."""
        rows = [("nodes", "time", "views/s", "read in all", "written in all", "starting")]
        for nodes in (self.nodes, *self.more_nodes):
            one = replace(self, nodes=nodes)
            pace = one.views / (3600 * one.hours)
            rows.append(
                (
                    f"{nodes:,}",
                    _time(one.hours),
                    f"{pace:,.1f}",
                    f"{_size(pace / self.views_per_image * self.bytes_read)}/s",
                    f"{_size(pace * self.bytes_written)}/s",
                    f"{100 * self.start_seconds / (3600 * one.hours):.1f} %",
                )
            )
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]

    def _bottleneck(self) -> str:
        part = f"opening images takes {100 * min(self.opening, 1):.0f} % of what the cores have"
        if self.opening >= _BOUND:
            return f"{part}: more cores, or smaller pictures, make it faster; a faster network does not"
        return f"the network; {part}"


def _assumptions(nodes: int) -> list[str]:
    several = "; nodes that are as fast and share the images evenly" if nodes > 1 else ""
    return [f"assumed       images like those of the sample, and storage that gives what is read{several}"]


def _time(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:,.1f} days"
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{hours * 60:.1f} minutes" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def _size(number: float) -> str:
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number:.0f} bytes"
