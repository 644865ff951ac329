"""The pass over images and the embedding table."""
