"""Looking at embeddings: maps, sheets, patch pictures and reports."""
