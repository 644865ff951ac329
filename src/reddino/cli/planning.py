"""Plans of embedding passes: plan embed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

import reddino
from reddino.cli.options import Several
from reddino.cli.terminal import print_line, show_log
from reddino.cli.training import plan_app
from reddino.embedding.choices import Per, RuntimeName, StoredType
from reddino.foundations.choices import Precision
from reddino.networks.choices import Pooling
from reddino.networks.shipped import DEFAULT_MODEL
from reddino.smears.choices import Subfolders
from reddino.views.choices import Stain, Unit, ViewKind


@plan_app.command(name="embed")
def plan_embed(
    data: Annotated[list[str], Parameter(negative_iterable="")],
    /,
    *,
    model: str = DEFAULT_MODEL,
    nodes: Annotated[Sequence[int], Several] = (1,),
    images: int | None = None,
    seconds: float = 60.0,
    view: ViewKind | None = None,
    side: float | None = None,
    unit: Unit | None = None,
    stain: Stain = "none",
    pooling: Pooling = "cls",
    per: Per = "view",
    find_cells: Annotated[bool, Parameter(negative=())] = False,
    kinds: Annotated[bool, Parameter(negative=())] = False,
    batch_size: int = 64,
    device: str = "auto",
    dtype: StoredType = "float32",
    threads: int = 0,
    runtime: RuntimeName = "auto",
    precision: Precision = "auto",
    subfolders: Subfolders = "auto",
    seed: int = 0,
) -> None:
    """Estimate what an embedding pass takes: hours, memory, storage, and where the bottleneck is.

    Some of the images are embedded for about a minute, as `reddino embed` with the same options would; their
    vectors are thrown away.

    Args:
        data: as for embed, or a sample of it with --images.
        model: as for embed.
        nodes: machines like this one that share the images (1); several numbers, as 1 8 64, are compared.
        images: of the whole pass, where DATA is only a sample of them.
        seconds: that the probe takes, about.
        view: as for embed.
        side: as for embed.
        unit: as for embed.
        stain: as for embed.
        pooling: as for embed.
        per: as for embed.
        find_cells: as for embed.
        kinds: as for embed.
        batch_size: as for embed.
        device: as for embed.
        dtype: as for embed.
        threads: as for embed.
        runtime: as for embed.
        precision: as for embed.
        subfolders: as for embed.
        seed: of the choice of images.
    """
    show_log()
    made = reddino.plan_embed(
        [*data],
        model,
        nodes=[*nodes],
        images=images,
        seconds=seconds,
        view=view,
        side=side,
        unit=unit,
        stain=stain,
        pooling=pooling,
        per=per,
        find_cells=find_cells,
        kinds=kinds,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        threads=threads,
        runtime=runtime,
        precision=precision,
        subfolders=subfolders,
        seed=seed,
    )
    for line in made.text().splitlines():
        print_line(line)
