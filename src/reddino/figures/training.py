"""The course of a pretraining run as curves over the samples seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reddino.figures.canvas import blank_figure
from reddino.figures.palette import PALETTE
from reddino.figures.projection import Points

Record = Mapping[str, Any]
Panel = tuple[str, Mapping[str, str]]

# What terms of the loss are called; others are drawn by their own names.
LOSSES: Mapping[str, str] = {
    "loss": "sum",
    "dino_loss": "DINO",
    "ibot_loss": "iBOT",
    "koleo_loss": "KoLeo",
    "pooled_loss": "distilled, pooled",
    "spatial_loss": "distilled, spatial",
    "morphology_loss": "distilled, morphology",
    "relations_loss": "distilled, relations",
}
# The other curves of a run: panel title, and the keys drawn in it with their names.
PANELS: tuple[Panel, ...] = (
    ("target entropy (nats)", {"target_entropy": "teacher's targets"}),
    (
        "online 20-NN",
        {
            "online_knn_macro_f1": "macro F1",
            "online_knn_weighted_f1": "wF1",
            "online_knn_balanced_accuracy": "bAcc",
        },
    ),
)
# What a report shows next to them.
HEALTH: tuple[Panel, ...] = (
    ("effective rank of the class tokens", {"rank": "rank"}),
    ("fraction of prototypes in use", {"prototypes_used": "prototypes"}),
    ("throughput (samples a second)", {"samples_per_s": "samples/s"}),
)
RATES: tuple[Panel, ...] = (
    ("learning rate", {"lr": "rate"}),
    ("weight decay", {"weight_decay": "decay"}),
    ("temperature", {"teacher_temperature": "teacher"}),
    ("momentum", {"ema_momentum": "EMA of the teacher"}),
)


def training_figure(metrics: Sequence[Record], title: str = "", prototypes: int | None = None) -> Figure:
    """Draw the loss with all its terms, target entropy and online 20-NN over the samples seen.

    Args:
        metrics: records of a run's metrics.jsonl; those without `samples` or a panel's keys are left out.
        title: of the figure.
        prototypes: K, to show ln K, the entropy of uniform targets; 0 leaves out what a run without
            prototypes does not have.
    """
    panels = [loss_panel(metrics), *(PANELS if prototypes != 0 else without_prototypes(PANELS))]
    figure = panels_figure(metrics, panels, title)
    if prototypes:
        axes = figure.axes[1]
        uniform = math.log(prototypes)
        axes.axhline(uniform, color="#888888", linestyle=":", label=f"uniform, ln K = {uniform:.2f}")
        _legend_below(axes)
    return figure


def loss_panel(metrics: Sequence[Record]) -> Panel:
    """Return the panel of the loss and of every term that the records hold (`<name>_loss`)."""
    names = dict.fromkeys(key for record in metrics for key in record if key.endswith("_loss"))
    others = {key: key.removesuffix("_loss").replace("_", " ") for key in names if key not in LOSSES}
    return "loss", {**LOSSES, **others}


def without_prototypes(panels: Sequence[Panel]) -> list[Panel]:
    """Leave out the panels that a run without prototypes does not have, such as a pure distillation."""
    return [panel for panel in panels if not panel[1].keys() & {"target_entropy", "prototypes_used"}]


def panels_figure(metrics: Sequence[Record], panels: Sequence[Panel], title: str = "") -> Figure:
    """Draw a row of panels of curves over the samples seen; a panel without a value is marked as such."""
    figure = blank_figure(5 * min(len(panels), 3), 4 if len(panels) <= 3 else 3)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, keys) in zip(row, panels, strict=True):
        _draw_panel(axes, metrics, name, keys)
    if title:
        figure.suptitle(title)
    return figure


def _draw_panel(axes: Axes, metrics: Sequence[Record], name: str, keys: Mapping[str, str]) -> None:
    for key, label in keys.items():
        samples, values = curve(metrics, key)
        drawn = len(axes.lines)
        # A loss that is switched off is logged as zero all along: not a curve.
        if len(values) and (values.any() or not drawn):
            axes.plot(
                samples,
                values,
                label=label,
                color=PALETTE[drawn % len(PALETTE)],
                linestyle="-" if drawn < len(PALETTE) else "--",
                marker="o" if len(values) < 30 else "",
                markersize=4,
            )
    axes.set_title(name)
    axes.set_xlabel("samples")
    axes.grid(alpha=0.3)
    if axes.lines:
        _legend_below(axes)
    else:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)


def _legend_below(axes: Axes) -> None:
    """Put the legend under the panel, where it hides no curve."""
    below_the_axis = 4.5  # in font sizes: what the axis and its title take
    style: dict[str, Any] = {"frameon": False, "fontsize": 8, "borderaxespad": below_the_axis}
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=min(len(axes.lines), 2), **style)


def curve(metrics: Sequence[Record], key: str) -> tuple[Points, Points]:
    """Return samples and values (m,) of the records with a finite number under `key`, in order of samples."""
    pairs = [
        (float(record["samples"]), float(record[key]))
        for record in metrics
        if _is_number(record.get("samples")) and _is_number(record.get(key))
    ]
    ordered = np.array(sorted(pairs), dtype=np.float64).reshape(-1, 2)
    return ordered[:, 0], ordered[:, 1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
