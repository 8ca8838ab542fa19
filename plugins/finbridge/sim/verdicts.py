"""After everything settled: each document in exactly one state, nothing lost, nothing unexplained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from finbridge.sim import office
from finbridge.sim.books import Entry
from finbridge.sim.mapping import BAD_AMOUNT, BAD_BY_RULE, FLOW
from finbridge.sim.memory_rows import DocumentRow
from finbridge.sim.office import Form
from finbridge.sim.oracle import BrokenPromise, Called, called

if TYPE_CHECKING:
    from finbridge.sim.world import World

#: What people are told about a log; it keeps no voucher back.
_ABOUT_THE_LOG = ("paid_", "payment_", "_after_", "order_unclear")
_STANDS_BEFORE = frozenset({"rejected", "conflict"})


def final(world: World) -> Iterator[BrokenPromise]:
    """All that is broken at the end."""
    for form in world.office.forms.values():
        yield from _Case(world, form).look()
    account = world.hub.account(FLOW.flow_id)
    if sum(account.documents.values()) != len(world.office.forms):
        yield BrokenPromise("each document in one state", "-", f"{dict(account.documents)}")
    for name in account.unexplained:
        yield BrokenPromise("unexplained", name, "the hub itself cannot explain where it stands")


class _Case:
    """One document at the end."""

    def __init__(self, world: World, form: Form) -> None:
        self.world = world
        self.form = form
        self.called: Called = called(form.log)
        self.row: DocumentRow | None = world.hub.kept.documents.get((FLOW.flow_id, form.name))
        self.holds = {hold[1] for hold in self.row.holds} if self.row is not None else set()
        self.entries = [e for e in world.books.entries if e.document == form.name]
        self.live: list[Entry] = world.books.live(form.name, "expense")

    def look(self) -> Iterator[BrokenPromise]:
        if self.row is None:
            yield self._broken("lost", "the hub never heard of it")
            return
        shown = json.loads(self.row.versions[self.row.content]).get("main", {}).get("hdje")
        if shown != self.form.amount:
            yield self._broken("lost", f"the hub knows the amount {shown}, the form says {self.form.amount}")
        unfit = {code for code in self.holds if not self._justified(code)}
        if unfit:
            yield self._broken("held without a cause", ", ".join(sorted(unfit)))
        if self._strange() and "unknown_log_entry" not in self.holds:
            yield self._broken("nothing silent", "a log entry without a meaning, and nobody was told")
        if not self._out_of_reach():
            yield from self._expense()
            yield from self._payment()

    # ------------------------------------------------------------ vouchers

    def _expense(self) -> Iterator[BrokenPromise]:
        wanted = bool(self.called.approvals) and self._postable()
        if not self.live:
            if wanted and not self._excused():
                yield self._broken("lost", f"approved with {self.form.amount}, no voucher, holds {sorted(self.holds)}")
            return
        entry = self.live[0]
        if not self.called.approvals:
            if not self._excused():
                yield self._broken("unexplained", f"{entry.number} is live, the approval is gone")
        elif entry.amount != self._amount():
            if "changed_after_posting" not in self.holds and not self._excused():
                yield self._broken("wrong", f"{entry.number} has {entry.amount}, the form {self.form.amount}")
        elif entry.on not in {row.local_at.date() for row in self.called.approvals} and not self._excused():
            yield self._broken("wrong", f"{entry.number} is dated {entry.on}, approved on {self.called.day}")
        elif entry.parked and not self._excused():
            yield self._broken("wrong", f"{entry.number} is parked, and nobody was told")
        elif not self._excused():
            yield from self._form_shows(entry)

    def _form_shows(self, entry: Entry) -> Iterator[BrokenPromise]:
        told = self.form.columns.get("pzh") == entry.number
        if not told and "write_back_not_possible" not in self.holds:
            yield self._broken("lost write-back", f"{entry.number} is not on the form at {self.form.node}")
        elif not told and self.form.node == office.POSTING:
            yield self._broken(
                "lost write-back", f"{entry.number} is not on the form, though it stands at {self.form.node}"
            )

    def _payment(self) -> Iterator[BrokenPromise]:
        live = self.world.books.live(self.form.name, "payment")
        if live and self.called.payment is None:
            yield self._broken("unexplained", f"{live[0].number} pays what was never paid")
        if not live and self.called.payment is not None and self._postable() and not self._excused():
            yield self._broken("lost", f"paid by {self.called.payment.log_id}, no voucher, holds {sorted(self.holds)}")

    # ------------------------------------------------------------ facts

    def _ours(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.by == "suite" and entry.kind == "expense"]

    def _amount(self) -> int:
        return int(self.form.amount) if self.form.amount.isdigit() else -1

    def _postable(self) -> bool:
        return self.form.amount not in (BAD_AMOUNT, BAD_BY_RULE, "0")

    def _strange(self) -> bool:
        return any(row.operation == office.STRANGE for row in self.form.log)

    def _out_of_reach(self) -> bool:
        """Facts after which the promise leaves a document to people or to reconciliation: its limits."""
        by_hand = any(entry.by == "hand" and entry.reverses is not None for entry in self.entries)
        return by_hand or self._strange() or self.form.name in self.world.forgotten

    def _excused(self) -> bool:
        """A hold that keeps vouchers back, for a cause that stands in the journals."""
        return any(
            self._justified(code)
            for code in self.holds
            if not _about_the_log(code) and code != "write_back_not_possible"
        )

    def _justified(self, code: str) -> bool:
        books, name = self.world.books, self.form.name
        keys = {voucher.key for voucher in books.received if voucher.identity.document_id == name}
        facts = {
            "rejected": bool(keys & books.refused),
            # open again, it goes on at once, unless what stands before it is in a person's list
            "period_closed": bool(keys & books.shut_out) and bool(books.closed or self.holds & _STANDS_BEFORE),
            "conflict": any(entry.parked for entry in self.entries) or self.world.restored,
            "changed_after_posting": any(e.amount != self._amount() for e in self._ours()),
            "bad_amount": self.form.amount == BAD_AMOUNT,
            "amount_out_of_range": self.form.amount == BAD_BY_RULE,
            "unknown_log_entry": self._strange(),
            "write_back_not_possible": bool(self.entries),
        }
        return facts.get(code, _about_the_log(code))

    def _broken(self, promise: str, seen: str) -> BrokenPromise:
        return BrokenPromise(promise, self.form.name, seen)


def _about_the_log(code: str) -> bool:
    return any(part in code for part in _ABOUT_THE_LOG) and code != "changed_after_posting"
