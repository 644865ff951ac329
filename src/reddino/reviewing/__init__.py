"""Review: which cells are shown next, the labels of readers, and what is learned from that."""
