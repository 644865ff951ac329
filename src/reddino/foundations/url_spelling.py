"""URLs in texts: with both of their slashes, and without what is secret in them."""

from __future__ import annotations

import re

#: A user (with a password) before the host, and what follows the path: signatures and tokens.
_USER, _QUERY = re.compile(r"(\w:/+)[^/\s'\"]*@"), re.compile(r"(\w:/+[^\s'\"?#]*)[?#][^\s'\"]*")
_SHORTENED = re.compile(r"\b(s3|gs|https?):/(?=[^/\s])")


def masked(text: str) -> str:
    """Return a text without the users, passwords and queries of its URLs."""
    return _QUERY.sub(r"\1", _USER.sub(r"\1", text)) if ":/" in text else text


def spelled(text: str) -> str:
    """Return a text in which URLs have both of their slashes, as `Path` has not."""
    return _SHORTENED.sub(r"\1://", text) if ":/" in text else text
