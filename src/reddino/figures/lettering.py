"""Letters that figures can draw: fonts for every script that is installed, numbers for names of any other."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from unicodedata import bidirectional

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.font_manager import FontProperties

from reddino.foundations.exports import write_csv

log = logging.getLogger(__name__)

#: Families that are tried first, since they hold whole scripts; after them all that are installed.
PREFERRED = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK TC", "Noto Sans CJK KR", "Noto Sans SC"),
    *(
        "Source Han Sans SC",
        "Source Han Sans CN",
        "Source Han Sans",
        "WenQuanYi Micro Hei",
        "WenQuanYi Zen Hei",
    ),
    *("Microsoft YaHei", "PingFang SC", "Hiragino Sans GB", "Hiragino Sans", "Yu Gothic", "Malgun Gothic"),
    *("Apple SD Gothic Neo", "NanumGothic", "Droid Sans Fallback", "SimHei", "Arial Unicode MS"),
    *("Noto Sans Arabic", "Noto Sans Hebrew", "Noto Sans Thai", "Noto Sans Devanagari", "Tahoma"),
)
#: From here on matplotlib joins Arabic letters and sets them from right to left.
SHAPING = (3, 11)
#: The file in a folder of figures that lists what its numbers stand for.
NAMES_FILE = "names.csv"


class Numbers:
    """Numbers that stand in figures for names that no installed font can draw; one name, one number."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def of(self, name: str) -> str:
        """Return what a figure shows in place of a name."""
        return f"#{self._numbers.setdefault(name, len(self._numbers) + 1)}"

    def rows(self) -> list[tuple[str, str]]:
        """Return (number as shown, name) of each."""
        return [(f"#{number}", name) for name, number in self._numbers.items()]

    def leave_at(self, path: Path) -> None:
        """Write them as CSV, or delete an earlier list there if every name could be drawn."""
        path.unlink(missing_ok=True)
        if self._numbers:
            write_csv(path, ("number", "name"), self.rows())

    def sentence(self, where: str) -> str:
        """Return a note for the reader of the figures; "" where every name could be drawn."""
        if not self._numbers:
            return ""
        return (
            f"no installed font has all letters of {len(self)} names, so figures show numbers in their "
            f"place, which {where} lists; install a font that has them, such as Noto Sans CJK"
        )


class Lettering:
    """How texts are drawn: with which further font families, and which letters none of them has."""

    def __init__(self, texts: Iterable[str]) -> None:
        letters = {letter for text in texts for letter in text if letter > "~"}
        missing = set(letters - _letters_in(font_manager.findfont(FontProperties())))
        self.families = _families(frozenset(missing))
        for family in self.families:
            missing -= _letters_in(_installed()[family])
        if tuple(map(int, mpl.__version__.split(".")[:2])) < SHAPING:
            missing |= {letter for letter in letters if bidirectional(letter) in ("R", "AL")}
        self.missing = missing

    def drawn(self, text: str, numbers: Numbers) -> str:
        """Return the text with a number in place of each word that cannot be drawn."""
        if not self.missing.intersection(text):
            return text
        return re.sub(
            r"\S+", lambda word: numbers.of(word[0]) if self.missing.intersection(word[0]) else word[0], text
        )


def _families(missing: frozenset[str]) -> list[str]:
    """Return installed families that together have most of the letters; as few as possible."""
    found: list[str] = []
    left = set(missing)
    while left:
        counts = {name: len(left & _letters_in(file)) for name, file in _installed().items()}
        best = max(counts, key=lambda name: counts[name], default="")
        if not best or not counts[best]:
            break
        found.append(best)
        left -= _letters_in(_installed()[best])
    return found


@lru_cache(maxsize=1)
def _installed() -> dict[str, str]:
    """Return families that figures may use besides their own, the preferred first, and a file of each."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    # matplotlib remembers what was installed when it was first used.
    for file in font_manager.findSystemFonts():
        if file not in known:
            with suppress(OSError, RuntimeError, ValueError):
                font_manager.fontManager.addfont(file)
    own = Path(mpl.get_data_path())
    files: dict[str, str] = {}
    # The file nearest to regular comes last and stays.
    for entry in sorted(font_manager.fontManager.ttflist, key=_distance_from_regular, reverse=True):
        # Its own further fonts hold symbols under the numbers of letters.
        if own not in Path(entry.fname).parents:
            files[entry.name] = entry.fname
    return {name: files[name] for name in dict.fromkeys((*PREFERRED, *sorted(files))) if name in files}


def _distance_from_regular(entry: font_manager.FontEntry) -> float:
    weight = entry.weight if isinstance(entry.weight, int | float) else 400
    return abs(weight - 400) + 1000 * (entry.style != "normal")


@lru_cache(maxsize=512)
def _letters_in(file: str) -> frozenset[str]:
    """Return the letters that a font's file has; none where it cannot be drawn with, as with emoji."""
    try:
        font = font_manager.get_font(file)
    except (OSError, RuntimeError, ValueError):
        return frozenset()
    return frozenset(map(chr, font.get_charmap())) if font.scalable else frozenset()


def note_numbers(numbers: Numbers, folder: Path) -> None:
    """List what the numbers in a folder's figures stand for, and log it, if there are any."""
    numbers.leave_at(folder / NAMES_FILE)
    if numbers:
        log.warning("%s", numbers.sentence(str(folder / NAMES_FILE)))
