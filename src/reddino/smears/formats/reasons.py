"""Whatever a decoder throws, as one sentence about the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reddino.foundations.stores.requests import StoreError
from reddino.smears.failures import ImageError


@contextmanager
def reasons(path: Path) -> Iterator[None]:
    """Turn whatever a decoder throws into an `ImageError`."""
    try:
        yield
    except (ImageError, StoreError):
        raise
    except PermissionError as error:
        raise ImageError(path, "no permission to read it") from error
    except FileNotFoundError as error:
        raise ImageError(path, "the file does not exist") from error
    except MemoryError as error:
        raise ImageError(path, "not enough memory to decode it") from error
    except Exception as error:  # on damaged files decoders raise anything, from struct.error to cv2.error
        words = " ".join(str(error).split())[:160] or type(error).__name__
        reason = f"truncated ({words})" if "truncated" in words else f"cannot be decoded ({words})"
        raise ImageError(path, reason) from error
