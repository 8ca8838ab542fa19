"""Decisions of people about vouchers: checked against what stands now, stored with one row of the trail."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg import Cursor
from psycopg.rows import dict_row

from finbridge.core.decisions import OPEN_IN, SIGNAL, Choice, Decided, Decision, Undecided
from finbridge.core.differences import as_finance_holds, differences, in_words
from finbridge.core.errors import GiveUp
from finbridge.core.lifecycle import Effect, VoucherState
from finbridge.core.outcomes import LedgerEntry
from finbridge.core.vouchers import Voucher
from finbridge.hub.connections import Connections
from finbridge.hub.delivery import note_posted
from finbridge.hub.documents import DocumentRow, bring_news, lock_named
from finbridge.hub.holds import blacked_out, close_voucher_holds
from finbridge.hub.register import Register, VoucherRow
from finbridge.hub.scheduling import WRITTEN_BACK_KINDS
from finbridge.hub.settings import flows_without_write_back
from finbridge.hub.vouchers import load_vouchers, replace_vouchers

_OPEN = """
SELECT v.flow_id, v.document_id, v.business_number, v.company, v.key, v.kind, v.state, v.state_reason AS detail,
       v.state_since AS since
FROM hub.document d JOIN hub.voucher v ON v.document_id = d.document_id AND v.flow_id = d.flow_id
WHERE d.flow_id = %s AND v.state = 'needs_human'
  AND EXISTS (SELECT FROM hub.hold h WHERE h.document_id = d.document_id AND h.flow_id = d.flow_id
              AND h.closed_at IS NULL AND h.key = v.key)
ORDER BY v.state_since, v.key
"""
_BEFORE = """
SELECT actor, action, at FROM hub.trail
WHERE flow_id = %s AND document_id = %s AND key = %s AND action = ANY(%s::text[]) ORDER BY trail_id DESC LIMIT 1
"""


class Decisions:
    """`finbridge.core.decisions.DecisionDesk` on PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def undecided(self, flow_id: str) -> list[Undecided]:
        """See the port."""
        with self._connections.transaction() as cursor, cursor.connection.cursor(row_factory=dict_row) as rows:
            found = rows.execute(_OPEN, [flow_id]).fetchall()
        return [Undecided(**{**row, "state": VoucherState(row["state"])}) for row in found]

    def voucher(self, flow_id: str, key: str) -> Voucher:
        """See the port."""
        with self._connections.transaction() as cursor:
            _document_of(cursor, flow_id, key)
            return load_vouchers(cursor, [key])[key]

    def decide(self, flow_id: str, decision: Decision) -> Decided:
        """See the port."""
        with self._connections.transaction(effect=True) as cursor:
            name = _document_of(cursor, flow_id, decision.key)
            (document,) = lock_named(cursor, flow_id, [name], decision.person)
            desk = _Desk(cursor, document, decision)
            before = desk.decided_before()
            if before is not None:
                return before
            desk.decide()
        return Decided(document_id=name, person=decision.person, again=False)


def _document_of(cursor: Cursor, flow_id: str, key: str) -> str:
    found = cursor.execute(
        "SELECT document_id FROM hub.voucher WHERE key = %s AND flow_id = %s", [key, flow_id]
    ).fetchone()
    if found is None:
        raise GiveUp("unknown_voucher", f"流程 {flow_id} 没有该凭证 / flow {flow_id} has no voucher with key {key!r}")
    return str(found[0])


class _Desk:
    """One transaction on one locked document."""

    def __init__(self, cursor: Cursor, document: DocumentRow, decision: Decision) -> None:
        self.cursor, self.document, self.decision = cursor, document, decision
        self.register = Register.of(cursor, [document.name])
        self.row: VoucherRow = self.register.vouchers[decision.key]

    def decided_before(self) -> Decided | None:
        """The same decision made before is no second one.

        Raises:
            GiveUp: the voucher does not wait for this choice (any more).
        """
        if self.row.state in OPEN_IN[self.decision.choice]:
            return None
        signals = [signal.value for signal in SIGNAL.values()]
        last = self.cursor.execute(_BEFORE, [*self.document.name, self.row.key, signals]).fetchone()
        if last is not None and last[1] == SIGNAL[self.decision.choice].value:
            return Decided(document_id=self.document.document_id, person=last[0], again=True, at=last[2])
        raise GiveUp("decision_stale", _stale(self.row, last))

    def decide(self) -> None:
        """Check what finance shows, let the voucher take the person's word, make the document due."""
        if self.document.alive:
            raise GiveUp(
                "document_busy",
                "系统正在处理该单据，请一分钟后重试 / the suite is at this document right now: try again in a minute",
            )
        settled = {
            Choice.ACCEPT: self._accept,
            Choice.LOOK_AGAIN: self._look_again,
            Choice.REVERSED: self._reversed,
        }[self.decision.choice]()
        actors = {self.document.name: self.decision.person}
        close_voucher_holds(self.cursor, self.register, settled, actors)
        self.register.flush()
        bring_news(self.cursor, self.document.flow_id, [self.document.document_id])

    def _take(self) -> tuple[Effect, ...]:
        """One row of the trail: who, what, why."""
        reason = blacked_out(self.cursor, {self.row.name: [self.decision.reason]})
        said = reason[(self.row.name, self.decision.reason)]
        return self.register.take(self.row, SIGNAL[self.decision.choice], self.document, reason=said).effects

    def _accept(self) -> Sequence[str]:
        entry = self._held()
        if not entry.posted:
            raise GiveUp(
                "held_as_draft",
                "财务系统中仍是草稿：请先过账或删除，再用 look-again / it is a draft in finance: post or delete it "
                "there, then look again",
            )
        if any(back.posted for back in entry.taken_back):
            raise GiveUp(
                "held_taken_back",
                "该凭证在财务系统中已被冲销，请用 reversed / people took it back in finance: decide `reversed`",
            )
        voucher = load_vouchers(self.cursor, [self.row.key])[self.row.key]
        self._must_be_as_shown(voucher, entry)
        try:
            held = as_finance_holds(voucher, entry)
        except ValueError as error:
            raise GiveUp(
                "held_not_readable",
                f"财务系统未完整显示分录，不能接受 / finance does not show this voucher whole: {error}",
            ) from None
        replace_vouchers(self.cursor, [(held, self.document.flow_id, self.row.source_content)])
        self.row.fingerprint, self.row.posting_date = held.content, held.posting_date
        effects = self._take()
        writes = self.row.kind in WRITTEN_BACK_KINDS
        if Effect.WRITE_BACK in effects and writes and not self._silent():
            self.row.write_back, self.row.write_back_at, self.row.write_back_tries = "due", None, 0
        return note_posted(self.register, self.document, self.row, entry)

    def _look_again(self) -> Sequence[str]:
        self._take()
        self.row.retry_at = None
        return [self.row.key]

    def _reversed(self) -> Sequence[str]:
        entry = self._held()
        if not any(back.posted for back in entry.taken_back):
            raise GiveUp(
                "not_taken_back",
                "财务系统中该凭证未被冲销 / finance does not show that people took this voucher back: nothing to do",
            )
        self._take()
        if self.row.finance_number is None:
            note_posted(self.register, self.document, self.row, entry)
        self.row.retry_at = self.row.write_back = None
        return [self.row.key]

    def _held(self) -> LedgerEntry:
        if self.decision.held is None:
            raise GiveUp(
                "nothing_held",
                "财务系统中没有该凭证键的凭证，请用 look-again / finance holds nothing under this key now: look again",
            )
        return self.decision.held

    def _must_be_as_shown(self, voucher: Voucher, entry: LedgerEntry) -> None:
        """A person decides on what they were shown; what finance changed since is another matter."""
        words = in_words(differences(voucher, entry))
        now = blacked_out(self.cursor, {self.row.name: [words]})[(self.row.name, words)]
        if now != self.row.state_reason:
            raise GiveUp(
                "finding_changed",
                f"财务系统的内容已变，请先 look-again / finance holds something else by now, look again first: {now}",
            )

    def _silent(self) -> bool:
        return bool(flows_without_write_back(self.cursor, {self.document.flow_id}))


def _stale(row: VoucherRow, last: tuple[str, str, datetime] | None) -> str:
    by = f"; {last[0]}, {last[1]}, {last[2]:%Y-%m-%d %H:%M}" if last else ""
    return (
        f"状态已变为 {row.state.value}，该决定不再适用 / the voucher is {row.state.value} now: this decision does not "
        f"apply any more{by}"
    )
