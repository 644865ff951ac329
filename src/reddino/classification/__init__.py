"""Classifiers of cells: fit one on labelled smears, and apply it to new ones."""
