"""The program that the commands belong to."""

from __future__ import annotations

from cyclopts import App

from reddino.cli.terminal import ERR, OUT
from reddino.foundations.version import __version__

app = App(
    name="reddino",
    help="Self-supervised foundation models for red blood cell smears: pretrain, embed, evaluate.",
    help_epilogue="Not a medical device: for research only.",
    version=__version__,
    help_format="plaintext",
    console=OUT,
    error_console=ERR,
    suppress_keyboard_interrupt=False,
    result_action="return_value",
)
