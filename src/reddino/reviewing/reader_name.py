"""The name that labels are recorded under where none is given; nothing heavy is imported here."""

from __future__ import annotations

import getpass


def default_reader() -> str:
    """Return the name of the user; `reader` where the system has none, or one that names no user."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        return "reader"
    return "reader" if name.lower() in ("root", "admin", "administrator", "system") else name
