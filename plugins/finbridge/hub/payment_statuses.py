"""What finance says about the payment of each document, and whether the OA shows it."""

from __future__ import annotations

from finbridge.hub.connections import Connections


class PaymentStatuses:
    """Each method is one transaction and raises RetryLater where the database is away."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
