"""Microscope files and whole slides behind one small interface: open, size, scale, and any rectangle."""
