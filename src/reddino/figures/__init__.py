"""Figures of embeddings: maps, sheets, patch figures and reports."""
