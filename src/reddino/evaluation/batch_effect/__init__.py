"""How much of an embedding is the laboratory, and how much is the cell."""
