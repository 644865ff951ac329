"""Strategies: in which order a reader is shown the cells; one file each, all pure functions of arrays."""
