"""How to cite: cite."""

from __future__ import annotations

import reddino
from reddino.cli.program import app
from reddino.cli.terminal import print_line


@app.command
def cite() -> None:
    """Print BibTeX of the paper whose system RedDino implements, and of this software."""
    for line in reddino.cite().splitlines():
        print_line(line)
