"""The ledger's task of a flow."""

from __future__ import annotations

from finbridge.systems.operators import DeliverOperator


class TrytonDeliverOperator(DeliverOperator):
    """Delivers the flow's vouchers to Tryton."""


DELIVER = TrytonDeliverOperator
