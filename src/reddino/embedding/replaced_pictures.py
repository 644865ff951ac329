"""Check whether the pictures of a table are still those that were embedded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from reddino.embedding.embeddings import Embeddings
from reddino.embedding.part_files import PartRecord, finished_parts, read_parts
from reddino.foundations.errors import RedDinoError
from reddino.smears.contents import Content, FileState, file_states, is_unchanged
from reddino.smears.picture_files import is_there


def require_same_pictures(
    folder: Path, records: Iterable[PartRecord], root: Path, names: Sequence[str]
) -> None:
    """Refuse to continue a table, or to take it as it is, where a picture was replaced since.

    Size and dates are compared, and the bytes where these differ, as in copies.

    Args:
        folder: of the table.
        records: of its finished parts.
        root: folder that the names are relative to.
        names: of the images, by number.

    Raises:
        RedDinoError: names the first such picture.
    """
    replaced = next(_replaced(records, root, names), None)
    if replaced is not None:
        raise RedDinoError(
            f"'{folder}' holds vectors of another picture than '{replaced}' is now: it was replaced since it "
            "was embedded; delete that folder, or choose another"
        )


def replaced_pictures(folder: Path, table: Embeddings, root: Path) -> list[str]:
    """Return the pictures of a table that were replaced since; empty where some pictures have no row.

    Args:
        folder: of the table.
        table: its rows, in the order of the pictures.
        root: folder that its paths are relative to.
    """
    names = list(dict.fromkeys(table.strings("path")))
    if len(names) != table.meta["images"]:
        return []
    records = (record for _, record in read_parts(list(finished_parts(folder).values())))
    # A picture that is not there is another matter.
    return [name for name in _replaced(records, root, names) if is_there(root / name)]


def _replaced(records: Iterable[PartRecord], root: Path, names: Sequence[str]) -> Iterator[str]:
    for record in records:
        now = file_states(root / names[number] for number in record.contents)
        for number, (size, modified, changed, digest) in record.contents.items():
            path, before = root / names[number], Content(FileState(size, modified, changed), digest)
            dated = bool(modified or changed)  # some web servers give neither date nor ETag
            if not (dated and now.get(path) == before.state) and not is_unchanged(path, before):
                yield names[number]
