"""Simulated reviews: what a strategy would have saved, on labels that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reddino.api.sole_writer import sole_writer
from reddino.embedding.finite import require_finite
from reddino.embedding.table import read_embeddings
from reddino.evaluation.class_map import labelled_rows
from reddino.evaluation.splits import require_two_classes
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import provenance
from reddino.reviewing.choices import STRATEGIES, Strategy
from reddino.reviewing.grouping import warn_of_parted
from reddino.reviewing.pool import CellVectors
from reddino.reviewing.simulate import simulate as run
from reddino.reviewing.simulation_files import write_simulation
from reddino.reviewing.simulation_report import SimulationReport


@sole_writer(files=("out",))
def simulate(
    table: str | Path,
    *,
    strategies: Sequence[Strategy] = ("random", "default"),
    budget: int = 500,
    batch: int = 20,
    seeds: int = 10,
    sought: Sequence[str] = (),
    label: str = "label",
    group_by: str | None = None,
    join_sources: Sequence[str] = (),
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
    out: str | Path | None = None,
) -> SimulationReport:
    """Simulate reviews of a labelled table, whose labels are hidden until a strategy requests them.

    Args:
        table: folder of an embedding table with a row for each cell.
        strategies: of `reddino.reviewing.choices.STRATEGIES`; with random, the others are compared with it.
        budget: labels to spend.
        batch: labels between two fits.
        seeds: runs of each strategy, each of which tests another third of the groups.
        sought: classes that `default` and `rare` look for; none named: those that lag behind.
        label: column of the classes; rows without one take no part.
        group_by: column of what is tested as a whole and never shown; None: image, group, slide or patient.
        join_sources: columns whose values mean the same under every source.
        drop: labels to leave out.
        rename: old label to new.
        out: .csv file for the scores; `.found.csv`, `.json` and `.png` go next to it.

    Raises:
        RedDinoError: no such strategy or sought class, one class or group only, or a number below 1.
    """
    unknown = [name for name in strategies if name not in STRATEGIES]
    if unknown or not strategies:
        raise RedDinoError(
            f"no strategy '{unknown[0] if unknown else ''}': choose from {', '.join(STRATEGIES)}"
        )
    for name, value in (("budget", budget), ("batch", batch), ("seeds", seeds)):
        if value < 1:
            raise RedDinoError(f"{name} must be 1 or more, not {value}")
    if out is not None and Path(out).suffix != ".csv":
        raise RedDinoError(f"{out}: scores of a simulation are written as .csv (and .json, .png next to it)")
    emb, labels = labelled_rows(read_embeddings(table), label, {**(rename or {}), **dict.fromkeys(drop)})
    require_finite(emb)
    require_two_classes(labels)
    cells = CellVectors.of(emb, group_by=group_by, join_sources=join_sources)
    warn_of_parted(emb, cells.groups, group_by)
    chosen = list(dict.fromkeys(strategies))
    report = SimulationReport.of(
        run(cells, labels, chosen, budget=budget, batch=batch, seeds=seeds, sought=sought)
    )
    if out is not None:
        meta = emb.meta
        origin = provenance(
            seed=list(range(seeds)),
            data=str(meta.get("data", "")),
            model=str(meta.get("weights_hash", "")),
        )
        title = f"{Path(table).name}: {meta.get('model', '')}, mean of {seeds} seeds and its 95 % interval"
        write_simulation(Path(out), report, origin, title)
    return report
