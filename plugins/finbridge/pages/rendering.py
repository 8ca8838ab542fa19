"""From data to a page: Jinja templates that escape everything, in the reader's language, with strict headers."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from finbridge.core.runs import airflow_run_id
from finbridge.pages import formats
from finbridge.pages.menu import MENU, PREFIX
from finbridge.pages.texts import COOKIE, LANGUAGES, Language, language_of, text, word
from finbridge.pages.words import detail_in_words

TEMPLATES = Path(__file__).parent / "templates"
#: Nothing from elsewhere, nothing inline, shown in frames of the same Airflow only, kept by no cache.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Vary": "Cookie, Accept-Language",
}
_YEAR_SECONDS = 365 * 24 * 3600


@cache
def environment() -> Environment:
    """The templates. An unknown name is an error, never a gap."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": formats.money,
        "number": formats.number,
        "moment": formats.moment,
        "tone": formats.tone,
        "days_since": formats.days_since,
        "run_id": airflow_run_id,
    }
    return made


def link(request: Request, path: str, /, **query: object) -> str:
    """A path of these pages with what stands before it in this installation; empty query values are left out."""
    given = {name: str(value) for name, value in query.items() if value not in (None, "")}
    return f"{request.scope.get('root_path', '')}{path}" + (f"?{urlencode(given)}" if given else "")


def airflow_link(request: Request, path: str) -> str:
    """A path of the Airflow UI itself, e.g. ``/dags/…/runs/…``."""
    root: str = request.scope.get("root_path", "")
    return root.removesuffix(PREFIX) + path


def page(
    request: Request, template: str, *, status_code: int = 200, headers: Mapping[str, str] | None = None, **context: Any
) -> HTMLResponse:
    """Render a template.

    Every template has: ``t(key, **values)`` (catalogue), ``word(group, code)`` (words.yaml), ``said(detail)`` (what the
    hub keeps in both languages, in the reader's), ``url(path, **query)``, ``airflow_url(path)``, ``lang``,
    ``other_lang_url``, ``menu``, ``active`` (the menu entry: the template's name), and the filters money, number,
    moment, tone, days_since.
    """
    language = language_of(request)
    html = (
        environment()
        .get_template(template)
        .render(
            {
                "t": partial(text, language),
                "word": partial(word, language),
                "url": partial(link, request),
                "airflow_url": partial(airflow_link, request),
                "lang": language,
                "other_lang_url": _in_other_language(request, language),
                "menu": MENU,
                "said": partial(detail_in_words, language=language),
                "active": template.removesuffix(".html"),
                **context,
            }
        )
    )
    response = HTMLResponse(html, status_code=status_code, headers={**HEADERS, **(headers or {})})
    remember_language(request, response, language)
    return response


def _in_other_language(request: Request, language: Language) -> str:
    other = next(one for one in LANGUAGES if one != language)
    query = [(name, value) for name, value in request.query_params.multi_items() if name != "lang"]
    return f"?{urlencode([*query, ('lang', other)])}"


def remember_language(request: Request, response: Response, language: Language) -> None:
    """Keep a language that was asked for."""
    if request.query_params.get("lang") == language:
        path = request.scope.get("root_path", "") or "/"
        response.set_cookie(COOKIE, language, max_age=_YEAR_SECONDS, path=path, httponly=True, samesite="lax")
