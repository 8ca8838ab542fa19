"""What people read (messages, logs, notes) shows no secret."""

from __future__ import annotations

import re
from urllib.parse import quote

_SHORTEST_SECRET = 6  # shorter texts would eat ordinary words
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
