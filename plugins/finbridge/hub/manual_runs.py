"""Manual runs with their previews on PostgreSQL."""

from __future__ import annotations

from finbridge.hub.connections import Connections


class ManualRuns:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
