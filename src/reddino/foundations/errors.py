"""The one exception that is meant for the user."""

from __future__ import annotations

from reddino.foundations.url_spelling import spelled


class RedDinoError(Exception):
    """Bad input, described in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence alone and exits with code 1; a traceback is only for our own faults.
    """

    def __init__(self, *args: object) -> None:
        super().__init__(*(spelled(one) if isinstance(one, str) else one for one in args))


class NothingFoundError(RedDinoError):
    """Data of which every picture was left out: a sample of other pictures may do."""
