"""The spelling of ids and labels: what is trimmed, which words mean missing, which spellings nearly agree."""

from __future__ import annotations

import re
import unicodedata

#: Words that programs write where a value is missing (pandas, R, SQL, spreadsheets), in lower case.
_MISSING = frozenset(
    (
        *("", "na", "n/a", "<na>", "#na", "#n/a", "#n/a n/a", "nan", "-nan", "+nan", "<nan>", "pd.na", "nat"),
        *("null", "nil", "#null!", "<null>", "\\n"),
        *("1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
        *("#nv", "#n/d", "#n/b", "#i/t", "#н/д", "#není_k_dispozici", "#yok", "#hiányzik"),
        *("-", "--", "---", "−", "–", "—", "?", "??", "."),
    )
)
#: Errors of a spreadsheet, in whatever language it writes them: '#VALUE!', '#BEZUG!', '#¿NOMBRE?', 'Err:502'.
_CELL_ERROR = re.compile(r"#[¡¿]?[^\W\d]+(/0|/[^\W\d]+)?[!?]|err:\d{3}")
#: Python's None as text; 'none' in lower case may be a class.
_MISSING_AS_WRITTEN = frozenset(("None", "NONE"))
#: Words that may mean missing and may be a value: kept, and reported. Without brackets and points.
_DOUBTFUL = frozenset(
    (
        *("none", "null", "unknown", "unkn", "unk", "missing", "undefined", "undef", "unspecified", "empty"),
        *("blank", "anonymous", "anon", "tbd", "tba", "xxx", "no data", "no value", "no patient"),
        *("none given", "notavailable"),
        *(f"not {word}" for word in ("available", "applicable", "known", "given", "recorded", "specified")),
        *("unbekannt", "nicht bekannt", "keine angabe", "inconnu", "desconocido", "sconosciuto"),
        *("不明", "未知", "不详"),
    )
)
#: The same as abbreviations, which without points may be initials; and numbers below any id.
_DOUBTFUL_FORM = re.compile(r"n\. ?[adk]\.?|n/[dk]|n a|k\. ?a\.?|-1(\.0*)?|-9{2,}(\.0*)?|[+-]?inf(inity)?")
#: Without a width, and without a meaning inside a word: soft hyphens, marks of direction, joiners,
#: variants of a glyph, tags. ZWJ and ZWNJ have one in Persian, Hindi or emoji.
_INVISIBLE = dict.fromkeys(
    (
        *map(ord, "\u00ad\u034f\u061c\u180e\u200b\u200e\u200f\ufeff"),
        *(*range(0x202A, 0x202F), *range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xE0000, 0xE0080)),
    )
)
#: Letters by their category that show nothing: Hangul fillers and the empty Braille pattern.
_BLANK_LETTERS = "\u115f\u1160\u3164\uffa0\u2800"
_AT_ENDS = "\u200c\u200d"
_DASHES = dict.fromkeys(map(ord, "‐‑‒–—―−﹘﹣－⁃˗"), "-")
#: Cyrillic and Greek letters with the shape of Latin ones.
_LOOK_ALIKE = str.maketrans("АВЕКМНОРСТХаеорсухіΑΒΕΖΗΙΚΜΝΟΡΤΥΧο", "ABEKMHOPCTXaeopcyxiABEZHIKMNOPTYXo")
_QUOTES = "'\"`´‘’‚“”„«»"


def tidy(text: str) -> str:
    """Return an id or a label without invisible parts: blanks around it, characters without a width.

    Accents come as one character (NFC), and every kind of blank inside is a plain one.
    """
    if text.isascii():
        return text.strip()
    visible = unicodedata.normalize("NFC", text).translate(_INVISIBLE)
    plain = "".join(
        " " if unicodedata.category(one) == "Zs" or one in _BLANK_LETTERS else one for one in visible
    )
    before = None
    while plain != before:
        before, plain = plain, plain.strip().strip(_AT_ENDS)
    return plain


def means_missing(text: str) -> bool:
    """Return whether a tidy value is a word that programs write for a missing value."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return plain in _MISSING or text in _MISSING_AS_WRITTEN or _CELL_ERROR.fullmatch(plain) is not None


def clean(text: str) -> str:
    """Return a value as it is compared with others: tidy, "" where it means a missing value."""
    plain = tidy(text)
    return "" if means_missing(plain) else plain


def may_mean_missing(text: str) -> bool:
    """Return whether a tidy value may stand for a missing one, or be one."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    words = " ".join(re.sub(r"[\W_]+", " ", plain).split())
    return not words or words in _DOUBTFUL or _DOUBTFUL_FORM.fullmatch(plain) is not None


def spelling_key(text: str) -> str:
    """Return the same key for values that a reader would take for one.

    They differ in case, blanks, accents, dashes, zeros, quotes, a point at the end, or the script of digits.
    'Burr  cell', 'burr cell', 'burr-cell' have one key, as have 'p1', 'P1', 'p01' and '7', '7.0', '07'; '1 2'
    and '12', 'CD4' and 'CD4-' have not.
    """
    plain = _latin(tidy(text).translate(_DASHES)).translate(_INVISIBLE).translate(_DASHES).casefold()
    plain = "".join(str(unicodedata.decimal(one)) if one.isdecimal() else one for one in plain)
    plain = plain.strip(_QUOTES).rstrip(".,;:") or plain
    plain = re.sub(r"(?<=\w)[\s_.-]+(?=\w)", _separator, plain)
    if re.fullmatch(r"[+-]?\d+\.0*", plain):
        plain = plain.partition(".")[0]
    return re.sub(r"(?<![\d.])0+(?=\d)", "", plain)


def _separator(match: re.Match[str]) -> str:
    """Return '-' or '.' between digits, where a separator distinguishes numbers; else nothing."""
    text, start, end = match.string, match.start(), match.end()
    between = "." if match[0] == "." else "-"
    return between if text[start - 1].isdigit() and text[end].isdigit() else ""


def _latin(text: str) -> str:
    """Return the text without accents, and with letters of the shape of Latin ones as these."""
    plain = unicodedata.normalize("NFKD", text.translate(_LOOK_ALIKE))
    return "".join(one for one in plain if not unicodedata.combining(one))


def name_key(name: str) -> str:
    """Return the same key for column names that a reader would take for one.

    Examples are 'Patient', 'cell-diameter' and '#x'.
    """
    return "".join(one for one in _latin(name).casefold() if one.isalnum())


def one_slip_apart(one: str, other: str) -> bool:
    """Return whether two keys differ by one letter: missing, wrong, too many, or swapped with the next."""
    return bool(_shortened(one) & _shortened(other))


def _shortened(key: str) -> set[str]:
    return {key, *(key[:place] + key[place + 1 :] for place in range(len(key)))}
