"""Figures of embeddings, of runs and of views: arrays in, a matplotlib figure out, no global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from reddino.atomic import atomic_path
from reddino.embed.encoder import Images, Vectors

Record = Mapping[str, Any]
Points = npt.NDArray[np.float64]

# Okabe and Ito's colours, distinct under every common colour blindness; beyond eight the marker changes too.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X", "*")

# The curves of a run: panel title, and the keys drawn in it with their names.
PANELS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("loss", {"loss": "sum", "dino_loss": "DINO", "ibot_loss": "iBOT", "koleo_loss": "KoLeo"}),
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


def pca_2d(vectors: Vectors) -> Points:
    """The first two principal components (n, 2) of vectors (n, d); exact, so that no seed is needed."""
    if min(vectors.shape) < 2:
        raise ValueError(f"a map needs at least two vectors of two numbers, not {vectors.shape}")
    solver = "covariance_eigh" if len(vectors) >= vectors.shape[1] else "full"
    points: Points = PCA(2, svd_solver=solver).fit_transform(vectors.astype(np.float64))
    return points


def map_figure(xy: Points, labels: Sequence[str], title: str) -> Figure:
    """A map (n, 2) of embeddings, coloured by label."""
    figure = _figure(7.5, 5.5)
    draw_map(figure.add_subplot(), xy, labels, title)
    return figure


def paired_map_figure(xy: Points, classes: Sequence[str], sources: Sequence[str], title: str) -> Figure:
    """One map (n, 2) twice: by class, which should part, and by source, which should not."""
    figure = _figure(14, 5.5)
    left, right = figure.subplots(1, 2)
    draw_map(left, xy, classes, "by class")
    draw_map(right, xy, sources, "by source")
    figure.suptitle(title)
    return figure


def draw_map(axes: Axes, xy: Points, labels: Sequence[str], title: str) -> None:
    """Draw points (n, 2) by label; rare labels lie on top, and "" is drawn grey as unlabelled."""
    names, index, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    size = float(np.clip(12_000 / max(len(xy), 1), 4, 40))
    for i in np.argsort(-counts, kind="stable"):
        colour, marker = _style(int(i)) if names[i] else ("#BBBBBB", ".")
        points = xy[index == i]
        axes.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            c=colour,
            marker=marker,
            alpha=0.7,
            linewidths=0,
            label=f"{names[i] or 'no label'} ({counts[i]})",
        )
    axes.set_title(title)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8, markerscale=1.5)


def training_figure(metrics: Sequence[Record], title: str = "") -> Figure:
    """Loss, target entropy and online 20-NN over the samples seen.

    Args:
        metrics: records of a run's metrics.jsonl; those without `samples` or a panel's keys are passed over.
    """
    figure = _figure(15, 4)
    for axes, (name, keys) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        for i, (key, label) in enumerate(keys.items()):
            samples, values = curve(metrics, key)
            # A loss that is switched off is logged as zero all along: not a curve.
            if len(values) and (values.any() or i == 0):
                axes.plot(
                    samples, values, color=PALETTE[i], label=label, marker="o" if len(values) < 30 else ""
                )
        axes.set_title(name)
        axes.set_xlabel("samples")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
        else:
            axes.text(0.5, 0.5, "not recorded", ha="center", va="center", transform=axes.transAxes)
    if title:
        figure.suptitle(title)
    return figure


def curve(metrics: Sequence[Record], key: str) -> tuple[Points, Points]:
    """Samples and values (m,) of the records that hold a finite number under `key`, in order of samples."""
    pairs = [
        (float(record["samples"]), float(record[key]))
        for record in metrics
        if _is_number(record.get("samples")) and _is_number(record.get(key))
    ]
    ordered = np.array(sorted(pairs), dtype=np.float64).reshape(-1, 2)
    return ordered[:, 0], ordered[:, 1]


def contact_sheet(
    images: Images | Sequence[Images], titles: Sequence[str] = (), columns: int = 8, inches: float = 1.4
) -> Figure:
    """Views side by side, uint8 RGB (h, w, 3) each, `inches` wide, with an optional title above each."""
    if not len(images):
        raise ValueError("a contact sheet needs at least one image")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = _figure(inches * columns, (inches + (0.2 if titles else 0.0)) * rows)
    for i, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
        axes.set_axis_off()
        if i < len(images):
            axes.imshow(images[i], interpolation="nearest")
            if i < len(titles):
                axes.set_title(titles[i], fontsize=7)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, PDF or SVG (by suffix), atomically."""
    with atomic_path(path) as partial:
        figure.savefig(partial, format=path.suffix.lstrip(".") or "png", dpi=150, bbox_inches="tight")


def _figure(width: float, height: float) -> Figure:
    """A figure in inches that draws without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style(i: int) -> tuple[str, str]:
    return PALETTE[i % len(PALETTE)], MARKERS[i // len(PALETTE) % len(MARKERS)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and bool(np.isfinite(value))
