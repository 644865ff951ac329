"""What becomes of a patch: its crops, and the pixel operations on them."""
