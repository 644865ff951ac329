"""A packed collection as a manifest: `reddino.pretraining.data.pack_writer` writes such folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import NoneType

import pyarrow as pa

from reddino.foundations.errors import RedDinoError
from reddino.foundations.structured import read_json, require_keys
from reddino.smears import manifest_file
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import COLUMNS, NUMBER_COLUMNS

#: What makes a folder a pack, and its rows.
PACK, MANIFEST = "pack.json", "manifest.parquet"
FORMAT = 2  # 1 had no places of cells


@dataclass(frozen=True)
class PackedManifest(Manifest):
    """The manifest of a pack, with its fingerprint, so that a million files need not be opened.

    Attributes:
        content: 16 hex digits over the pixels and rows of the pack.
        max_cell_diameter: what the images were shrunk to; None where they are as they were.
    """

    content: str = ""
    max_cell_diameter: float | None = None

    def fingerprint(self) -> str:
        """Return the fingerprint of the pack."""
        return self.content


def is_pack(folder: str | Path) -> bool:
    """Return whether a folder is a pack."""
    return (Path(folder) / PACK).is_file()


def read_pack(folder: str | Path) -> PackedManifest:
    """Open the manifest of a pack.

    Raises:
        RedDinoError: the pack is of another version, or a part of it is missing.
    """
    folder = Path(folder)
    description = read_json(folder / PACK)
    if description.get("format") != FORMAT:
        raise RedDinoError(f"{folder} was packed by another version of RedDino; pack the images again")
    require_keys(description, str(folder / PACK), fingerprint=str, max_cell_diameter=(float, int, NoneType))
    table, _ = manifest_file.read_table(folder / MANIFEST)
    for name in COLUMNS:
        wanted = pa.float64() if name in NUMBER_COLUMNS else pa.string()
        if name not in table.column_names or not _is_of(table.schema.field(name).type, wanted):
            raise RedDinoError(f"{folder / MANIFEST}: column {name}: it is missing or of another type")
    # It was checked when it was written: goes without a second check of a million rows.
    manifest = object.__new__(PackedManifest)
    values = (table, folder, description["fingerprint"], description["max_cell_diameter"])
    for name, value in zip(("table", "root", "content", "max_cell_diameter"), values, strict=True):
        object.__setattr__(manifest, name, value)
    return manifest


def _is_of(kind: pa.DataType, wanted: pa.DataType) -> bool:
    return kind == wanted or (pa.types.is_dictionary(kind) and kind.value_type == wanted)
