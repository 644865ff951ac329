"""Which embedding tables may be compared, and which parts belong to one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reddino.embedding.embeddings import Embeddings
from reddino.foundations.errors import RedDinoError
from reddino.smears.contents import what_changed

# Two tables are comparable when these agree; a pass continues only when the second list agrees too.
# Precision and runtime move vectors a little: between tables that is for the user to judge, within one they
# are not mixed.
COMPARED = ("weights_hash", "pooling", "per", "view", "preprocessing")
CONTINUED = (
    *COMPARED,
    "precision",
    "runtime",
    "data",
    "plan",
    "dim",
    "dtype",
    "part_rows",
    "kinds",
    "derived",
    "shares",
)
# What the tables that are merged to one agree in.
JOINED = (*COMPARED, "precision", "runtime", "dim", "dtype", "kinds", "cells")
NAMES = {
    "weights_hash": "the model's weights",
    "per": "the meaning of a row",
    "runtime": "the runtime",
    "precision": "the arithmetic precision",
    "data": "the images (their number or sizes) or their manifest",
    "contents": "the pictures, which were replaced between them",
    "plan": "the cell diameters that views are measured in",
    "dim": "the length of the vectors",
    "dtype": "the number type",
    "part_rows": "the rows a part",
    "kinds": "the kinds of cells",
    "derived": "what it was made of, and how",
    "shares": "the shares of the data",
}


def require_comparable(a: Embeddings, b: Embeddings) -> None:
    """Refuse to compare vectors of two tables that differ in weights, pooling, view or preprocessing.

    Raises:
        RedDinoError: names each key that differs, with both values.
    """
    require_comparable_meta(a.meta, b.meta)


def require_comparable_meta(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Refuse what `require_comparable` refuses, by the metadata of two tables.

    Raises:
        RedDinoError: names each key that differs, with both values.
    """
    differing = _differences(a, b, COMPARED)
    if differing:
        raise RedDinoError(
            f"the embedding tables are not comparable, they differ in {differing}: embed both the same way"
        )


def require_one_way(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to join tables that were not embedded the same way: the joined table would not show it.

    Args:
        tables: metadata by the name of the table in errors.

    Raises:
        RedDinoError: names two tables, and each key that differs.
    """
    first, *others = tables
    for name in others:
        differing = _differences(tables[first], tables[name], JOINED)
        if differing:
            raise RedDinoError(
                f"'{first}' and '{name}' cannot become one table, they differ in {differing}: embed both the "
                "same way"
            )


def require_same_views(tables: Mapping[str, Embeddings]) -> None:
    """Refuse to compare tables that are not of the same cells, cut the same way.

    Networks may differ, and with them the size in pixels at which they see the views.

    Args:
        tables: by their name in errors.

    Raises:
        RedDinoError: names two tables that differ, and in what.
    """
    require_same_views_meta({name: table.meta for name, table in tables.items()})


def require_same_views_meta(tables: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what `require_same_views` refuses, by the metadata of the tables.

    Raises:
        RedDinoError: names two tables that differ, and in what.
    """
    first, *others = tables
    wanted = _views_of(tables[first])
    for name in others:
        found = _views_of(tables[name])
        parts = (_other_data(wanted, found), _differences(wanted, found, ("view", "plan", "per")))
        differing = ", ".join(part for part in parts if part)
        if not differing and wanted["contents"] and found["contents"]:
            differing = _differences(wanted, found, ("contents",))
        if differing:
            raise RedDinoError(
                f"the embedding tables '{first}' and '{name}' cannot be compared, they differ in "
                f"{differing}: embed the same manifest with the same views"
            )


def _views_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    view = {key: value for key, value in meta["view"].items() if key != "output"}
    per = "token" if meta.get("pooling") == "tokens" else meta.get("per", "view")
    kept = {key: meta.get(key) for key in ("data", "columns", "plan", "contents")}
    return {**kept, "view": view, "per": per}


def refuse_other_table(folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to continue in a folder whose parts were made another way; name each key that differs.

    Parts from before the table grew were made of fewer pictures, which `wanted` records in `grown_from`.
    """
    earlier = (one for one in wanted.get("grown_from", ()) if one["data"] == found.get("data"))
    wanted = {**wanted, **next(earlier, {})}
    keys = [key for key in CONTINUED if key != "data"]
    differing = ", ".join(
        part for part in (_other_data(found, wanted), _differences(found, wanted, keys)) if part
    )
    if differing:
        _refuse_other_scale(folder, found, wanted, keys)
        raise RedDinoError(
            f"'{folder}' holds the parts of another embedding table, which differs in {differing}; "
            "choose another folder or delete it"
        )


def _refuse_other_scale(
    folder: Path, found: Mapping[str, Any], wanted: Mapping[str, Any], keys: Sequence[str]
) -> None:
    """Refuse a table of another scale with the option that continues it, where nothing else differs.

    Tables of before there was a choice name no scale: it was the source's. With it goes the plan, which holds
    diameters by source alone.
    """
    views = [dict(one["view"]) for one in (found, wanted)]
    scales = [view.pop("scale", "source") for view in views]
    rest = [key for key in keys if key not in ("view", "plan")]
    others = _other_data(found, wanted) or _differences(found, wanted, rest) or views[0] != views[1]
    if scales[0] != scales[1] and not others:
        of = {
            "source": "one diameter for all pictures of a source",
            "picture": "the diameter of each picture",
        }
        raise RedDinoError(
            f"'{folder}' holds views cut by {of[scales[0]]}, not by {of[scales[1]]}: the same command with "
            f"--scale {scales[0]} continues it; or choose another folder"
        )


def _other_data(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    """Describe what differs in the manifests of two tables; "" where they agree."""
    if a.get("data") == b.get("data"):
        return ""
    columns = what_changed(a.get("columns") or {}, b.get("columns") or {}) if a.get("columns") else ""
    return columns or _differences(a, b, ("data",))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Describe which keys differ and how; "" where none does."""
    # JSON turns tuples into lists; compare what a file would hold.
    left, right = json.loads(json.dumps(dict(a))), json.loads(json.dumps(dict(b)))
    return ", ".join(
        f"{NAMES.get(key, 'the ' + key)} "
        f"({in_short(left.get(key), right.get(key))} against {in_short(right.get(key), left.get(key))})"
        for key in keys
        if left.get(key) != right.get(key)
    )


def same_settings(one: Any, other: Any) -> bool:
    """Return whether settings are the same once they are written as JSON: 8 is 8.0, a tuple is a list."""
    return bool(json.loads(json.dumps(one)) == json.loads(json.dumps(other)))


def in_short(value: Any, other: Any) -> str:
    """Show a value; of a mapping, only what differs from the other."""
    if not isinstance(value, Mapping):
        return repr(value)
    other = other if isinstance(other, Mapping) else {}
    keys = [key for key in {**value, **other} if value.get(key, "unset") != other.get(key, "unset")]
    return ", ".join(f"{key} {value.get(key, 'unset')!r}" for key in sorted(keys))
