"""The page of a review: a server on this machine, and what it sends to the browser."""

from __future__ import annotations

from importlib import util

from reddino.foundations.errors import RedDinoError

if missing := [name for name in ("sqlalchemy", "starlette", "uvicorn") if util.find_spec(name) is None]:
    raise RedDinoError(f"{missing[0]} is not installed: `reddino review` needs pip install 'reddino[review]'")
