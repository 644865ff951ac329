"""How ids and labels are spelt: what is trimmed, which words mean missing, which spellings nearly agree."""

from __future__ import annotations

import re
import unicodedata

#: Words that programs write where a value is missing (pandas, R, SQL, spreadsheets), in lower case.
_MISSING = frozenset(
    (
        *("", "na", "n/a", "<na>", "#na", "#n/a", "#n/a n/a", "nan", "-nan", "+nan", "null", "nil", "#null!"),
        *(
            "1.#ind",
            "-1.#ind",
            "1.#qnan",
            "-1.#qnan",
            "nat",
            "#value!",
            "#ref!",
            "#div/0!",
            "#name?",
            "#num!",
        ),
        *("-", "--", "---", "–", "—", "?", "??", "."),
    )
)
#: Python's None as text; 'none' in lower case may be a class.
_MISSING_AS_WRITTEN = frozenset(("None", "NONE"))
#: Words that may mean missing and may be a value: kept, and reported.
_DOUBTFUL = frozenset(
    (
        *("none", "unknown", "unk", "missing", "undefined", "unspecified", "not available", "not applicable"),
        *("not known", "no data", "n.a.", "n. a.", "n.d.", "n/d", "tbd", "-999", "-9999"),
        *("(none)", "(blank)", "(empty)", "(null)", "[null]"),
    )
)
#: Without a width, and without a meaning inside a word; ZWJ and ZWNJ have one in Persian, Hindi or emoji.
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff\u200e\u200f\u180e"))
_AT_ENDS = "\u200c\u200d"
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－⁃˗"), "-")
#: Cyrillic and Greek letters that look like Latin ones.
_LOOK_ALIKE = str.maketrans("АВЕКМНОРСТХаеорсухіΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTXaeopcyxiABEZHIKMNOPTYXo")


def tidy(text: str) -> str:
    """An id or a label without what nobody sees: blanks around it, characters without a width.

    Accents come as one character (NFC), and every kind of blank inside is a plain one.
    """
    if text.isascii():
        return text.strip()
    visible = unicodedata.normalize("NFC", text).translate(_INVISIBLE)
    plain = "".join(" " if unicodedata.category(one) == "Zs" else one for one in visible)
    before = None
    while plain != before:
        before, plain = plain, plain.strip().strip(_AT_ENDS)
    return plain


def means_missing(text: str) -> bool:
    """Whether a tidy value is a word that a program writes where there is none."""
    return text.casefold() in _MISSING or text in _MISSING_AS_WRITTEN


def clean(text: str) -> str:
    """A value as it is compared with others: tidy, "" where it means that there is none."""
    plain = tidy(text)
    return "" if means_missing(plain) else plain


def may_mean_missing(text: str) -> bool:
    """Whether a tidy value may stand for a missing one, or be one."""
    return text.casefold() in _DOUBTFUL


def spelling_key(text: str) -> str:
    """The same for values that a reader would take for one: other case, blanks, accents, dashes or zeros.

    'Burr  cell', 'burr cell', 'burr-cell' have one key, as have 'p1', 'P1', 'p01' and '7', '7.0', '07'; '1 2'
    and '12', 'CD4' and 'CD4-' have not.
    """
    plain = unicodedata.normalize("NFKD", tidy(text).translate(_DASHES).translate(_LOOK_ALIKE))
    plain = "".join(one for one in plain if not unicodedata.combining(one)).translate(_INVISIBLE)
    plain = plain.translate(_DASHES).casefold()
    plain = re.sub(r"(?<=\w)[\s_-]+(?=\w)", _separator, plain)
    if re.fullmatch(r"[+-]?\d+\.0*", plain):
        plain = plain.partition(".")[0]
    return re.sub(r"(?<![\d.])0+(?=\d)", "", plain)


def _separator(match: re.Match[str]) -> str:
    """'-' between digits, where a separator tells numbers apart; else nothing."""
    text, start, end = match.string, match.start(), match.end()
    return "-" if text[start - 1].isdigit() and text[end].isdigit() else ""


def name_key(name: str) -> str:
    """The same for column names that a person would take for one: 'Patient', ' patient', 'cell-diameter'."""
    plain = unicodedata.normalize("NFKC", name).casefold().translate(_INVISIBLE)
    return re.sub(r"[\s_\-.\u200c\u200d]+", "", plain)
