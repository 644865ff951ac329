"""Whether the pictures of a table are still those that were embedded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from reddino.embed.table import PartRecord
from reddino.errors import RedDinoError
from reddino.smears.contents import Content, FileState, is_unchanged


def require_same_pictures(
    folder: Path, records: Iterable[PartRecord], root: Path, names: Sequence[str]
) -> None:
    """Refuse to go on with a table, or to take it as it is, where a picture was replaced since.

    Size and dates are compared, and the bytes where these differ, as in copies.

    Args:
        folder: of the table.
        records: of its finished parts.
        root: folder that the names are relative to.
        names: of the images, by number.

    Raises:
        RedDinoError: names the first such picture.
    """
    for record in records:
        for number, (size, modified, changed, digest) in record.contents.items():
            if not is_unchanged(root / names[number], Content(FileState(size, modified, changed), digest)):
                raise RedDinoError(
                    f"'{folder}' holds vectors of another picture than '{names[number]}' is now: it was "
                    "replaced since it was embedded; delete that folder, or choose another"
                )
