"""The choices of a map; without Matplotlib, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: How vectors are brought to two dimensions.
Method = Literal["umap", "pca"]
#: File formats of a map.
FigureFormat = Literal["png", "pdf", "svg"]
