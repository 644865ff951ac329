"""Patients, slides and groups whose names contradict each other, and so may leak across a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from reddino.smears.choices import IDENTITIES
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.sides import side_of_folder, sides_of, split_columns

#: What rows without a source are called.
NO_SOURCE = "(no source)"
#: What holds one of each of the others: (column, what it should have one of).
_ONE_OF = (
    ("slide", "patient"),
    ("group", "patient"),
    ("path", "patient"),
    ("path", "slide"),
    ("path", "source"),
)


def several_of(holders: Sequence[str], held: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of `holders` (n,) that occur with two or more values of `held` (n,), with those.

    "" is missing on either side, and is passed over.
    """
    found: dict[str, list[str]] = {}
    for holder, value in dict.fromkeys(zip(holders, held, strict=True)):
        if holder and value:
            found.setdefault(holder, []).append(value)
    return {holder: values for holder, values in found.items() if len(values) > 1}


def under_several(values: Sequence[str], sources: Sequence[str]) -> dict[str, list[str]]:
    """Return the names (n,) that occur under two or more sources (n,), with those.

    Rows without one are one more.
    """
    return several_of(values, [source or NO_SOURCE for source in sources])


def in_several_sources(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of patients, slides and groups that have one name under several sources."""
    sources = manifest.strings("source")
    for column in IDENTITIES:
        values = manifest.strings(column)
        shared = under_several(values, sources)
        if shared:
            name, under = next(iter(shared.items()))
            yield Finding(
                f"{column} in several sources",
                f"{_count(shared, column)} under several sources, and {_is(shared)} taken for a different "
                f"{column} under each, so that its cells can train and test; where it is the same, give "
                f"evaluate and fit --join-sources {column}, else rename it",
                len(shared),
                f"{column} {_named(name)} of {_list(under)}: {manifest.place(values.index(name))}",
            )


def of_two_owners(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of slides and groups of two patients, and of pictures of two owners."""
    sources = manifest.strings("source")
    for column, owner in _ONE_OF:
        values = manifest.strings(column)
        # A slide's name means something within its source alone, a picture's everywhere.
        places = values if column == "path" else _within(sources, values)
        several = several_of(places, manifest.strings(owner))
        if several:
            place, owners = next(iter(several.items()))
            row = places.index(place)
            what = "picture" if column == "path" else column
            yield Finding(
                f"{what} of several {owner}s",
                f"{_count(several, what)} with more than one {owner}; evaluate and fit keep all of these "
                f"together, which is right only if the {owner}s are; mend the manifest",
                len(several),
                f"{what} {_named(values[row])} of {owner} {_list(owners)}: {manifest.place(row)}",
            )


def in_several_splits(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of patients, slides, groups and pictures on two sides of a split."""
    sources = manifest.strings("source")
    splits = {f"'{name}'": sides_of(manifest, name) for name in split_columns(manifest)}
    paths, codes = manifest.images()
    folders = [side_of_folder(path) for path in paths]
    splits["the folders"] = [folders[code] for code in codes.tolist()]
    for split, sides in splits.items():
        for column in (*IDENTITIES, "path"):
            values = manifest.strings(column)
            places = values if column == "path" else _within(sources, values)
            several = several_of(places, sides)
            if several:
                place, on = next(iter(several.items()))
                row = places.index(place)
                what = "picture" if column == "path" else column
                yield Finding(
                    f"{what} on several sides of {split}",
                    f"{_count(several, what)} on more than one side of the split that {_names(split)}, "
                    "so that scores of this split are flattered",
                    len(several),
                    f"{what} {_named(values[row])} in {_list(on)}: {manifest.place(row)}",
                )


def _names(split: str) -> str:
    return f"{split} name" if split == "the folders" else f"the column {split} names"


def _within(sources: Sequence[str], values: Sequence[str]) -> list[str]:
    """Return the values with their sources, "" where missing."""
    return [f"{source}\0{value}" if value else "" for source, value in zip(sources, values, strict=True)]


def _count(found: Mapping[str, object], what: str) -> str:
    return f"1 {what} stands" if len(found) == 1 else f"{len(found)} {what}s stand"


def _is(found: Mapping[str, object]) -> str:
    return "is" if len(found) == 1 else "each is"


def _named(value: str) -> str:
    return f"'{value}'"


def _list(values: Sequence[str]) -> str:
    shown = " and ".join(_named(value) for value in values[:2])
    return shown + (f" and {len(values) - 2} more" if len(values) > 2 else "")
