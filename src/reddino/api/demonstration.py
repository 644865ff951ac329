"""The whole path on synthetic smears: demo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reddino.api.demo_steps import DemoReport, DemoScale, run_demo
from reddino.api.sole_writer import sole_writer


@sole_writer(folders=("out",))
def demo(out: str | Path = "demo", *, minutes: float | None = None, **options: Any) -> DemoReport | None:
    """Show the whole path on synthetic smears; the same call continues where it was interrupted.

    Args:
        out: the demo folder.
        minutes: length of the pretraining on two cores, about; None: as the recipe has it.
        options: `say` and `watch` of `reddino.api.demo_steps.run_demo`, which show its progress.

    Returns:
        None if the pretraining was stopped (Ctrl-C, SIGTERM).
    """
    scale = DemoScale() if minutes is None else DemoScale().lasting(minutes)
    return run_demo(Path(out), scale, **options)
