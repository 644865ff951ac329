"""The backbone, the catalogue of known models, and model folders."""
