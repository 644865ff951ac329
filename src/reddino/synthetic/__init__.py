"""Synthetic smears: rendered red cells with known truth, photographed by laboratories that differ."""
