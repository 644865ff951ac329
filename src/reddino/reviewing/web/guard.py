"""What the server refuses before a request reaches a route, and the headers that each answer carries."""

from __future__ import annotations

import hmac
import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Bytes of a request: the longest is a note, or the rows of a large selection.
MOST_BYTES = 256 * 1024
#: Header in which the page sends back the secret that it read from the server.
CSRF_HEADER = "x-reddino-csrf"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_READING = frozenset({"GET", "HEAD"})
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def is_loopback(host: str) -> bool:
    """Return whether a host to listen on is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Door:
    """Who may come in.

    Attributes:
        port: that the server listens on.
        csrf: secret that each request that changes something has to carry.
        token: that each request has to carry; None on loopback, where none is required.
        names: of this server besides loopback's, in lower case; addresses in digits are always taken where
            there is a token, since no DNS record can point them elsewhere.
    """

    port: int
    csrf: str
    token: str | None = None
    names: frozenset[str] = frozenset()

    @property
    def cookie(self) -> str:
        """Name of the cookie with the token; cookies are of a host, whatever its port."""
        return f"reddino-review-{self.port}"

    def takes_host(self, host: str) -> bool:
        """Return whether a Host header names this server: a site that points its own name here does not."""
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[^:/@\s]+)(?::(\d{1,5}))?", host.lower())
        if found is None or int(found[2] or 80) != self.port:
            return False
        name = found[1]
        return name in LOOPBACK_NAMES | self.names or (self.token is not None and _is_address(name))

    def takes_origin(self, origin: str, host: str) -> bool:
        """Return whether an Origin header is the page of this server."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Guard:
    """Refuses foreign hosts, missing tokens, forged requests and oversize bodies; sets headers.

    Args:
        app: that receives accepted requests.
        door: who may come in.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app, self.door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_guarded)
            return
        await self._with_bounded_body(scope, receive, send_guarded)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that goes no further; None for one that does."""
        headers, door = Headers(scope=scope), self.door
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not door.takes_host(hosts[0]):
            return refused(421, "this is no name of the review's server; open the address that it printed")
        if door.token is not None and not _same(_cookie(headers, door.cookie), door.token):
            return self._let_in(scope, headers)
        if scope["method"] not in _READING:
            return self._forged(headers, hosts[0])
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and scope["path"] != "/":
            return refused(403, "another site may not read the review")
        return None

    def _let_in(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to a request without the cookie: one whose address has the token gets it."""
        token, door = self.door.token or "", self.door
        bearer = headers.get("authorization", "").removeprefix("Bearer ")
        if _same(bearer, token):
            return None if scope["method"] in _READING else self._forged(headers, headers["host"])
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])
        if scope["path"] == "/" and scope["method"] == "GET" and _same(given[0], token):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(door.cookie, token, httponly=True, samesite="strict", path="/")
            return answer
        return refused(401, "the review needs its token; open the whole address that the server printed")

    def _forged(self, headers: Headers, host: str) -> Response | None:
        """Return the refusal of a request that changes something and does not come from the page."""
        origin = headers.get("origin")
        if origin is not None and not self.door.takes_origin(origin, host):
            return refused(403, "the request comes from another site")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return refused(403, "the request comes from another site")
        if not _same(headers.get(CSRF_HEADER, ""), self.door.csrf):
            return refused(403, "the page is of an earlier start of the server; load it again")
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            return refused(415, "the server takes JSON")
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or int(length) > MOST_BYTES):
            return too_large()
        return None

    async def _with_bounded_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on; reading a body that grows too long, whatever length it announced, fails."""
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > MOST_BYTES:
                raise BodyTooLargeError
            return message

        await self.app(scope, counting, send)


class BodyTooLargeError(Exception):
    """A request's body is longer than any that the page sends."""


def refused(status: int, why: str) -> Response:
    """Return an answer with the reason why a request was refused."""
    return JSONResponse({"error": why}, status)


def too_large() -> Response:
    """Return the answer to a body that is longer than any that the page sends."""
    return refused(413, f"the request is longer than {MOST_BYTES // 1024} KB; select fewer cells")


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())


def _cookie(headers: Headers, name: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    for line in headers.getlist("cookie"):
        try:
            jar.load(line)
        except CookieError:
            continue
    return jar[name].value if name in jar else ""


def names_of(hosts: Iterable[str]) -> frozenset[str]:
    """Return names that a Host header may have, tidied."""
    return frozenset(host.strip().lower() for host in hosts if host.strip())
