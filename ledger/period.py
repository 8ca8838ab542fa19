"""Close or open an accounting period of a company over Tryton's API, as its administrator does it. Stdlib only::

    python ledger/period.py --url http://127.0.0.1:8000 --database fin close 1000 2026-10

The administrator's password comes from FINBRIDGE_LEDGER_ADMIN_PASSWORD.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # run as a script from anywhere
from ledger.tryton_rpc import TrytonRpc

STATES = {"close": "closed", "reopen": "open"}


def change(rpc: TrytonRpc, verb: str, company: str, period: str) -> None:
    """Close or reopen; a no-op where the period is in that state.

    Tryton closes the period's journals with it, but does not reopen them.

    Raises:
        ValueError: there is no such period.
    """
    found = rpc.search("company.company", ("code", "=", company))
    company_id = found[0] if found else -1
    domain = [("company", "=", company_id), ("name", "=", period)]
    rows = rpc.read("account.period", domain, ["state"], company=company_id) if found else []
    if not rows:
        raise ValueError(f"company {company} has no period {period}")
    if rows[0]["state"] != STATES[verb]:
        rpc.model(f"account.period.{verb}", [rows[0]["id"]], company=company_id)
    of_period = [("period", "=", rows[0]["id"]), ("state", "!=", STATES[verb])]
    journals = rpc.search("account.journal.period", *of_period, company=company_id)
    if journals:
        rpc.model(f"account.journal.period.{verb}", journals, company=company_id)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Close or reopen an accounting period.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("verb", choices=STATES)
    parser.add_argument("company")
    parser.add_argument("period", help="YYYY-MM")
    arguments = parser.parse_args()
    rpc = TrytonRpc(arguments.url, arguments.database, "admin", os.environ["FINBRIDGE_LEDGER_ADMIN_PASSWORD"])
    change(rpc, arguments.verb, arguments.company, arguments.period)


if __name__ == "__main__":
    main()
