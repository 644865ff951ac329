"""The whole path on synthetic smears: demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reddino.api.sole_writer import sole_writer

if TYPE_CHECKING:
    from reddino.demo import DemoReport


@sole_writer(folders=("out",))
def demo(out: str | Path = "demo", *, minutes: float | None = None, **options: Any) -> DemoReport | None:
    """Show the whole path on synthetic smears; the same call goes on where it was interrupted.

    Args:
        out: the demo folder.
        minutes: length of the pretraining on two cores, about; None: as the recipe has it.
        options: `say` and `watch` of `reddino.demo.run_demo`, which take what there is to see.

    Returns:
        None if the pretraining was asked to stop (Ctrl-C, SIGTERM).
    """
    from reddino.demo import DemoScale, run_demo

    scale = DemoScale() if minutes is None else DemoScale().lasting(minutes)
    return run_demo(Path(out), scale, **options)
