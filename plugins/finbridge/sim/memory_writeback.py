"""The way back to the form: the hub in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from finbridge.core.crashpoints import crash_point
from finbridge.core.lifecycle import Signal, VoucherState
from finbridge.core.ports import Lease, WriteBackItem, WriteBackRecord, WriteBackResult
from finbridge.sim.memory_rows import POSTED, DocumentRow, Store, VoucherRow, close_holds, write_back_at, writes_back

NOT_POSSIBLE = "write_back_not_possible"


def write_backs(store: Store, leases: Sequence[Lease]) -> list[WriteBackItem]:
    """A posted expense's number; else why finance refused it."""
    leased = store.leased(leases)
    items = (_item(store, lease, leased[lease]) for lease in leases if lease in leased)
    return [item for item in items if item is not None]


def _item(store: Store, lease: Lease, document: DocumentRow) -> WriteBackItem | None:
    now = store.clock.now()
    due = [row for row in document.rows() if (at := write_back_at(row, now)) is not None and at <= now]
    mine = [row for row in due if row.state in POSTED] or due
    if not mine:
        return None
    number, posting_date, error = _texts(mine)
    return WriteBackItem(
        lease=lease,
        keys=tuple(row.key for row in mine),
        voucher_number=number,
        posting_date=posting_date,
        error=error,
        done=all(row.write_back == "sent" for row in mine),
    )


def _texts(rows: Sequence[VoucherRow]) -> tuple[str, str, str]:
    if rows[0].state in POSTED:
        number = ", ".join(row.number or "" for row in rows)
        return number, f"{rows[0].posted_on or rows[0].voucher.posting_date:%Y-%m-%d}", ""
    return "", "", f"财务系统退回 / rejected by finance: {'; '.join(row.reason for row in rows)}"


def record_write_backs(store: Store, results: Sequence[WriteBackRecord]) -> None:
    """Store what became of writing forms."""
    leased = store.leased(result.lease for result in results)
    crash_point("C12")
    for given in results:
        document = leased.get(given.lease)
        if document is None:
            continue
        rows = [row for key in given.keys if (row := document.vouchers.get(key)) is not None and writes_back(row)]
        result = _judged(store, given, document, rows) if rows else given
        for row in rows:
            _take(store, result, row)
        if result.result is WriteBackResult.NOT_ALLOWED:
            document.holds |= {
                ("write_back", NOT_POSSIBLE, row.key, "", result.detail) for row in rows if row.state in POSTED
            }
        elif result.verified:
            close_holds(document, [row.key for row in rows if row.state is VoucherState.VERIFIED])


def _judged(store: Store, given: WriteBackRecord, document: DocumentRow, rows: Sequence[VoucherRow]) -> WriteBackRecord:
    """A form that was not shown often enough in a row is gone."""
    if given.result is not WriteBackResult.NOT_SHOWN:
        unsure = given.result is WriteBackResult.SAVED and not given.verified
        document.form_away = document.form_away if unsure else 0
        return given
    looks = min(document.form_away, *(row.write_back_tries for row in rows)) + 1
    ends = looks >= store.waits.gone_tries
    document.form_away = 0 if ends else document.form_away + 1
    return replace(given, result=WriteBackResult.NOT_ALLOWED) if ends else given


def _take(store: Store, result: WriteBackRecord, row: VoucherRow) -> None:
    if result.result is WriteBackResult.SAVED:
        _saved(row, verified=result.verified)
    elif result.result is WriteBackResult.NOT_ALLOWED:
        row.write_back = "refused"
    else:
        row.write_back = "due"
        row.write_back_tries += 1
        row.write_back_at = store.waits.form(store.clock.now(), row.write_back_tries)


def _saved(row: VoucherRow, *, verified: bool) -> None:
    row.write_back = "verified" if verified else "sent"
    row.write_back_at = None
    if row.state in POSTED:
        if row.state is VoucherState.POSTED or not verified:
            row.take(Signal.WRITE_BACK_SENT)
        if verified:
            row.take(Signal.WRITE_BACK_VERIFIED)
