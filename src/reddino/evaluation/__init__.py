"""Splits, probes, metrics and protocols that read embedding tables."""
