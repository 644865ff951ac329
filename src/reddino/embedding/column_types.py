"""The columns of several parts or tables as those of one: what is text in some of them is text in all."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def joined_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """Return the columns of several schemas, with the types that hold the values of all.

    Earlier versions wrote the numbers of slides as text, and a user's column may hold numbers in some parts
    alone: such a column is text.

    Raises:
        pyarrow.ArrowException: types that have nothing in common.
    """
    return pa.unify_schemas(alike_schemas(schemas), promote_options="permissive")


def alike_schemas(schemas: Sequence[pa.Schema]) -> list[pa.Schema]:
    """Return the schemas with text for the columns that are text in some of them, and numbers in others."""
    kinds: dict[str, set[bool]] = {}
    for schema in schemas:
        for field in schema:
            if _is_number(field.type) or pa.types.is_string(field.type):
                kinds.setdefault(field.name, set()).add(_is_number(field.type))
    mixed = {name for name, found in kinds.items() if len(found) > 1}
    if not mixed:
        return list(schemas)
    return [
        pa.schema([field.with_type(pa.string()) if field.name in mixed else field for field in schema])
        for schema in schemas
    ]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
