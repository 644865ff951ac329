"""The metadata of an embedding table and the notes of its parts: read, and checked key by key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from reddino.embedding.choices import StoredType
from reddino.foundations.structured import fit, parse_json

Name = Annotated[str, Field(min_length=1)]
Number = Annotated[int, Field(ge=0, lt=1 << 48)]


class _Open(BaseModel):
    """A section that carries unknown keys along."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False, protected_namespaces=())


class Preprocessing(_Open):
    """What happens to a view between the pixels and the network."""

    input_size: Annotated[int, Field(ge=1, le=1 << 16)] = 1
    mean: list[float] = []
    std: list[float] = []
    channel_order: str = ""
    positions: str | None = None
    orientations: Annotated[int, Field(ge=1, le=8)] = 1


class Grown(_Open):
    """What a table recorded of its manifest before it grew."""

    data: str
    plan: str
    images: Number
    columns: dict[str, str] = {}


class _TableMeta(_Open):
    model: str
    opens_as: str = ""
    weights_hash: str
    pooling: str
    per: str = "view"
    view: dict[str, Any]
    preprocessing: Preprocessing
    data: str
    plan: str
    dim: Annotated[int, Field(ge=1, le=1 << 24)]
    dtype: StoredType
    images: Number
    part_rows: Number
    provenance: dict[str, Any] = {}
    grown_from: list[Grown] = []
    diameters: dict[str, float] | None = None


#: The number of an image, as a key of JSON.
Key = Annotated[str, Field(pattern="^[0-9]{1,15}$")]


class _PartNotes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    start: Number
    stop: Number
    rows: Number
    views: Number
    dropped: dict[str, Number] = {}
    failures: list[tuple[str, str]] = []
    hashes: dict[Key, Annotated[str, Field(pattern="^[0-9a-f]{32,512}$")]] = {}
    contents: dict[Key, tuple[int, int, int, str]] = {}
    not_finite: Number = 0
    at_border: Number = 0


def read_table_meta(data: bytes, origin: str) -> dict[str, Any]:
    """Read the metadata of a table, from the schema of one of its parts.

    Raises:
        RedDinoError: names the key that is missing or of another type.
    """
    content: dict[str, Any] = parse_json(data, origin)
    fit(_TableMeta, content, origin)
    return content


def read_part_notes(data: bytes, origin: str) -> dict[str, Any]:
    """Read what a part notes of the images that it covers.

    Raises:
        RedDinoError: names the key that is missing or of another type.
    """
    return dict(fit(_PartNotes, parse_json(data, origin), origin))
