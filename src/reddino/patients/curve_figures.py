"""Figures of patient scores: calibration and decision curves of clinical columns, picture and both."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from reddino.figures.canvas import blank_figure, legend
from reddino.figures.palette import PALETTE
from reddino.foundations.visible import short, visible
from reddino.patients.curves import calibration_curve, net_benefit
from reddino.patients.models import BOTH, CLINICAL, PICTURE

Real = NDArray[np.float64]
_DRAWN = (CLINICAL, PICTURE, BOTH)


def calibration_figure(positive: NDArray[np.bool_], likely: dict[str, Real], name: str) -> Figure:
    """Draw the observed fraction against the predicted probability, with exact 95 % intervals."""
    figure = blank_figure(5.0, 4.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle=":")
    lines, names = [], []
    for number, model in enumerate(model for model in _DRAWN if model in likely):
        bins = calibration_curve(positive, likely[model][:, 1])
        x = np.array([one.predicted for one in bins])
        y = np.array([one.observed for one in bins])
        low, high = np.array([one.low for one in bins]), np.array([one.high for one in bins])
        colour = PALETTE[number]
        axes.vlines(x, low, high, color=colour, alpha=0.35)
        lines += axes.plot(x, y, "o-", color=colour, markersize=4, linewidth=1)
        names.append(model)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"predicted probability of {short(visible(name, keep=''), 40)}")
    axes.set_ylabel("observed fraction")
    legend(axes, lines, names, loc="upper left")
    return figure


def decision_figure(positive: NDArray[np.bool_], likely: dict[str, Real], name: str) -> Figure:
    """Draw the net benefit against the threshold probability, next to treating all and none."""
    figure = blank_figure(5.6, 4.2)
    axes = figure.add_subplot()
    thresholds = np.linspace(0.01, 0.95, 95)
    lines, names = [], []
    for number, model in enumerate(model for model in _DRAWN if model in likely):
        benefit = net_benefit(positive, likely[model][:, 1], thresholds)
        lines += axes.plot(thresholds, benefit, color=PALETTE[number])
        names.append(model)
    everyone = net_benefit(positive, np.ones(len(positive)), thresholds)
    lines += axes.plot(thresholds, everyone, color="#777777", linestyle="--")
    lines.append(axes.axhline(0, color="#777777", linestyle=":"))
    names += ["act on all", "act on none"]
    axes.set_ylim(-0.05, max(0.05, float(positive.mean()) * 1.1))
    axes.set_xlim(0, 0.95)
    axes.set_xlabel(f"probability of {short(visible(name, keep=''), 40)} from which on one acts")
    axes.set_ylabel("net benefit per patient")
    legend(axes, lines, names, loc="upper right")
    return figure
