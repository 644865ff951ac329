"""The one exception that is meant for the user."""


class RedDinoError(Exception):
    """Bad input, described in one sentence: what is wrong, where, and what to do.

    The command line prints the sentence alone and exits with code 1; a traceback is only for our own faults.
    """
