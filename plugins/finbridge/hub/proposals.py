"""Proposals for code tables: one person makes, another checks."""

from __future__ import annotations

from finbridge.hub.connections import Connections


class CodeProposals:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
