"""What all packages stand on: files, locks, provenance, parsers, runtime, errors."""
