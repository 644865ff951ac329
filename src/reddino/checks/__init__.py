"""Checks of a collection: frames, coordinates, diameters, spellings, copies."""
