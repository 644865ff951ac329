"""The whole path on synthetic smears: demo."""

from __future__ import annotations

from pathlib import Path

import reddino
from reddino.cli.program import app
from reddino.cli.terminal import INTERRUPTED, complain, print_line, progress_bar, show_log, show_tables


@app.command
def demo(*, out: Path = Path("demo"), minutes: float | None = None) -> int:
    """Show the whole path on synthetic smears: draw, pretrain, embed, evaluate; about 10 minutes on 2 cores.

    Args:
        out: the demo folder; the same command continues where it was interrupted.
        minutes: length of the pretraining, in place of the recipe's own.
    """
    show_log()
    report = reddino.demo(out, minutes=minutes, say=print_line, watch=progress_bar)
    if report is None:
        complain("stopped; the same command continues.")
        return INTERRUPTED
    show_tables(report.tables())
    print_line(report.summary())
    print_line(f"Everything is in {report.folder}: model run/model, results.json, results.md, figures/.")
    return 0
