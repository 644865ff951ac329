"""How to cite RedDino: the paper whose system it implements, and this software."""

from __future__ import annotations

from reddino.foundations.version import __version__

#: As in CITATION.cff, which programs read where there is a repository.
PAPER = {
    "title": "{RedDino}: A foundation model for red blood cell analysis",
    "author": "Zedda, Luca and Loddo, Andrea and Di Ruberto, Cecilia and Marr, Carsten",
    "year": "2025",
    "doi": "10.1007/978-3-032-04965-0_42",
    "eprint": "2508.08180",
    "archivePrefix": "arXiv",
    "url": "https://arxiv.org/abs/2508.08180",
}
SOFTWARE = {
    "title": "{RedDino}: self-supervised foundation models for red blood cell smears",
    "author": "{The maintainers of this repository}",
    "version": __version__,
    "note": "Apache-2.0",
}


def bibtex() -> str:
    """Return both entries in BibTeX."""
    return "\n\n".join(
        (_entry("article", "zedda2025reddino", PAPER), _entry("software", "reddino", SOFTWARE))
    )


def _entry(kind: str, key: str, fields: dict[str, str]) -> str:
    width = max(map(len, fields))
    lines = [f"  {name.ljust(width)} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
