"""Text of others, made harmless and distinct before a user sees it: control characters and long names."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

#: Categories of Unicode that act instead of showing: control, format (direction, zero width), surrogates from
#: file names that are not UTF-8, and separators of lines and paragraphs.
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Letters of a name in a legend, a title or a file's name.
MOST_LETTERS = 28


def visible(text: str, keep: str = "\n") -> str:
    r"""Return the text with characters that act on a terminal or its direction written out, as `\x1b`.

    Args:
        text: from a label, a file's name, or a message that quotes one.
        keep: characters that stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        _written_out(letter) if unicodedata.category(letter) in _ACTING and letter not in keep else letter
        for letter in text
    )


def _written_out(letter: str) -> str:
    short = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}.get(letter)
    number = ord(letter)
    return short or (
        f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}" if number < 65536 else f"\\U{number:08x}"
    )


def short(name: str, most: int = MOST_LETTERS) -> str:
    """Return a name cut to `most` letters, for legends and titles."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def short_names(names: Sequence[str], most: int = MOST_LETTERS) -> list[str]:
    """Return as many names for display, on one line each.

    They are cut to `most` letters, and numbered where two would coincide.

    Equal names stay equal.
    """
    cut = {name: short(visible(name, keep=""), most) for name in dict.fromkeys(names)}
    alike = Counter(cut.values())
    turn: Counter[str] = Counter()
    for name, shown in cut.items():
        if alike[shown] > 1:
            turn[shown] += 1
            cut[name] = f"{shown} ({turn[shown]})"
    return [cut[name] for name in names]


def file_stem(name: str, most: int = 100) -> str:
    """Return a file's name without its suffix, for the name of another: short, and without odd characters.

    A name that has to be changed gets the first digits of its hash, so that two never become one.
    """
    stem = name.rpartition(".")[0] or name
    plain = re.sub(r"[^\w.+@=, ()-]", "_", visible(stem, keep=""))[:most]
    if plain == stem:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"
