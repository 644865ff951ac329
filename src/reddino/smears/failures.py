"""Files that cannot be used: the error that names one, and the list that a run leaves behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.foundations.exports import write_csv
from reddino.foundations.stores.anywhere import remove_file
from reddino.foundations.url_spelling import spelled


class ImageError(RedDinoError):
    """An image file that cannot be used.

    Attributes:
        path: the file.
        reason: one line, for the user.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        # Both go to Exception.args, so that the error survives pickling on its way out of a worker process.
        super().__init__(str(path), " ".join(reason.split()))

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.args[0])

    @property
    def reason(self) -> str:
        """The reason, in one line."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


#: How the reasons of files begin that were once whole.
_DAMAGED = ("truncated", "damaged")
#: The list's name in the folder of a result.
FAILURES_FILE = "failures.csv"


class Failures:
    """The files that could not be used, with reasons; a run continues without them and lists them.

    An entry is an image that cannot be decoded, or an annotation that makes no sense, with the file it stands
    in. Iterating gives (path, reason) in the order they were added.
    """

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], None] = {}

    def add(self, path: str | Path, reason: str) -> None:
        """Note a file and what is wrong with it; the same entry counts once."""
        self._entries[spelled(str(path)), " ".join(reason.split())] = None

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries)

    @property
    def count(self) -> int:
        """Number of entries."""
        return len(self._entries)

    def write(self, path: str | Path) -> None:
        """Write `path,reason` as CSV, whole or not at all; without entries, only the column names."""
        write_csv(Path(path), ("path", "reason"), sorted(self._entries))

    def leave_at(self, path: Path) -> None:
        """Write them to `path`, or delete an earlier run's list there where nothing had to be left out."""
        remove_file(path)
        if self._entries:
            self.write(path)

    def summary(self) -> str:
        """Return one line: how many entries were left out, and the first of them with its reason."""
        if not self._entries:
            return "nothing had to be left out"
        path, reason = next(iter(self._entries))
        damaged = any(reason.startswith(_DAMAGED) for _, reason in self._entries)
        advice = "; copy what is damaged again from where it came" if damaged else ""
        if self.count == 1:
            return f"1 entry was left out: {path} ({reason}){advice}"
        return f"{self.count:,} entries were left out, the first: {path} ({reason}){advice}"
