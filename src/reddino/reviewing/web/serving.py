"""Listening: on which address, with which token, and until when."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import uvicorn

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.web.guard import Door, is_loopback, names_of
from reddino.reviewing.web.routes import review_app
from reddino.reviewing.web.session import ReviewSession

#: Seconds that open connections get when the server stops.
_PATIENCE = 3


@dataclass(frozen=True)
class Listening:
    """A socket that listens, and who may come in.

    Attributes:
        socket: bound to the address.
        host: as it was given.
        door: who may come in.
    """

    socket: socket.socket
    host: str
    door: Door

    @property
    def address(self) -> str:
        """What to open in a browser, with the token where there is one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.host in ("0.0.0.0", "::"):
            host = socket.gethostname()
        token = "" if self.door.token is None else f"?token={self.door.token}"
        return f"http://{host}:{self.door.port}/{token}"


def listen(host: str, port: int, *, names: Iterable[str] = (), with_token: bool = False) -> Listening:
    """Take an address.

    Args:
        host: to listen on; other than loopback, a token is required of every browser.
        port: 0 takes a free one.
        names: by which browsers may call this server, besides its own.
        with_token: require a token on loopback too.

    Raises:
        RedDinoError: the address is taken, or is none.
    """
    if not 0 <= port <= 65535:
        raise RedDinoError(f"port {port} is none: take one from 0 to 65535, where 0 is any free one")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # asyncio sends at once, instead of 40 ms later, on sockets whose protocol is named.
        taken = socket.socket(family, kind, protocol)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(where)
        taken.listen(128)
    except OSError as error:
        raise RedDinoError(
            f"the page cannot be served at {host}, port {port}: {error.strerror or error}; "
            "choose another with --port, or --port 0 for any free one"
        ) from error
    number = int(taken.getsockname()[1])
    own = {socket.gethostname(), host} if not is_loopback(host) else set()
    token = secrets.token_urlsafe(24) if with_token or not is_loopback(host) else None
    door = Door(number, secrets.token_urlsafe(24), token, names_of({*names, *own}))
    return Listening(taken, host, door)


def serve(session: ReviewSession, listening: Listening, ready: Callable[[], None] = lambda: None) -> None:
    """Answer requests until the process receives a signal to stop.

    Args:
        session: the review.
        listening: where.
        ready: called when requests are answered.
    """
    config = uvicorn.Config(
        review_app(session, listening.door),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=_PATIENCE,
    )
    server = _Server(config, ready)
    try:
        server.run(sockets=[listening.socket])
    finally:
        listening.socket.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()
