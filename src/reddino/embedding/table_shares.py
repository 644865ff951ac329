"""Which shares of a collection a table holds, so that a part of it is never taken for all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reddino.embedding.part_files import finished_parts, read_meta
from reddino.foundations.errors import RedDinoError

#: Key of the metadata: for each collection its fingerprint (`data`), the shares it has (`of`), and the
#: `numbers` of those that the table holds. Tables of whole collections lack it.
SHARES = "shares"

Shares = Sequence[Mapping[str, Any]]


def require_same_shares(folder: Path, wanted: Shares) -> None:
    """Refuse to continue a table with another share, or with all of the data.

    Raises:
        RedDinoError: names both shares.
    """
    if not finished_parts(folder):
        return
    found = read_meta(folder).get(SHARES, [])
    if _plain(found) == _plain(wanted):
        return
    here, now = _named(found), _named(wanted)
    other = "; the pictures or slides of the data changed since" if here == now else ""
    raise RedDinoError(
        f"'{folder}' holds {here} of its data, and this pass would embed {now}{other}: give it a folder of "
        "its own"
    )


def joined_shares(metas: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the shares that a merged table holds; of collections that it has all shares of, none."""
    found: dict[tuple[str, int], set[int]] = {}
    for meta in metas:
        for one in meta.get(SHARES, []):
            found.setdefault((one["data"], one["of"]), set()).update(one["numbers"])
    return [
        {"data": data, "of": of, "numbers": sorted(numbers)}
        for (data, of), numbers in found.items()
        if len(numbers) < of
    ]


def shares_sentence(meta: Mapping[str, Any]) -> str:
    """Return which shares alone a table holds, such as 'shares 1, 2 of 8'; "" of a whole one."""
    return _named(meta[SHARES]) if meta.get(SHARES) else ""


def _named(shares: Shares) -> str:
    several = (_of_one(one) for one in shares)
    return "; ".join(several) or "all"


def _of_one(one: Mapping[str, Any]) -> str:
    numbers = [str(number) for number in one["numbers"]]
    return f"share{'s' if len(numbers) > 1 else ''} {', '.join(numbers)} of {one['of']}"


def _plain(shares: Shares) -> list[dict[str, Any]]:
    return [dict(one) for one in shares]
