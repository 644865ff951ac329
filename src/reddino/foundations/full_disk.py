"""A full disk in one sentence: the libraries that write files report it in errors of many kinds."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reddino.foundations.errors import RedDinoError

_FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
#: "(os error 28)" of safetensors, "[errno 28]" of Arrow, "errno = 28" of HDF5.
_NUMBERED = re.compile(r"(?:os error|errno)\s*=?\s*(\d+)", re.IGNORECASE)
_NAMED = re.compile("|".join(re.escape(os.strerror(number)) for number in sorted(_FULL)), re.IGNORECASE)
#: torch and numpy report neither number nor name.
_WITHOUT = re.compile(r"inline_container|PytorchStreamWriter|file write failed|\d+ requested and \d+ written")


def no_space(error: BaseException) -> str | None:
    """Return why nothing more could be written, if it was for want of space; else None.

    Looks at the error and at those that it was raised from.
    """
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        seen.append(now)
        if (reason := _of_one(now)) is not None:
            return reason
        now = now.__cause__ or now.__context__
    return None


def _of_one(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno) if error.errno in _FULL else None
    if isinstance(error, RedDinoError) or not isinstance(error, Exception):
        return None
    text = str(error)
    for number in _NUMBERED.findall(text):
        if int(number) in _FULL:
            return os.strerror(int(number))
    if (named := _NAMED.search(text)) is not None:
        return named[0]
    return os.strerror(errno.ENOSPC) if _WITHOUT.search(text) else None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the errors of a full disk, of whatever library, into a sentence about `path`.

    Raises:
        RedDinoError: there is no space left.
    """
    try:
        yield
    except RedDinoError:
        raise
    except Exception as error:
        reason = no_space(error)
        if reason is None:
            if isinstance(error, OSError) and error.strerror and _is_in_draft(error.filename):
                raise RedDinoError(f"{_outside_drafts(path)} cannot be written ({error.strerror})") from error
            raise
        raise RedDinoError(
            f"{_outside_drafts(path)} could not be written ({reason}); free some "
            "space and run the same command again"
        ) from error


def _outside_drafts(path: Path) -> Path:
    """Return the path itself, or the folder of the draft in which it is.

    The name of a draft means nothing to users.
    """
    drafts = [one for one in (path, *path.parents) if _is_draft(one)]
    return drafts[-1].parent if drafts else path


def _is_in_draft(file: Any) -> bool:
    return isinstance(file, str | Path) and any(map(_is_draft, (Path(file), *Path(file).parents)))


def _is_draft(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".partial")
