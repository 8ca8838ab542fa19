"""The one application that Airflow mounts at ``/finbridge``; a page is a module with a ``router``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import FileResponse

from finbridge.core.errors import RetryLater
from finbridge.hub import PostgresHub
from finbridge.pages import document, find, guard, held, month, preview, quality, run, today
from finbridge.pages.hubs import Hubs, open_default_hub
from finbridge.pages.menu import FIRST_PAGE
from finbridge.pages.rendering import HEADERS, link, page

_LOG = logging.getLogger(__name__)
STATIC = Path(__file__).parent / "static"
_MEDIA = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FILES = {path.name: path for path in STATIC.iterdir() if path.suffix in _MEDIA}

#: One router a page, in the order in which they are tried.
ROUTERS: tuple[APIRouter, ...] = (
    today.router,
    find.router,
    document.router,
    held.router,
    quality.router,
    preview.router,
    month.router,
    run.router,
)
common = APIRouter()


class Unguarded(RuntimeError):
    """A route without the guard: the pages do not start with it."""


def build_app(opener: Callable[[], PostgresHub] = open_default_hub) -> FastAPI:
    """The pages.

    Args:
        opener: opens the hub that they read.

    Raises:
        Unguarded: a route would be open to anybody.
    """
    hubs = Hubs(opener)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        hubs.close()

    app = FastAPI(
        title="finbridge",
        dependencies=[Depends(guard.reader), Depends(readable)],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.hubs = hubs
    for router in (common, *ROUTERS):
        app.include_router(router)
    app.add_exception_handler(StarletteHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(RetryLater, _away)
    app.add_exception_handler(Exception, _failed)
    if open_to_all := guard.unguarded(app):
        raise Unguarded(f"routes without the guard: {open_to_all}")
    return app


def readable(request: Request) -> None:
    """What no text of the hub can hold is no question to it.

    Raises:
        HTTPException: 400, the address has a NUL in it.
    """
    asked = (request.scope["path"], *(text for pair in request.query_params.multi_items() for text in pair))
    if any("\x00" in text for text in asked):
        raise HTTPException(status.HTTP_400_BAD_REQUEST)


@common.get("/")
def home(request: Request) -> Response:
    """The page that people begin with."""
    return RedirectResponse(link(request, FIRST_PAGE), headers=HEADERS)


@common.get("/static/{name}")
def static(name: str) -> Response:
    """Style sheet, script and icons; guarded like the rest, and no other file can be named."""
    if name not in _FILES:
        raise HTTPException(status.HTTP_404_NOT_FOUND)
    path = _FILES[name]
    return FileResponse(path, media_type=_MEDIA[path.suffix], headers=HEADERS)


# ---------------------------------------------------------------------- when it does not work


def _refused(request: Request, error: Exception) -> Response:
    code = error.status_code if isinstance(error, StarletteHTTPException) else status.HTTP_500_INTERNAL_SERVER_ERROR
    return _told(request, code)


def _not_understood(request: Request, _error: Exception) -> Response:
    return _told(request, status.HTTP_400_BAD_REQUEST)


def _away(request: Request, error: Exception) -> Response:
    after = error.after_seconds if isinstance(error, RetryLater) else 5.0
    _LOG.warning("the hub could not be asked: %s", error)
    return _told(request, status.HTTP_503_SERVICE_UNAVAILABLE, {"Retry-After": f"{max(1, round(after))}"})


def _failed(request: Request, error: Exception) -> Response:
    _LOG.error("a page failed: %s", request.url.path, exc_info=error)
    return _told(request, status.HTTP_500_INTERNAL_SERVER_ERROR)


_TOLD = (400, 401, 403, 404, 503)
_FAILURES = 500


def _told(request: Request, code: int, headers: dict[str, str] | None = None) -> Response:
    """A page that says what is wrong in words, and nothing of the inside."""
    kind = str(code) if code in _TOLD else "400" if code < _FAILURES else "other"
    return page(request, "error.html", status_code=code, headers=headers, kind=kind, code=code)
