"""Classes of a review: made, renamed, given hotkeys and merged, with their history kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from reddino.foundations.errors import RedDinoError
from reddino.foundations.visible import visible
from reddino.reviewing.records import CellClass
from reddino.smears.spelling import clean

HOTKEYS = "123456789"
MOST_LETTERS = 100

Change = Literal["added", "renamed", "hotkey", "merged", "parted"]


@dataclass(frozen=True)
class ClassChange:
    """One step in the history of a class; never changed and never deleted.

    Attributes:
        class_number: of the class.
        change: `added`, `renamed`, `hotkey`, `merged` into another, or `parted` from that again.
        name: of `added` and `renamed`; else "".
        hotkey: of `added` and `hotkey`; else "".
        into: of `merged`, the number of the other class.
        reader: who did it.
        at: when, as `Event.at`.
    """

    class_number: int
    change: Change
    name: str = ""
    hotkey: str = ""
    into: int | None = None
    reader: str = ""
    at: str = ""


class Classes:
    """The classes as they stand after some changes."""

    def __init__(self, changes: Iterable[ClassChange] = ()) -> None:
        self._all: dict[int, CellClass] = {}
        self._into: dict[int, int] = {}
        for change in changes:
            self._apply(change)

    def _apply(self, change: ClassChange) -> None:
        number = change.class_number
        if change.change == "added":
            self._all[number] = CellClass(number, change.name)
        elif change.change == "renamed":
            before = self._all[number]
            self._all[number] = replace(before, name=change.name, former=(*before.former, before.name))
        elif change.change == "merged" and change.into is not None:
            self._into[number] = change.into
            self._all[number] = replace(self._all[number], hotkey="")
        elif change.change == "parted":
            self._into.pop(number, None)
        if change.change in ("added", "hotkey"):
            self._give_hotkey(number, change.hotkey)

    def _give_hotkey(self, number: int, hotkey: str) -> None:
        for other in self._all.values():
            if hotkey and other.hotkey == hotkey:
                self._all[other.number] = replace(other, hotkey="")
        self._all[number] = replace(self._all[number], hotkey=hotkey)

    def standing(self) -> list[CellClass]:
        """Return the classes that are merged into no other, in the order in which they were added."""
        merged: dict[int, list[int]] = {}
        for number in self._into:
            merged.setdefault(self.counts_for(number), []).append(number)
        return [
            replace(one, merged=tuple(sorted(merged.get(number, ()))))
            for number, one in sorted(self._all.items())
            if number not in self._into
        ]

    def counts_for(self, number: int) -> int:
        """Return the number of the class that a class counts for after all merges."""
        while number in self._into:
            number = self._into[number]
        return number

    def names(self) -> Mapping[int, tuple[int, str]]:
        """Return number -> number and name of the class that it counts for."""
        return {
            number: (last, self._all[last].name) for number in self._all for last in [self.counts_for(number)]
        }

    def get(self, number: int) -> CellClass:
        """Return a class that stands.

        Raises:
            RedDinoError: there is none of that number, or it was merged into another.
        """
        found = next((one for one in self.standing() if one.number == number), None)
        if found is None:
            raise RedDinoError(f"no such class: number {number}; it was merged, or never made")
        return found

    def holds(self, number: int) -> bool:
        """Return whether there is or was a class of that number."""
        return number in self._all

    def own_name(self, number: int) -> str:
        """Return the name that a class has itself, merged or not."""
        return self._all[number].name

    def named(self, name: str, *, formerly: bool = False) -> CellClass | None:
        """Return the class of that name; with `formerly`, also the one class that had it or was merged."""
        for one in self.standing():
            if one.name == name:
                return one
        if not formerly:
            return None
        had = {
            self.counts_for(number)
            for number, one in self._all.items()
            if name in one.former or (number in self._into and name == one.name)
        }
        return self.get(had.pop()) if len(had) == 1 else None

    def free_hotkey(self) -> str:
        """Return the first hotkey that no class has; "" where all nine are taken."""
        taken = {one.hotkey for one in self.standing()}
        return next((key for key in HOTKEYS if key not in taken), "")


def require_name(name: str, what: str) -> str:
    """Return the tidy name of a class or a reader.

    Raises:
        RedDinoError: it is empty, too long, has control characters, or is read as a missing value.
    """
    tidy = clean(name)
    if not tidy:
        raise RedDinoError(f"{what} has no name: {name!r} is empty or means a missing value; give another")
    if len(tidy) > MOST_LETTERS:
        raise RedDinoError(f"{what} has too long a name: {tidy[:20]}...; {MOST_LETTERS} letters are enough")
    if visible(tidy, keep="") != tidy:
        raise RedDinoError(
            f"{what} has a name with control characters: {visible(tidy, keep='')}; leave them out"
        )
    if tidy.startswith("["):
        raise RedDinoError(f"{what} has a name that begins with a bracket: {tidy}; such stand for [artefact]")
    return tidy


def require_hotkey(hotkey: str) -> str:
    """Return a hotkey.

    Raises:
        RedDinoError: it is neither a digit from 1 to 9 nor "".
    """
    if hotkey and (len(hotkey) != 1 or hotkey not in HOTKEYS):
        raise RedDinoError(f"no such hotkey: {hotkey!r}; hotkeys are 1 to 9")
    return hotkey
