"""What people read (messages, logs, notes) shows no secret."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

_SHORTEST_SECRET = 6  # shorter texts would eat ordinary words
#: Personal values shorter than this are not sought in texts: they would black out words.
_SHORTEST_PERSONAL, _SHORTEST_NAME = 4, 2
_DETAIL_LENGTH = 2000
_QUERY = re.compile(r"\?[^\s\"'<>]*")


class Redactor:
    """Takes registered secrets (also percent-encoded) and all query strings out of texts that people read."""

    def __init__(self, *secrets: str) -> None:
        self._secrets: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Never show these again."""
        for secret in secrets:
            if len(secret) >= _SHORTEST_SECRET:
                self._secrets |= {secret, quote(secret, safe="")}

    def __call__(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return _QUERY.sub("?***", text)


def without_personal(text: str, personal: Iterable[str]) -> str:
    """A text of at most 2,000 characters without the personal values (names, accounts; a line each) of its document."""
    values = {part for value in personal for part in value.split("\n") if len(part) >= _SHORTEST_NAME}
    for value in sorted(values, key=lambda part: (-len(part), part)):
        if len(value) >= _SHORTEST_PERSONAL or not value.isascii():
            text = text.replace(value, "***")
    return text[:_DETAIL_LENGTH]
