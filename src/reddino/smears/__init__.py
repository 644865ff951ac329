"""Smear images in: manifests, readers, safe decoding, views, cell finding, synthetic smears."""
