"""Planted bugs: each changes one point of flows, core, or of what they stand on. The simulation must find them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from finbridge.core import fold as fold_module
from finbridge.core import lifecycle
from finbridge.core import plan as plan_module
from finbridge.core.errors import RetryLater
from finbridge.core.ids import VoucherKind
from finbridge.core.lifecycle import IllegalTransition, Signal, Step, VoucherState
from finbridge.core.outcomes import Accepted, LedgerEntry, Unknown
from finbridge.core.ports import Deliverable, Lease, Planned, Sent, WriteBackResult
from finbridge.core.vouchers import Voucher
from finbridge.flows import checking, delivering, inbox, writing_back
from finbridge.sim import lines, mapping, memory_delivery, memory_rows
from finbridge.sim.books import Books
from finbridge.sim.memory_hub import MemoryHub
from finbridge.sim.memory_rows import DocumentRow, Store

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]


def mark_before_effect(patch: Patch) -> None:
    """The voucher counts as posted before finance was asked."""
    mark, record = MemoryHub.mark_sending, MemoryHub.record

    def marked_as_done(hub: MemoryHub, leases: Mapping[str, Lease]) -> dict[str, str]:
        attempts = mark(hub, leases)
        entry = LedgerEntry("", "1000", "?", "?", date(2026, 11, 18), "")
        done = [Sent(lease=leases[key], key=key, attempt_id=None, outcome=Accepted(entry)) for key in attempts]
        record(hub, "claims", done)
        return attempts

    def deaf(hub: MemoryHub, flow_id: str, results: Sequence[Sent]) -> None:
        for result in results:
            try:
                record(hub, flow_id, [result])
            except IllegalTransition:
                continue

    patch.setattr(MemoryHub, "mark_sending", marked_as_done)
    patch.setattr(MemoryHub, "record", deaf)


def effect_before_mark(patch: Patch) -> None:
    """The mark is stored only with the answer."""
    record = memory_delivery.record

    def unmarked(store: Store, leases: Mapping[str, Lease]) -> dict[str, str]:
        leased = store.leased(leases.values(), alive=True)
        return {key: "attempt" for key, lease in leases.items() if lease in leased}

    def marked_late(store: Store, results: Sequence[Sent]) -> None:
        for lease, document in store.leased(result.lease for result in results).items():
            for key in (result.key for result in results if result.lease == lease and result.outcome is not None):
                if document.vouchers[key].state is VoucherState.READY:
                    document.vouchers[key].take(Signal.MARK_SENDING)
        record(store, results)

    patch.setattr(memory_delivery, "mark_sending", unmarked)
    patch.setattr(memory_delivery, "record", marked_late)


def retry_on_unknown(patch: Patch) -> None:
    """No answer counts as no effect."""
    patch.setitem(lifecycle._OUTCOMES, Unknown, Step(VoucherState.READY))


def dedupe_by_amount(patch: Patch) -> None:
    """The connector takes an entry of the same day, account and amount for ours."""
    find = Books.find

    def alike(books: Books, keys: list[str]) -> dict[str, LedgerEntry]:
        found = find(books, keys)
        contents = {voucher.key: voucher.content for voucher in books.received if voucher.key in keys}
        for key in set(contents) - set(found):
            same = [entry for entry in books.entries if entry.content == contents[key]]
            if same:
                found[key] = books._shown(same[0])
        return found

    patch.setattr(Books, "find", alike)


def cursor_without_overlap(patch: Patch) -> None:
    """The list is asked from the watermark's own day on."""
    patch.setattr(mapping, "FLOW", replace(mapping.FLOW, overlap_days=0))


def commit_before_store(patch: Patch) -> None:
    """The watermark moves before what lies below it was stored."""
    begin = MemoryHub.begin_collect

    def hasty(hub: MemoryHub, flow_id: str, worker: str, lease_seconds: float) -> object:
        window = begin(hub, flow_id, worker, lease_seconds)
        if window is not None:
            hub.kept.watermarks[flow_id] = (hub.kept.clock.now() + timedelta(hours=8)).replace(tzinfo=None)
        return window

    patch.setattr(MemoryHub, "begin_collect", hasty)


def no_fencing_check(patch: Patch) -> None:
    """Whoever once had a lease may still store."""

    def anybody(store: Store, leases: Iterable[Lease], *, alive: bool = False) -> dict[Lease, DocumentRow]:
        documents = {document.document_id: document for document in store.documents.values()}
        return {lease: documents[lease.document_id] for lease in leases if lease.document_id in documents}

    patch.setattr(Store, "leased", anybody)


def content_in_identity(patch: Patch) -> None:
    """A voucher with another amount is another voucher."""

    def keyed_by_content(voucher: Voucher) -> None:
        identity = replace(voucher.identity, cause=f"{voucher.identity.cause} {voucher.content}")
        object.__setattr__(voucher, "key", identity.key())

    patch.setattr(Voucher, "__post_init__", keyed_by_content)


def second_read_skipped(patch: Patch) -> None:
    """What was ready once is sent."""

    async def unread(
        flow: object, source: object, translator: object, works: object, items: list[Deliverable]
    ) -> object:
        return items, []

    patch.setattr(delivering, "read_again", unread)


def write_back_without_retry(patch: Patch) -> None:
    """A form that did not take the number is not asked again."""
    settle = writing_back._settle

    async def once(*args: Any) -> Any:
        record = await settle(*args)
        if record is None or record.result not in (WriteBackResult.RETRY, WriteBackResult.UNKNOWN):
            return record
        return replace(record, result=WriteBackResult.SAVED, verified=True)

    patch.setattr(writing_back, "_settle", once)


def settle_window_ignored(patch: Patch) -> None:
    """Not there now counts as never there."""
    patch.setattr(mapping, "FLOW", replace(mapping.FLOW, settle_seconds=0.0))


def silence_taken_for_no(patch: Patch) -> None:
    """A look-up that finance did not answer counts as an empty answer."""
    find = lines.BooksLine.find

    async def hopeful(line: lines.BooksLine, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        try:
            return await find(line, company, keys)
        except RetryLater:
            return {}

    patch.setattr(lines.BooksLine, "find", hopeful)


def newest_approval_counts(patch: Patch) -> None:
    """A second approval calls for a second voucher."""

    def approve(folder: Any, entry: Any) -> None:
        folder.approval, folder.approvals = entry, {entry.log_id}
        folder.state = fold_module.EndState.APPROVED

    patch.setattr(fold_module._Folder, "_approve", approve)


def nothing_is_taken_back(patch: Patch) -> None:
    """A lost approval leaves its voucher live."""
    patch.setattr(plan_module, "_drop", lambda registered, folded: [])


def parked_counts_as_posted(patch: Patch) -> None:
    """The connector does not see that finance holds an entry unposted."""
    shown = Books._shown
    patch.setattr(Books, "_shown", staticmethod(lambda entry: replace(shown(entry), posted=True)))


def second_settles_at_once(patch: Patch) -> None:
    """What was read in the second of its last change is not read again."""
    patch.setattr(inbox, "SETTLED_AFTER", timedelta(days=-1))


def holds_are_dropped(patch: Patch) -> None:
    """A reason is found and nobody is told."""
    patch.setattr(checking.Case, "hold", lambda case, problem: None)


def turns_are_not_awaited(patch: Patch) -> None:
    """A new voucher goes before the old one is taken back."""
    for module in (memory_rows, memory_delivery):
        patch.setattr(module, "waits_for_others", lambda row, document: False)
    patch.setattr(delivering, "_TURN", dict.fromkeys(VoucherKind, 0))


def news_does_not_stop_a_plan(patch: Patch) -> None:
    """A plan made before the news counts as one that has seen it."""
    from finbridge.sim import memory_planning

    save = memory_planning.save_plans

    def deaf(store: Store, flow_id: str, plans: Sequence[Planned]) -> list[Lease]:
        for document in store.leased(plan.lease for plan in plans).values():
            document.lease_revision = document.revision
        return save(store, flow_id, plans)

    patch.setattr(memory_planning, "save_plans", deaf)


MUTATIONS: dict[str, Mutation] = {
    mutation.__name__: mutation
    for mutation in (
        mark_before_effect,
        effect_before_mark,
        retry_on_unknown,
        dedupe_by_amount,
        cursor_without_overlap,
        commit_before_store,
        no_fencing_check,
        content_in_identity,
        second_read_skipped,
        write_back_without_retry,
        settle_window_ignored,
        silence_taken_for_no,
        newest_approval_counts,
        nothing_is_taken_back,
        parked_counts_as_posted,
        second_settles_at_once,
        holds_are_dropped,
        turns_are_not_awaited,
        news_does_not_stop_a_plan,
    )
}
