"""The choices of a view; without NumPy, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

ViewKind = Literal["cells", "image", "patches", "random"]
#: Of a view's side: diameters of a red cell, pixels, or micrometres.
Unit = Literal["diameters", "px", "um"]
#: Mirror the image where a view reaches past it, or leave such views out.
Border = Literal["pad", "drop"]
#: Whose red-cell diameter views in diameters follow: each picture's own, or one of all pictures of a source.
Scale = Literal["picture", "source"]
#: A view's side and its unit.
Side = tuple[float, Unit]
#: How the stain of a picture is brought to a reference before views are cut from it.
Stain = Literal["none", "reinhard", "macenko"]
