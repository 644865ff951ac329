"""Checks of a manifest's spelling: values and columns that nearly agree, and words that may mean missing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from reddino.foundations.counting import counted
from reddino.smears.findings import Finding
from reddino.smears.manifest import Manifest
from reddino.smears.manifest_columns import COLUMNS, ID_COLUMNS, NUMBER_COLUMNS
from reddino.smears.manifest_values import Column
from reddino.smears.spelling import may_mean_missing, name_key, one_slip_apart, spelling_key

#: Names (as `name_key` gives them) that other programs have for the columns of a manifest.
_SYNONYMS: dict[str, Sequence[str]] = {
    "source": (
        "sourceid",
        "site",
        "siteid",
        "laboratory",
        "lab",
        "hospital",
        "center",
        "centre",
        "dataset",
        "scanner",
    ),
    "slide": (
        "slideid",
        "slidename",
        "slideno",
        "slidenumber",
        "smear",
        "smearid",
        "wsi",
        "specimen",
        "specimenid",
    ),
    "patient": (
        *(
            "patientid",
            "patientname",
            "patientno",
            "patientnumber",
            "pid",
            "subject",
            "subjectid",
            "case",
            "caseid",
        ),
        *("donor", "donorid", "participant", "participantid", "individual", "animal", "animalid"),
        *("pat", "patid", "patno", "patnr", "patientnr", "pt", "ptid"),
    ),
    "group": ("groupid", "fov", "fovid"),
    "label": (
        *("class", "classes", "classname", "classid", "classlabel", "category", "categoryid", "categoryname"),
        *("celltype", "cellclass", "cellname", "target", "labelname", "labelid", "annotation", "groundtruth"),
    ),
    "x": (
        "xmin",
        "x0",
        "x1",
        "left",
        "bboxx",
        "bbox",
        "xc",
        "xcenter",
        "xcentre",
        "cx",
        "centerx",
        "centroidx",
    ),
    "y": ("ymin", "y0", "y1", "top", "bboxy", "yc", "ycenter", "ycentre", "cy", "centery", "centroidy"),
    "w": ("width", "bboxw", "bboxwidth"),
    "h": ("height", "bboxh", "bboxheight"),
    "cell_diameter": (
        "diameter",
        "diameterpx",
        "celldiameterpx",
        "celldiameterpixels",
        "cellsize",
        "celldiam",
    ),
}
#: The same for the far edge of a box, where a manifest has its width or height.
_EDGES = {"w": ("xmax", "x2", "right", "bboxx2"), "h": ("ymax", "y2", "bottom", "bboxy2")}
#: What is left of a long number in a spreadsheet's cell, and of letters of another encoding.
_LOSSY = re.compile(r"-?\d(\.\d+)?[Ee]\+\d+|-?\d\.\d+[Ee]\d+|#{3,}|.*\ufffd.*", re.DOTALL)
#: What a spreadsheet makes of ids such as '3-1' and 'MAR1': a day of a month, without a year.
_MONTH = r"(jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sept?|o[ck]t|nov|de[cz])"
_DATE = re.compile(rf"\d{{1,2}}[-. ]+{_MONTH}\.?|{_MONTH}[-. ]+\d{{1,2}}", re.IGNORECASE)
_DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
_NUMBER = r"^\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*$"


@dataclass(frozen=True)
class _Value:
    """A value that occurs in a column: within one source, or ("") anywhere; how often, and where first."""

    scope: str
    text: str
    count: int
    first: int


def check_values(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of ids and labels that differ in spelling alone, or may mean missing.

    Ids that are spelt alike within one source are reported first; else those between two sources.
    """
    for column in (*ID_COLUMNS, "label"):
        values = _values(manifest, column)
        yield from _alike(manifest, column, values)
        yield from _doubtful(manifest, column, values)
        yield from _lossy(manifest, column, values)


def _values(manifest: Manifest, column: str) -> list[_Value]:
    """Return the distinct values of a column, in order of appearance."""
    table = manifest.table.select(list({"source", column}))
    table = table.append_column("row", pa.array(np.arange(len(manifest))))
    keys = ["source", column] if column in ("slide", "patient", "group") else [column]
    present = table.filter(pc.is_valid(table.column(column))).group_by(keys)
    found = present.aggregate([("row", "count"), ("row", "min")]).sort_by("row_min").to_pylist()
    return [
        _Value((one["source"] or "") if len(keys) > 1 else "", one[column], one["row_count"], one["row_min"])
        for one in found
    ]


def _alike(manifest: Manifest, column: str, values: Sequence[_Value]) -> Iterator[Finding]:
    keys = {text: spelling_key(text) for text in {value.text for value in values}}
    groups: dict[str, list[_Value]] = defaultdict(list)
    for value in values:
        groups[keys[value.text]].append(value)
    several = [group for group in groups.values() if len({value.text for value in group}) > 1]
    if not several:
        return
    # Values of one source are the likelier to be one.
    shown = min(several, key=lambda group: len({value.scope for value in group}))
    named = [next(value for value in shown if value.text == text) for text in _texts(shown)[:3]]
    names = " and ".join(f"'{value.text}' ({counted(value.count, 'row')}{_of(value)})" for value in named)
    more = f", and {len(several) - 1} more" if len(several) > 1 else ""
    text = f"column '{column}': {names} are taken as different{more}; if they are one, write them alike"
    yield Finding("values spelt alike", text, len(several), manifest.place(named[1].first))


def _texts(values: Sequence[_Value]) -> list[str]:
    return list(dict.fromkeys(value.text for value in values))


def _of(value: _Value) -> str:
    return f" of source '{value.scope}'" if value.scope else ""


def _doubtful(manifest: Manifest, column: str, values: Sequence[_Value]) -> Iterator[Finding]:
    found = [value for value in values if may_mean_missing(value.text)]
    if found:
        what = "a class" if column == "label" else f"one {column}"
        text = f"column '{column}': '{found[0].text}' is taken as {what}; leave it empty if none is known"
        rows = sum(value.count for value in found)
        place = manifest.place(found[0].first)
        yield Finding("values that may mean missing", text, rows, place, harmless=column == "label")


def _lossy(manifest: Manifest, column: str, values: Sequence[_Value]) -> Iterator[Finding]:
    found = [value for value in values if _LOSSY.fullmatch(value.text) or _garbled(value.text)]
    dates = [value for value in values if _DATE.fullmatch(value.text)]
    if len(dates) < len(values):  # where all are dates, dates were meant
        found = sorted({*found, *dates}, key=lambda value: value.first)
    if found:
        text = (
            f"column '{column}': '{found[0].text}' is what a spreadsheet, or another encoding, left of "
            "a value: several may have become one; export the original again"
        )
        rows = sum(value.count for value in found)
        yield Finding("values that lost characters", text, rows, manifest.place(found[0].first))


def _garbled(text: str) -> bool:
    """Return whether a text is UTF-8 that a program read as a Western encoding, such as 'MÃ¼ller'."""
    for encoding in () if text.isascii() else ("cp1252", "latin-1"):
        try:
            text.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        return True
    return False


def check_columns(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of extra columns that seem meant for an empty one, and of decimal commas in them."""
    given = {name_key(name): name for name in manifest.table.column_names if name not in COLUMNS}
    for column in _SYNONYMS:
        name = _meant(manifest, given, column)
        if name is not None:
            yield Finding("columns of other names", _renamed(name, column), 1, f"column '{name}'")
    for name in given.values():
        yield from _decimal_commas(manifest, name)


def _meant(manifest: Manifest, given: Mapping[str, str], column: str) -> str | None:
    """Return the further column, of those `given` by key, that may be meant for an empty one."""
    if manifest.table.column(column).null_count < len(manifest):
        return None
    known = (*_SYNONYMS[column], *_EDGES.get(column, ()))
    misspelt = (key for key in given if len(key) > 4 < len(column) and one_slip_apart(key, name_key(column)))
    names = [given[key] for key in (*known, *misspelt) if key in given]
    return next((name for name in names if manifest.table.column(name).null_count < len(manifest)), None)


def _renamed(name: str, column: str) -> str:
    """Return what to do about a column that is carried along unread."""
    does = f"if it is the {column}, call it '{column}'"
    if name_key(name) in _EDGES.get(column, ()):
        does = f"if it is the far edge of a box, fill '{column}' with the size: '{name}' less the near edge"
    elif column in ("x", "y"):
        does = f"if it is the near edge of a box, or the centre of a cell without one, call it '{column}'"
    return f"column '{name}' is carried along unread; {does}"


def _decimal_commas(manifest: Manifest, name: str) -> Iterator[Finding]:
    column: Column = manifest.table.column(name)
    if column.type != pa.string() or not _are_numbers(column.drop_null()[:100]):
        return
    matches: Column = pc.match_substring_regex(column, _DECIMAL_COMMA)
    with_comma = np.asarray(pc.fill_null(matches, False))
    if with_comma.any() and _are_numbers(column.drop_null()):
        row = int(np.argmax(with_comma))
        text = f"column '{name}': '{column[row].as_py()}' stays text; numbers need a decimal point"
        yield Finding("decimal commas", text, int(with_comma.sum()), manifest.place(row))


def _are_numbers(column: Column) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, _NUMBER)).as_py())


def check_repeats(manifest: Manifest) -> Iterator[Finding]:
    """Yield findings of rows of the same picture and place, and those of them that differ in their label."""
    place = ["path", *NUMBER_COLUMNS[:4]]
    rows = _perhaps_repeated(manifest)
    if not rows.size:
        return
    table = manifest.table.select([*place, "label"]).take(rows).append_column("row", pa.array(rows))
    cells = table.group_by(place).aggregate([("row", "count"), ("row", "min"), ("label", "count_distinct")])
    number, first, labels = (
        np.asarray(cells.column(name)) for name in ("row_count", "row_min", "label_count_distinct")
    )
    for chosen, kind, does in (
        ((number > 1) & (labels <= 1), "rows listed twice", "is listed again and would count twice"),
        ((number > 1) & (labels > 1), "rows of several labels", "is listed with several labels"),
    ):
        if chosen.any():
            text = f"the same box, or whole picture, {does}; leave one row"
            extra = int(number[chosen].sum() - chosen.sum())
            yield Finding(kind, text, extra, manifest.place(int(first[chosen].min())))


def _perhaps_repeated(manifest: Manifest) -> NDArray[np.int64]:
    """Return the rows whose picture and place have a hash that another row has, too."""
    hashes = manifest.images()[1].astype(np.uint64)
    for name in NUMBER_COLUMNS[:4]:
        hashes = (hashes ^ (manifest.numbers(name) + 0.0).view(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(29)
    _, codes, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[codes] > 1)
