"""Files that belong to each other by name: a picture has one annotation file, and a file one picture."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reddino.smears.readers.rows import Rows

ORPHANS = "annotation files without a picture"
UNANNOTATED = "pictures without an annotation file"


def one_each(pairs: Iterable[tuple[Path, Path]], rows: Rows) -> dict[Path, Path]:
    """Return the file of each picture, from (picture, file) that match by name.

    A file that matches two pictures could belong to either, and a picture that matches two files has two
    truths (unless these are the same): they are reported, with both names, and neither is used.
    """
    files: dict[Path, list[Path]] = {}
    pictures: dict[Path, list[Path]] = {}
    for picture, file in pairs:
        files.setdefault(picture, []).append(file)
        pictures.setdefault(file, []).append(picture)
    for file, several in pictures.items():
        if len(several) > 1:
            rows.report(file, f"it could belong to {_both(several, rows)}; give them different names")
    matched: dict[Path, Path] = {}
    for picture, several in files.items():
        sole = [file for file in several if len(pictures[file]) == 1]
        if len(sole) > 1 and not _same(sole):
            rows.report(picture, f"it has two annotation files, {_both(sole, rows)}; remove one")
        elif sole:
            matched[picture] = sole[0]
    return matched


def report_unmatched(
    rows: Rows, pictures: Iterable[Path], files: Iterable[Path], pairs: Iterable[tuple[Path, Path]]
) -> None:
    """Note annotation files that belong to no picture, and count pictures that have none."""
    matched = {path for pair in pairs for path in pair}
    for file in files:
        if file not in matched:
            meaning = "their cells are left out: no picture has the same name"
            rows.leave_out(ORPHANS, file, "no picture has the same name", meaning)
    for picture in pictures:
        if picture not in matched:
            first = picture.relative_to(rows.folder).as_posix()
            rows.note(UNANNOTATED, "each gives one row without label", first, harmless=True)


def by_stem(pictures: Iterable[Path], files: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Return (picture, file) of the same stem.

    Of several pictures, those in the file's own folder come first; then, where all of them lie in folders of
    one name, those in a folder next to the file's (`train/JPEGImages/1.jpg` for `train/Annotations/1.xml`).
    Where pictures lie in a folder of the name of the file's (`images/val/` for `labels/val/1.xml`), those of
    other folders are others of the same name.
    """
    of_stem: dict[str, list[Path]] = {}
    for picture in pictures:
        of_stem.setdefault(picture.stem, []).append(picture)
    folders = {picture.parent.name for several in of_stem.values() for picture in several}
    pairs: list[tuple[Path, Path]] = []
    for file in files:
        candidates = of_stem.get(file.stem, [])
        if file.parent.name in folders:
            candidates = [picture for picture in candidates if picture.parent.name == file.parent.name]
        same_folder = [picture for picture in candidates if picture.parent == file.parent]
        near = []
        if len({picture.parent.name for picture in candidates}) == 1:
            near = [picture for picture in candidates if picture.parent.parent == file.parent.parent]
        pairs += [(picture, file) for picture in same_folder or near or candidates]
    return pairs


def _same(files: list[Path]) -> bool:
    return len({file.read_bytes() for file in files}) == 1


def _both(several: list[Path], rows: Rows) -> str:
    return " and ".join(path.relative_to(rows.folder).as_posix() for path in several[:2])
