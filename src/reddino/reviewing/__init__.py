"""Review: which cells are shown next, what readers say of them, and what is learned from that."""
