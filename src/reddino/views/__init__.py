"""The view pipeline: which squares are cut, where they lie, and their pixels."""
