"""Smear images in: manifests, readers of data sets, safe decoding."""
