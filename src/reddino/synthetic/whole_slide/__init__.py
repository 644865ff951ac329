"""Synthetic whole smears: thick part, monolayer, feathered edge and faults, as a pyramidal TIFF or DICOM."""
