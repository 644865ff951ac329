"""Figures of embeddings and runs."""
