"""Who embeds the views of a pass: this process, or others that it deals them to."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from reddino.embedding.batches import Dealer, Forecast
from reddino.embedding.kinds import KindReader
from reddino.embedding.open_part import PartEnd, Run
from reddino.embedding.output_writer import EmbeddedBatch
from reddino.embedding.prefetch import prefetch
from reddino.embedding.view_encoder import ViewEncoder
from reddino.views.scales import Diameters

Embedded: TypeAlias = EmbeddedBatch | PartEnd


@dataclass(frozen=True)
class PassWork:
    """What is done in a pass, whoever does it.

    Attributes:
        dealer: of the images.
        encoder: that embeds their views.
        pooling: which output is the embedding.
        kinds: separates red cells from everything else, or None.
        diameters: with which the dealer's views are placed.
        row_bytes: of the output for a view.
    """

    dealer: Dealer
    encoder: ViewEncoder
    pooling: str
    kinds: KindReader | None
    diameters: Diameters | None
    row_bytes: int


class PassDriver(Protocol):
    """Has the views of a pass embedded, in this process or by others."""

    def embedded(
        self, work: PassWork, missing: Sequence[Run], forecast: Forecast
    ) -> Generator[tuple[Embedded, int], None, None]:
        """Yield batches and ends of parts in the order of their images, with the views of the whole pass."""
        ...


class OneProcess:
    """Embeds in this process: images are opened in background threads while the network computes."""

    def embedded(
        self, work: PassWork, missing: Sequence[Run], forecast: Forecast
    ) -> Generator[tuple[Embedded, int], None, None]:
        """Yield batches and ends of parts in the order of their images, with the views of the whole pass."""
        expected = 0
        with closing(prefetch(work.dealer.deal(missing, forecast))) as items:
            for item in items:
                if isinstance(item, PartEnd):
                    yield item, expected
                    continue
                output = work.encoder.embed(item.images, work.pooling)
                kinds, expected = work.kinds, item.expected
                read = kinds.of_batch(work.encoder, work.pooling, item, output) if kinds else None
                yield (
                    EmbeddedBatch(item.part, item.squares, output, read.columns() if read else {}),
                    expected,
                )
