"""Picture formats: a file a format, each of which reads its own right or refuses it by name."""
