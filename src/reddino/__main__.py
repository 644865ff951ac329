"""`python -m reddino`: the command line without an installed script."""

from __future__ import annotations

from reddino.cli import main

raise SystemExit(main())
