"""How to cite: cite."""

from __future__ import annotations

from reddino.foundations.citation import bibtex


def cite() -> str:
    """Return BibTeX of the paper whose system RedDino implements, and of this software.

    >>> print(reddino.cite())
    """
    return bibtex()
