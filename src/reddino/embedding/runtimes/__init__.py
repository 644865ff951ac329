"""Runtimes other than torch, and the choice of the fastest one that gives the same vectors."""
