"""Requests to a store: repeated while it does not answer, and their errors in the words of a file system."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from reddino.foundations.errors import RedDinoError
from reddino.foundations.url_spelling import masked

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)

#: Seconds for which a store that does not answer is waited for, if the environment names no others.
PATIENCE, PATIENCE_NAME = 300.0, "REDDINO_STORE_PATIENCE"
#: How often an object is requested that comes cut short, and the longest wait between two requests.
CUT_TRIES, LONGEST_WAIT = 4, 15.0
_NO_CREDENTIALS = {
    *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"),
    *("RequestTimeTooSkewed", "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"),
    *("TokenRetrievalError", "InvalidClientTokenId", "UnauthorizedSSOTokenError", "DefaultCredentialsError"),
}
_BUSY = {
    *(
        "SlowDown",
        "InternalError",
        "ServiceUnavailable",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "ConditionalRequestConflict",  # two writers of one object met; one of them wins
    ),
    *("HTTPClientError", "ConnectionError", "TimeoutError", "ClientConnectionError", "ResponseParserError"),
}
_CUT = {"ClientPayloadError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError"}
_THERE = {"PreconditionFailed", "412"}
_MISSING = {"NoSuchKey", "NoSuchBucket", "NotFound", "404", "410"}
_DENIED = {"AccessDenied", "Forbidden", "401", "403", "AllAccessDisabled", "InvalidObjectState"}


class StoreError(RedDinoError):
    """A store that does not answer or takes no credentials: not a fault of one object."""


class RefusedError(StoreError):
    """What a store does not let these credentials do, or cannot do."""


class CutShortError(OSError):
    """An object of which fewer bytes came than it has."""


@lru_cache(maxsize=8)
def file_system(scheme: str) -> Any:
    """Return the file system of fsspec for a scheme, without its own repeats and memory of what there is.

    Raises:
        StoreError: its package is not installed.
    """
    options: dict[str, Any] = {"skip_instance_cache": True, "use_listings_cache": False}
    if scheme == "s3":
        once = {"max_attempts": 1, "mode": "standard"}
        timeouts = {"connect_timeout": 10, "read_timeout": 60}
        options["max_concurrency"] = 1  # an object that is replaced meanwhile is not read half and half
        options["config_kwargs"] = {"retries": once, "max_pool_connections": 32, **timeouts}
    try:
        import fsspec

        found = fsspec.filesystem(scheme, **options)
    except ImportError as error:
        package = "gcsfs" if scheme == "gs" else "'reddino[stores]'"
        raise StoreError(f"{scheme}:// needs another package: pip install {package}") from error
    if scheme == "s3":
        found.retries = 1
    return found


def send(url: str, request: Callable[[Any, str], Answer]) -> Answer:
    """Return what a request answers, given the file system and the URL as that names it.

    Raises:
        FileNotFoundError: there is no such object.
        PermissionError: the store does not let it be read, or written.
        FileExistsError: it is there, and was to be new.
        CutShortError: it came cut short, again and again.
        StoreError: the store did not answer for a while, or refuses the credentials.
    """
    system = file_system(url.partition("://")[0])
    name = system._strip_protocol(url)
    wait, started, cuts = 0.1, time.monotonic(), 0
    while True:
        try:
            return request(system, name)
        except Exception as error:  # networks and object stores raise errors of their own libraries
            names = _names(error)
            _refuse(url, error, names)
            cuts += bool(names & _CUT)
            if cuts >= CUT_TRIES:
                raise CutShortError(
                    errno.EIO, "it comes cut short, each time it is requested", url
                ) from error
            if time.monotonic() - started > patience():
                raise StoreError(
                    f"{_host(url)} does not answer ({_words(error)}); see whether it can be reached from "
                    "here, and run the same command again, which continues"
                ) from error
            _mention(url, error, wait)
        _sleep(url, wait)
        wait = min(2 * wait, LONGEST_WAIT)


@contextmanager
def in_a_sentence(url: str, done: str) -> Iterator[None]:
    """Turn the refusal of a request into a sentence; what is missing, or there already, is the caller's.

    Args:
        url: of the object or folder.
        done: what could not be done with it: `read`, `listed`, `written`.

    Raises:
        RefusedError: an `OSError` came that is neither of these.
    """
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        raise RefusedError(
            f"{url} cannot be {done}: {error.strerror or error}; see what these credentials may do"
        ) from error


def patience() -> float:
    """Return for how many seconds a store that does not answer is waited for."""
    try:
        return max(0.0, float(os.environ.get(PATIENCE_NAME, PATIENCE)))
    except ValueError:
        raise RedDinoError(f"{PATIENCE_NAME} is not a number of seconds; give one, such as 600") from None


def _refuse(url: str, error: Exception, names: set[str]) -> None:
    """Raise what waiting does not help against; return for an error that may pass."""
    if names & _NO_CREDENTIALS:
        raise StoreError(
            f"{_host(url)} does not take the credentials of this environment ({_words(error)}); set those of "
            "the store (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, AWS_ENDPOINT_URL)"
        ) from error
    if names & (_BUSY | _CUT) or any(name.startswith("5") or name in ("429", "408") for name in names):
        return
    if names & _DENIED or isinstance(error, PermissionError):
        raise PermissionError(errno.EACCES, "the store gives no permission", url) from error
    if names & _MISSING or isinstance(error, FileNotFoundError):
        raise FileNotFoundError(errno.ENOENT, "there is no such object", url) from error
    # s3fs makes a FileExistsError of Amazon's wording alone; Ceph has another.
    if names & _THERE or isinstance(error, FileExistsError):
        raise FileExistsError(errno.EEXIST, "there is such an object already", url) from error
    raise StoreError(
        f"{url}: the store refuses the request ({_words(error)}); see whether bucket, region and "
        "endpoint are right"
    ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    now: BaseException | None = error
    while now is not None and now not in seen:
        yield now
        seen.append(now)
        now = now.__cause__ or now.__context__


def _names(error: BaseException) -> set[str]:
    """Return the names of an error's classes, and the codes of the store's answers."""
    found: set[str] = set()
    for one in _chain(error):
        found |= {kind.__name__ for kind in type(one).__mro__}
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            found.add(str(response.get("Error", {}).get("Code", "")))
            found.add(str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", "")))
        found.add(str(getattr(one, "status", "")))
    return found - {""}


def _words(error: BaseException) -> str:
    text = " ".join(masked(str(error)).split()).rstrip(".")[:160]
    return text or type(error).__name__


def _host(url: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


_given_up = threading.Event()
_mentioned: dict[str, float] = {}


def _mention(url: str, error: BaseException, wait: float) -> None:
    """Log that a store is waited for, once a minute, and not for the first hiccups."""
    host, now = _host(url), time.monotonic()
    if wait > 0.5 and now - _mentioned.get(host, -60.0) >= 60.0:
        _mentioned[host] = now
        log.warning("%s does not answer (%s); waiting up to %.0f seconds", host, _words(error), patience())


def _sleep(url: str, seconds: float) -> None:
    if _given_up.wait(seconds):
        raise StoreError(f"{_host(url)} does not answer, and the work was stopped")


@contextmanager
def stoppable_waits() -> Iterator[Callable[[], None]]:
    """Give a function after whose call no thread waits for a store any more, up to the end of the block."""
    try:
        yield _given_up.set
    finally:
        _given_up.clear()
