"""The verbs of a flow: collect, check, deliver, write back, account. Written against the ports of core alone."""

from finbridge.flows.accounting import account
from finbridge.flows.checking import check
from finbridge.flows.collecting import collect
from finbridge.flows.delivering import deliver
from finbridge.flows.payment_status import require_settled, write_payment_status
from finbridge.flows.reports import (
    AccountReport,
    CheckReport,
    CollectReport,
    DeliverReport,
    PaymentStatusReport,
    WriteBackReport,
)
from finbridge.flows.writing_back import write_back

__all__ = [
    "AccountReport",
    "CheckReport",
    "CollectReport",
    "DeliverReport",
    "PaymentStatusReport",
    "WriteBackReport",
    "account",
    "check",
    "collect",
    "deliver",
    "require_settled",
    "write_back",
    "write_payment_status",
]
