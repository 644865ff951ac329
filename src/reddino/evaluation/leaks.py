"""What joins rows beyond a source's own names, and training rows that a fixed split must do without."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from reddino.embedding.embeddings import Embeddings
from reddino.evaluation.splits import Split
from reddino.foundations.counting import counted
from reddino.foundations.errors import RedDinoError
from reddino.smears.choices import IDENTITIES
from reddino.smears.groups import joined_groups
from reddino.smears.identities import several_of, under_several
from reddino.smears.manifest import Manifest
from reddino.smears.spelling import spelling_key


def joined_columns(join_sources: Collection[str], group_by: str | None) -> tuple[str, ...]:
    """Return the columns that are to join across sources.

    Raises:
        RedDinoError: one of them names no one: neither patient, slide or group, nor the column of the groups.
    """
    known = list(dict.fromkeys([*IDENTITIES, *([group_by] if group_by else [])]))
    for name in join_sources:
        if name not in known:
            raise RedDinoError(f"join-sources takes {', '.join(known)}, not '{name}'")
    return tuple(join_sources)


def groups_of(emb: Embeddings, column: str | None = None, join_sources: Collection[str] = ()) -> list[str]:
    """Return the group of each row: `column` within its source; None takes the manifest's fold groups.

    Rows of copies of one picture are one group, whatever their columns hold.

    Args:
        emb: the table.
        column: whose values are the groups.
        join_sources: columns whose values mean the same under every source.

    Raises:
        RedDinoError: a row has no value in the named column.
    """
    across = joined_columns(join_sources, column)
    if column is None:
        known = [name for name in ("path", *IDENTITIES, "source") if name in emb.table.column_names]
        return Manifest(emb.table.select(known), Path()).fold_groups(across, emb.copies)
    values = emb.names(column)
    require_groups(column, sum(value == "" for value in values), len(values))
    columns = {column: values, "picture": _copied(emb)}
    return joined_groups(_sources(emb), columns, (*across, "picture"))


def require_groups(column: str, missing: int, rows: int) -> None:
    """Refuse a column of groups in which rows have no value.

    Raises:
        RedDinoError: counts them.
    """
    if missing:
        raise RedDinoError(f"{missing} of {rows} labelled rows have no '{column}': group by another column")


def kept_apart(emb: Embeddings, join_sources: Collection[str]) -> list[str]:
    """Return the group of each row (n,) that a split whose sides are given keeps on one of them.

    That is copies of a picture, and rows of a patient, slide or group in `join_sources`.
    """
    columns = {name: emb.names(name) for name in join_sources} | {"picture": _copied(emb)}
    return joined_groups(_sources(emb), columns, tuple(columns))


def without_tested(
    splits: Sequence[Split], names: Sequence[str], join_sources: Collection[str]
) -> tuple[tuple[Split, ...], tuple[str, ...]]:
    """Remove from splits whose sides are given the training rows that show who, or what, is tested.

    These are copies of tested pictures, and cells of tested patients, slides and groups in `join_sources`.

    Args:
        splits: whose sides are given.
        names: (n,) of what `kept_apart` keeps on one side.
        join_sources: what joined these, for the sentence.

    Returns:
        The splits, and a sentence where training rows had to go.

    Raises:
        RedDinoError: a split has no training cell left.
    """
    group = np.unique(np.asarray(names), return_inverse=True)[1]
    kept, gone, trained = [], 0, 0
    for split in splits:
        tested = np.zeros(int(group.max()) + 1, dtype=np.bool_)
        for _, rows in split.tests:
            tested[group[rows]] = True
        train = split.train[~tested[group[split.train]]]
        if not len(train):
            raise RedDinoError(
                f"'{split.name}' has no training cell of which no patient, slide, group or picture is "
                "tested: use the protocol grouped-kfold, which keeps them on one side"
            )
        gone, trained = gone + len(split.train) - len(train), trained + len(split.train)
        kept.append(Split(split.name, train, split.tests))
    if not gone:
        return tuple(splits), ()
    what = " or ".join(["a picture that is tested too", *(f"a tested {name}" for name in join_sources)])
    return tuple(kept), (f"{gone} of {trained} training cells were left out: they are of {what}.",)


def leak_notes(emb: Embeddings, groups: Sequence[str], splits: Sequence[Split] = ()) -> list[str]:
    """Return notes on names that occur under several sources, and on pictures that occur twice.

    Args:
        emb: the labelled rows (n).
        groups: (n,) what was kept together, which may have joined such names.
        splits: in which names that were not joined are counted.
    """
    return [*shared_names(emb, groups, splits), *_copy_notes(emb)]


def divided_notes(emb: Embeddings, column: str | None, groups: Sequence[str]) -> list[str]:
    """Return notes on patients, slides, groups and pictures that stand in several groups of a column.

    Args:
        emb: the labelled rows (n).
        column: that the groups are made of; None where they are the manifest's, which divide nothing.
        groups: (n,) of the rows.
    """
    if column is None:
        return []
    sources, divided = _sources(emb), []
    for name in (*IDENTITIES, "path"):
        if name in emb.table.column_names:
            values = emb.names(name) if name != "path" else emb.strings(name)
            own = [
                f"{source}\0{value}" if value else "" for source, value in zip(sources, values, strict=True)
            ]
            number = len(several_of(own, groups))
            divided += [counted(number, "picture" if name == "path" else name)] if number else []
    if not divided:
        return []
    return [f"Groups by '{column}' divide {', '.join(divided)}, so that parts of one may train and test."]


def alike_notes(what: str, names: Sequence[str]) -> list[str]:
    """Return notes on names that are spelt almost the same, and yet count as different ones.

    Args:
        what: they are, such as `classes`.
        names: (n,) of the rows.
    """
    by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
        by_key.setdefault(spelling_key(name), []).append(name)
    several = [alike for alike in by_key.values() if len(alike) > 1]
    if not several:
        return []
    shown = " and ".join(f"'{name}'" for name in several[0][:3])
    more = f" ({len(several) - 1} more are like these)" if len(several) > 1 else ""
    return [f"{shown} are different {what}{more}: if they are one, write them alike, or rename one."]


def shared_names(emb: Embeddings, groups: Sequence[str], splits: Sequence[Split] = ()) -> list[str]:
    """Return notes on names that occur under several sources; as of `leak_notes`."""
    sources = _sources(emb)
    joined: list[str] = []
    apart: dict[str, dict[str, list[str]]] = {}
    for column in IDENTITIES:
        if column not in emb.table.column_names:
            continue
        values = emb.names(column)
        shared = under_several(values, sources)
        separate = several_of(values, groups)
        if together := sum(name not in separate for name in shared):
            joined.append(counted(together, column))
        if left := {name: under for name, under in shared.items() if name in separate}:
            apart[column] = left
    notes = [f"Names under several sources that are joined: {', '.join(joined)}."] if joined else []
    if not apart:
        return notes
    column, left = next(iter(apart.items()))
    name, under = next(iter(left.items()))
    percent = _tested_elsewhere(emb, splits, tuple(apart))
    flatters = (
        f" {percent:.0f} % of the tested cells bear a name that trains under another source."
        if percent
        else ""
    )
    return [
        *notes,
        f"Names under several sources are taken for different ones: "
        f"{', '.join(counted(len(names), what) for what, names in apart.items())}, such as {column} '{name}' "
        f"of '{under[0]}' and '{under[1]}'.{flatters} If they are the same, join them: "
        f"--join-sources {' '.join(apart)}.",
    ]


def _tested_elsewhere(emb: Embeddings, splits: Sequence[Split], columns: Sequence[str]) -> float:
    """Return the percentage of tested rows with a name in a column that trains under another source."""
    places, source = np.unique(np.asarray(_sources(emb)), return_inverse=True)
    tested = sum(len(rows) for split in splits for _, rows in split.tests)
    elsewhere = np.zeros((len(splits), len(source)), dtype=np.bool_)
    for column in columns:
        names, value = np.unique(np.asarray(emb.names(column)), return_inverse=True)
        known = names[value] != ""
        for number, split in enumerate(splits):
            trains = np.zeros((len(names), len(places)), dtype=np.bool_)
            trains[value[split.train], source[split.train]] = True
            elsewhere[number] |= known & (trains.sum(axis=1)[value] > trains[value, source])
    found = sum(
        int(elsewhere[number, rows].sum()) for number, split in enumerate(splits) for _, rows in split.tests
    )
    return 100 * found / max(tested, 1)


def _sources(emb: Embeddings) -> list[str]:
    """Return the source of each row (n,), "" where the table has none."""
    return emb.names("source") if "source" in emb.table.column_names else [""] * len(emb)


def _copied(emb: Embeddings) -> list[str]:
    """Return for each row (n,) the name of the picture that it shows if it has copies, else ""."""
    copies = emb.copies or {}
    return [copies.get(path, "") for path in emb.strings("path")]


def _copy_notes(emb: Embeddings) -> list[str]:
    if emb.copies is None:
        return ["Nobody looked for pictures that are there twice: embed again to let them be found."]
    sets: dict[str, list[str]] = {}
    for path in dict.fromkeys(emb.strings("path")):
        if path in emb.copies:
            sets.setdefault(emb.copies[path], []).append(path)
    several = [paths for paths in sets.values() if len(paths) > 1]
    if not several:
        return []
    again = sum(len(paths) - 1 for paths in several)
    return [
        f"Copies, or nearly, of other pictures of the table: {again}, such as '{several[0][1]}' of "
        f"'{several[0][0]}'. A picture and its copies count as one group."
    ]
