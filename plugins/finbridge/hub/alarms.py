"""One open and one close for each cause and company."""

from __future__ import annotations

from finbridge.hub.connections import Connections


class Alarms:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
