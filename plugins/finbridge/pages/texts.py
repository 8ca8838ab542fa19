"""Texts of the pages: catalogues in Chinese and English, one file a page and language, and the choice of language."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Literal

from starlette.requests import Request

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
COOKIE = "finbridge_lang"
CATALOGUES = Path(__file__).parent / "catalogue"


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """All texts of a language: ``<file>.<key>[.<key>…]`` to text. ``{name}`` in a text is filled in."""
    from ruamel.yaml import YAML

    reader = YAML(typ="safe", pure=True)
    found: dict[str, str] = {}
    for path in sorted((CATALOGUES / language).glob("*.yaml")):
        for key, text in _flat(path.stem, reader.load(path.read_text(encoding="utf-8")) or {}):
            found[key] = text
    return found


def _flat(prefix: str, node: object) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for name, child in node.items():
            yield from _flat(f"{prefix}.{name}", child)
    elif isinstance(node, str):
        yield prefix, node
    else:
        raise ValueError(f"{prefix}: not a text: {node!r}")


def text(language: Language, key: str, **values: object) -> str:
    """A text with its values filled in.

    Raises:
        KeyError: the catalogue has no such key.
    """
    found = catalogue(language)[key]
    return found.format(**values) if values else found


def word(language: Language, group: str, code: object) -> str:
    """The word of a code (a state, a turn, a kind) in ``words.yaml``; a code that has none stands for itself."""
    return catalogue(language).get(f"words.{group}.{code}", str(code))


def language_of(request: Request) -> Language:
    """``?lang=``, else the cookie, else what the browser asks for, else Chinese."""
    for wish in (request.query_params.get("lang"), request.cookies.get(COOKIE)):
        if wish == "zh":
            return "zh"
        if wish == "en":
            return "en"
    for part in request.headers.get("accept-language", "").lower().split(","):
        wanted = part.split(";")[0].strip()
        if wanted.startswith("zh"):
            return "zh"
        if wanted.startswith("en"):
            return "en"
    return "zh"
