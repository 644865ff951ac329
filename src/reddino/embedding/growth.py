"""Grow a table: pictures that were added to its collection are embedded after those that it holds."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from reddino.embedding.comparable import refuse_other_table
from reddino.embedding.part_files import finished_parts, read_meta, read_parts, readable
from reddino.embedding.side_files import side_path
from reddino.foundations.atomic import write_text
from reddino.foundations.errors import RedDinoError
from reddino.foundations.provenance import hash_bytes
from reddino.foundations.stores.anywhere import is_file, read_file
from reddino.foundations.structured import read_json
from reddino.smears.column_names import AT_BORDER
from reddino.smears.contents import column_digests
from reddino.smears.manifest import Manifest
from reddino.smears.packs import PackedManifest

log = logging.getLogger(__name__)

#: Lists the pictures of a table, next to its parts.
PICTURES_FILE = "pictures.json"
#: What the metadata of a table record of the manifest that it was made of.
OF_MANIFEST = ("data", "columns", "plan", "images")

Diameters = Mapping[str, float] | None
Generations = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Growth:
    """The pictures of a table, in the order in which they came to it.

    Attributes:
        manifest: rows of the pictures that the table holds, in their order, then those of new pictures.
        generations: names of the pictures: those of the first pass, then those of each growth.
        earlier: what the table recorded of its manifest before each growth, the first pass first.
        added: pictures that are new now.
    """

    manifest: Manifest
    generations: Generations
    earlier: tuple[Mapping[str, Any], ...] = ()
    added: int = 0
    _diameters: Mapping[str, float] | None = field(default=None, repr=False)

    @property
    def held(self) -> int:
        """Return how many pictures the table held before."""
        return sum(len(names) for names in self.generations) - self.added

    def diameters(self, measure: Callable[[Manifest], Diameters]) -> Diameters:
        """Return the cell diameter by source: of known sources as it was, of new ones as measured now.

        Args:
            measure: returns the diameters of a manifest's sources; None where its rows have their own.
        """
        if not self.earlier:
            return measure(self.manifest)
        held = _generation_of_rows(self.manifest, self.generations) < len(self.generations) - 1
        known = self._diameters
        if known is None:  # of a table that did not record them, or needed none
            known = measure(self.manifest.select(held)) or {}
            _require_same_plan(known, str(self.earlier[-1]["plan"]))
        unknown = np.array([source not in known for source in self.manifest.strings("source")])
        measured = measure(self.manifest.select(~held & unknown)) if (~held & unknown).any() else None
        return {**known, **(measured or {})} or None


def find_growth(manifest: Manifest, folder: Path) -> Growth:
    """Compare a manifest with the table in a folder, if there is one.

    Raises:
        RedDinoError: pictures of the table are gone from the manifest, or its rows about them changed.
    """
    names = manifest.images()[0]
    if not finished_parts(folder) or isinstance(manifest, PackedManifest):
        return Growth(manifest, (tuple(names),))
    meta = read_meta(folder)
    if "derived" in meta:
        raise RedDinoError(
            f"'{folder}' was made by `reddino {meta['derived'].get('verb', 'table')}` of other tables, so "
            "that "
            "no pass continues it: embed to a new folder, and merge the two if you like"
        )
    generations = _generations(folder, int(meta["images"]))
    known = {name for names in generations for name in names}
    lost = sorted(known - set(names))
    if len(lost) == len(known):
        return Growth(manifest, (tuple(names),))  # another collection, which the pass refuses
    if lost:
        raise RedDinoError(
            f"'{folder}' holds {len(lost)} of {len(known)} pictures that the data lack now, such as "
            f"'{lost[0]}': bring them back, or choose another folder"
        )
    new = tuple(name for name in names if name not in known)
    if new:
        _mention_unmarked_border(folder, meta)
    earlier = tuple(meta.get("grown_from", ()))
    recorded = meta.get("diameters")
    if not new:
        ordered = manifest if len(generations) == 1 else _ordered(manifest, generations)
        return Growth(ordered, generations, earlier, 0, recorded if earlier else None)
    ordered = _ordered(manifest, (*generations, new))
    held = ordered.select(_generation_of_rows(ordered, generations) < len(generations))
    _require_same_rows(folder, meta, held)
    this = {name: meta[name] for name in OF_MANIFEST if name in meta}
    return Growth(ordered, (*generations, new), (*earlier, this), len(new), recorded)


def _mention_unmarked_border(folder: Path, meta: Mapping[str, Any]) -> None:
    """Log where a table of cells lacks the column of which of them the border of their image cuts."""
    if meta["view"]["kind"] == "cells" and meta.get("per", "view") == "view" and not holds_border(folder):
        log.warning(
            "'%s' was begun before border cells were marked: it has no column '%s', so that none of its "
            "cells is left out for that; embed all pictures to a new folder to have it",
            folder,
            AT_BORDER,
        )


def holds_border(folder: Path) -> bool:
    """Return whether the first part of a table holds which cells the border of their image cuts."""
    with readable(next(iter(finished_parts(folder).values()))) as file:
        return AT_BORDER in file.schema_arrow.names


def note_pictures(folder: Path, generations: Iterable[Sequence[str]]) -> None:
    """List the pictures of a table next to its parts, before any of them is embedded."""
    text = json.dumps({"pictures": [list(names) for names in generations]}, ensure_ascii=True)
    path = side_path(folder, PICTURES_FILE)
    if not is_file(path) or read_file(path) != f"{text}\n".encode():
        write_text(path, f"{text}\n")


def noted_pictures(folder: Path) -> list[str]:
    """Return the pictures of a table, in the order of their numbers; empty where they are not known."""
    images = int(read_meta(folder)["images"])
    names = [name for names in _generations(folder, images) for name in names]
    return names if len(names) == images else []


def picture_digests(folder: Path) -> dict[str, str]:
    """Return 16 hex digits over the bytes of each picture of a table, by its path, where they are noted."""
    noted = [record.contents for _, record in read_parts(list(finished_parts(folder).values()))]
    names = noted_pictures(folder)
    if not names:
        return {}
    return {names[number]: content[3] for contents in noted for number, content in contents.items()}


def plan_hash(diameters: Diameters) -> str:
    """Hash what else decides the place of every view: cell diameters by source."""
    return hash_bytes(json.dumps(dict(diameters or {}), sort_keys=True).encode())


def _require_same_plan(diameters: Mapping[str, float], recorded: str) -> None:
    if plan_hash(diameters) != recorded:
        raise RedDinoError(
            "the table cannot grow, its cell diameters were measured by another version of RedDino: embed "
            "all pictures to a new folder"
        )


def _require_same_rows(folder: Path, meta: Mapping[str, Any], held: Manifest) -> None:
    """Refuse to grow a table where the manifest's rows about its pictures are others than they were."""
    now = {"data": held.fingerprint(), "columns": column_digests(held.table)}
    refuse_other_table(folder, meta, {**meta, **now})


def _ordered(manifest: Manifest, generations: Generations) -> Manifest:
    """Return the rows by generation, and in the manifest's order within each."""
    return manifest.select(np.argsort(_generation_of_rows(manifest, generations), kind="stable"))


def _generation_of_rows(manifest: Manifest, generations: Generations) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the generation of each row's picture (n,); of pictures in none, the number after the last."""
    number = {name: place for place, names in enumerate(generations) for name in names}
    names, codes = manifest.images()
    return np.array([number.get(name, len(generations)) for name in names], np.int64)[codes]


def _generations(folder: Path, images: int) -> Generations:
    """Return the names of a table's pictures, as noted next to its parts, or as far as its rows name them."""
    found = _noted(folder, images)
    return found if sum(map(len, found)) == images else (tuple(_named_in_parts(folder)),)


def _noted(folder: Path, images: int) -> Generations:
    path = side_path(folder, PICTURES_FILE)
    noted = read_json(path).get("pictures") if is_file(path) else None
    found: list[tuple[str, ...]] = []
    if isinstance(noted, list) and all(isinstance(names, list) for names in noted):
        for names in noted:
            if sum(map(len, found)) < images:  # a growth that was killed before its first part is none
                found.append(tuple(str(name) for name in names))
    return tuple(found)


def _named_in_parts(folder: Path) -> list[str]:
    """Return the pictures with rows or failures, in the order of the parts."""
    found: dict[str, None] = {}
    parts = list(finished_parts(folder).values())
    for part, (_, record) in zip(parts, read_parts(parts), strict=True):
        with readable(part) as file:
            column: Any = file.read(["path"]).column("path")
        found |= dict.fromkeys(pc.unique(column).to_pylist())
        found |= dict.fromkeys(path for path, _ in record.failures)
    return list(found)
