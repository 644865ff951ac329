"""The server's addresses: files of the page, pictures, and what the page requests and records, as JSON."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from reddino.foundations.errors import RedDinoError
from reddino.reviewing.web.guard import BodyTooLargeError, Door, Guard, refused, too_large
from reddino.reviewing.web.page_requests import (
    ActBody,
    CellsBody,
    ClassBody,
    ReaderBody,
    RowsBody,
    TokenBody,
    TuneBody,
    parsed,
    require_rows,
)
from reddino.reviewing.web.pictures import LARGEST_CELL
from reddino.reviewing.web.session import ReviewSession

#: Files of the page, by name: nothing else of the package is served.
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: Times the side of a view that a picture may show.
_AROUND = (1.0, 6.0)
#: A picture of a row is the same as long as the server runs, and its address has the start's secret.
_PICTURE_HEADERS = {"Cache-Control": "private, max-age=86400, immutable"}


def review_app(session: ReviewSession, door: Door) -> Guard:
    """Return the application that answers for a review."""
    routes = _Routes(session, door)
    return Guard(routes.app(), door)


class _Routes:
    def __init__(self, session: ReviewSession, door: Door) -> None:
        self._session, self._door = session, door
        self._files = _page_files()

    def app(self) -> Starlette:
        """Return the routes, behind no guard."""
        routes = [
            Route("/", self._page),
            Route("/static/{name}", self._static),
            Route("/picture/{row:int}", self._picture),
            Route("/field/{row:int}", self._field_picture),
            Route("/api/start", self._start),
            Route("/api/overview", self._overview),
            Route("/api/slides", self._slides),
            Route("/api/field/{row:int}", self._field),
            Route("/api/comparison", self._comparison),
            *(
                Route(f"/api/{name}", self._posted(kind, answer), methods=["POST"])
                for name, kind, answer in self._bodies()
            ),
        ]
        return Starlette(
            routes=routes, exception_handlers={RedDinoError: _in_one_sentence, BodyTooLargeError: _too_long}
        )

    def _bodies(self) -> list[tuple[str, type[Any], Callable[[Any], Any]]]:
        """Return what the page posts: name, body, and what answers it."""
        session = self._session
        return [
            ("cells", CellsBody, session.cells),
            (
                "described",
                RowsBody,
                lambda body: session.described(body.rows, body.reader, second=body.second),
            ),
            ("act", ActBody, session.act),
            ("undo", TokenBody, lambda body: session.undo(body.reader, body.token)),
            ("redo", TokenBody, lambda body: session.redo(body.reader, body.token)),
            ("class", ClassBody, session.change_class),
            ("tune", TuneBody, session.tune),
            ("refit", ReaderBody, lambda body: session.refit(body.reader)),
            ("reader", ReaderBody, lambda body: {"reader": session.name_reader(body.reader)}),
        ]

    def _posted(self, kind: type[Any], answer: Callable[[Any], Any]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            body = parsed(kind, await request.body())
            return JSONResponse(await run_in_threadpool(answer, body))

        return handle

    async def _page(self, _request: Request) -> Response:
        return self._file("index.html")

    async def _static(self, request: Request) -> Response:
        return self._file(request.path_params["name"])

    def _file(self, name: str) -> Response:
        found = self._files.get(name)
        if found is None:
            return refused(404, "the page has no such file")
        content, kind = found
        return Response(content, media_type=f"{kind}; charset=utf-8", headers={"Cache-Control": "no-cache"})

    async def _start(self, _request: Request) -> Response:
        session = self._session
        reader = session.options.reader
        return JSONResponse({"csrf": self._door.csrf, "reader": reader, **session.fixed()})

    def _overview(self, request: Request) -> Response:
        return JSONResponse(self._session.overview(_reader(request)))

    def _slides(self, request: Request) -> Response:
        return JSONResponse(self._session.by_slide(_reader(request)))

    def _comparison(self, request: Request) -> Response:
        return JSONResponse(self._session.comparison(_reader(request)))

    def _field(self, request: Request) -> Response:
        return JSONResponse(self._session.field(request.path_params["row"], _reader(request)))

    def _picture(self, request: Request) -> Response:
        row = request.path_params["row"]
        require_rows([row], len(self._session))
        size = int(_number(request, "size", 160, 16, LARGEST_CELL))
        around = _number(request, "around", 1.0, *_AROUND)
        jpeg = self._session.pictures.cell(row, size, around)
        return Response(jpeg, media_type="image/jpeg", headers=_PICTURE_HEADERS)

    def _field_picture(self, request: Request) -> Response:
        row = request.path_params["row"]
        require_rows([row], len(self._session))
        jpeg = self._session.pictures.field(row).jpeg
        return Response(jpeg, media_type="image/jpeg", headers=_PICTURE_HEADERS)


def _reader(request: Request) -> str:
    return request.query_params.get("reader", "")


def _number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """Return a number of an address, within its bounds.

    Raises:
        RedDinoError: it is no number.
    """
    text = request.query_params.get(name)
    try:
        value = default if text is None else float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise RedDinoError(f"the address: {name}: {text!r} is no number from {low:g} to {high:g}")
    return value


async def _in_one_sentence(_request: Request, error: Exception) -> Response:
    return refused(400, str(error))


async def _too_long(_request: Request, _error: Exception) -> Response:
    return too_large()


def _page_files() -> dict[str, tuple[bytes, str]]:
    """Return the files of the page by name: content and kind."""
    folder = resources.files("reddino.reviewing.web") / "static"
    return {
        file.name: (file.read_bytes(), _KINDS[suffix])
        for file in folder.iterdir()
        if (suffix := "." + file.name.rpartition(".")[2]) in _KINDS
    }
