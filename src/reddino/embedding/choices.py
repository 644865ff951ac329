"""The choices of an embedding pass and an export; without torch, so that the command line can name them."""

from __future__ import annotations

from typing import Literal

#: What a row of a table is: a view, or a field (image) with the mean over its views.
Per = Literal["view", "field"]
#: Number types of stored vectors.
StoredType = Literal["float32", "float16"]
#: `auto` measures those that are installed.
RuntimeName = Literal["auto", "torch", "openvino", "onnx"]
#: What a model is exported as.
ExportFormat = Literal["onnx", "openvino", "hub"]

#: What becomes of views that are in several of the tables that are merged.
Doubles = Literal["refuse", "drop"]
