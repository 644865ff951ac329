"""Ablations: one recipe, one change an arm, scored on laboratories that the pretraining left out."""
