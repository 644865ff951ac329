"""The origin that every result file records."""

from __future__ import annotations

import hashlib
import shlex
import sys
from pathlib import Path
from typing import Any

from reddino.foundations.url_spelling import masked
from reddino.foundations.version import __version__


def provenance(
    *, seed: int | list[int] | None = None, data: str | None = None, model: str | None = None
) -> dict[str, Any]:
    """Describe a result: the command, our version, the seed, the data fingerprint and the model hash.

    Args:
        seed: the seed that every random choice followed from, or those of several parts; None where none was
            made.
        data: fingerprint of the manifest or table that was read.
        model: hash of the weights that were used.
    """
    program = Path(sys.argv[0]).name
    # `python -m reddino` has the name of a file that nobody can run.
    command = shlex.join(["reddino" if program == "__main__.py" else program, *sys.argv[1:]])
    return {"command": masked(command), "version": __version__, "seed": seed, "data": data, "model": model}


def hash_bytes(*chunks: bytes) -> str:
    """Return the first 16 hex digits of the SHA-256 over `chunks`."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()[:16]
