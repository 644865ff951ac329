"""Red blood cells in a picture: where they are, their diameters, outlines and morphology features."""
