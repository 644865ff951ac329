"""Splits, probes, metrics and protocols that read embedding tables."""

from reddino.verbs import make_callable

make_callable(__name__)
