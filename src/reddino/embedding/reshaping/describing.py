"""What is recorded of a table that is made of tables, in its metadata and in the files next to its parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reddino.embedding.copies_file import read_copies_file, write_copies_file
from reddino.embedding.growth import note_pictures, noted_pictures, picture_digests
from reddino.embedding.seen_file import SEEN_FILE, write_seen_file
from reddino.embedding.side_files import find_side_file
from reddino.embedding.table_on_disk import TableOnDisk
from reddino.foundations.provenance import hash_bytes, provenance
from reddino.foundations.stores.anywhere import is_file
from reddino.foundations.structured import read_json

#: Keys that are not carried along: they are of one pass, or of the table in memory.
OF_A_PASS = ("columns", "grown_from", "dropped", "contents", "seen", "compacted")


def derived_meta(
    tables: Sequence[TableOnDisk],
    verb: str,
    choice: Mapping[str, Any],
    *,
    images: int,
    seed: int | None = None,
) -> dict[str, Any]:
    """Return the metadata of a table that is made of others, which no pass continues.

    Args:
        tables: that it is made of; the first gives what all agree in.
        verb: the command, such as `table filter`.
        choice: what decides its rows; the same of tables with the same rows gives rows that can be compared.
        images: that its parts cover.
        seed: of a random choice.
    """
    rows = [[str(table.meta["data"]), len(table)] for table in tables]
    data = hash_bytes(json.dumps([verb, rows, choice], sort_keys=True).encode())
    inputs = [table.fingerprint() for table in tables]
    origin = provenance(seed=seed, data=data, model=str(tables[0].meta["weights_hash"]))
    kept = {key: value for key, value in tables[0].meta.items() if key not in OF_A_PASS}
    return {
        **kept,
        "data": data,
        "images": images,
        "derived": {"verb": verb, **choice, "inputs": inputs},
        "provenance": {**origin, "inputs": [table.meta.get("provenance", {}) for table in tables]},
    }


def carry_side_files(
    tables: Sequence[TableOnDisk], out: Path, *, data: str, sources: set[str] | None
) -> None:
    """Write next to the parts of a table what is known of its pictures from those that it is made of.

    Args:
        tables: that it is made of, the images of each after those of the last.
        out: its folder.
        data: its fingerprint.
        sources: that it has rows of; None: of all.
    """
    names = [noted_pictures(table.folder) for table in tables]
    if all(names):
        note_pictures(out, [[name for some in names for name in some]])
    noted = [read_copies_file(table.folder) for table in tables]
    if all(noted):
        sets = [one for some in noted for one in _listed(some)] + _same_bytes(tables)
        write_copies_file(out, {"data": data, "copies": joined_sets(sets)})
    seen = joined_seen([_seen(table.folder) for table in tables])
    if seen:
        write_seen_file(out, {name: one for name, one in seen.items() if sources is None or name in sources})


def joined_sets(sets: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return sets of names as disjoint ones: those that share a name are one."""
    joined: list[list[str]] = []
    place: dict[str, int] = {}
    for one in sets:
        known = sorted({place[name] for name in one if name in place})
        target = known[0] if known else len(joined)
        if not known:
            joined.append([])
        for other in known[1:]:
            joined[target].extend(joined[other])
            joined[other] = []
        joined[target].extend(one)
        place |= dict.fromkeys(joined[target], target)
    return [list(dict.fromkeys(one)) for one in joined if one]


def joined_seen(several: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return by source whether the model saw it: seen if so in one table, unseen if in all that name it."""
    found: dict[str, dict[str, Any]] = {}
    rank = {"unseen": 0, "unknown": 1, "seen": 2}
    for one in several:
        for source, entry in one.items():
            before = found.get(source)
            if before is None or rank.get(entry["status"], 1) > rank.get(before["status"], 1):
                found[source] = dict(entry)
    return found


def _listed(noted: Mapping[str, object]) -> list[list[str]]:
    sets = noted.get("copies")
    return [list(map(str, one)) for one in sets if isinstance(one, list)] if isinstance(sets, list) else []


def _seen(folder: Path) -> dict[str, Any]:
    path = find_side_file(folder, SEEN_FILE)
    return dict(read_json(path)) if is_file(path) else {}


def _same_bytes(tables: Sequence[TableOnDisk]) -> list[list[str]]:
    """Return the sets of pictures of several names whose files hold the same bytes."""
    sets: dict[str, dict[str, None]] = {}
    for table in tables:
        for name, digest in picture_digests(table.folder).items():
            sets.setdefault(digest, {})[name] = None
    return [list(names) for names in sets.values() if len(names) > 1]
