"""Patients: cells as one picture of a patient, clinical columns, and whether one adds to the other."""
