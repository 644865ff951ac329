"""URLs among paths: how a `Path` holds one, and which URLs are refused since they hold a secret.

`Path` shortens `s3://bucket/a.png` to `s3:/bucket/a.png`, and a folder may stand before it where a manifest
of this machine names it. So a path of which a part is a scheme with its colon is a URL from there on.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from reddino.foundations.errors import RedDinoError
from reddino.foundations.url_spelling import masked

#: Of the stores that are read; the last two are for reading alone.
SCHEMES = ("s3", "gs", "http", "https")
_START = re.compile(r"(?:^|/)(s3|gs|https?):/+(?=[^/])", re.IGNORECASE)
#: URLs with a user before the host, or a query (a fragment, over http) after the path; a pattern of RE2 too.
SECRET = r"(?i)(^|/)(s3|gs|https?):/+([^/]*@|.*\?)|(^|/)https?:/+.*#"
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


class UrlError(RedDinoError):
    """A URL that is not read: of another scheme, or with a secret in it."""


def url_of(path: str | Path) -> str | None:
    """Return the URL that a path is or ends in; None for the path of a file.

    Raises:
        UrlError: it holds a user name, a password or a query.
    """
    text = str(path)
    if ":/" not in text:
        return None
    text = text.replace("\\", "/")
    starts = list(_START.finditer(text))
    if not starts:
        return None
    scheme, rest = starts[-1][1].lower(), text[starts[-1].end() :]
    _require_no_secret(f"{scheme}://{rest}")
    host, _, key = rest.partition("/")
    key = posixpath.normpath("/" + key).lstrip("/")
    return f"{scheme}://{host}/{key}" if key else f"{scheme}://{host}"


def is_url(path: object) -> bool:
    """Return whether this is the name of something behind a URL.

    Raises:
        UrlError: as `url_of`.
    """
    return isinstance(path, str | Path) and url_of(path) is not None


def _require_no_secret(url: str) -> None:
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise UrlError(
            f"{masked(url)} names a user or a password, which would be written to tables and logs; leave it "
            "out: credentials are taken from the environment"
        )
    if "?" in url or (url.startswith("http") and "#" in url):
        raise UrlError(
            f"{masked(url)} continues with '?' or '#', such as a signature, which would be written to tables "
            "and logs; give the plain URL: credentials are taken from the environment"
        )


def require_local(path: str | Path) -> None:
    """Refuse a URL as a place for results.

    Raises:
        UrlError: it is one.
    """
    if url_of(path) is not None:
        raise UrlError(
            f"{path}: results are written to files and folders of this machine, and of all commands embed "
            "alone writes its table to a URL; give a path, and copy the result"
        )


def require_known_scheme(name: str | Path) -> None:
    """Refuse what begins as URLs do and is of no scheme that is read.

    Raises:
        UrlError: it is `ftp://` or the like, or as `url_of`.
    """
    if url_of(name) is None and _ANY_SCHEME.match(str(name)):
        raise UrlError(
            f"{masked(str(name))}: URLs of s3, gs, http and https are read, not this one; copy it, or mount "
            "the store as a folder"
        )
