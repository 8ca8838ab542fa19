"""What must be there, derived from the journals of OA and finance by rules of its own: no fold, no plan of the product.

Safety is looked at with every voucher that finance receives and after every step; the rest when the world has settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from finbridge.core.documents import LogRow, SourceDocument
from finbridge.core.vouchers import Voucher
from finbridge.sim import office
from finbridge.sim.kernel import Process
from finbridge.sim.office import Form

if TYPE_CHECKING:
    from finbridge.sim.world import World


class BrokenPromise(Exception):
    """A promise was broken: its name, the document, and what was seen."""

    def __init__(self, promise: str, document: str, seen: str) -> None:
        super().__init__(f"{promise}: document {document}: {seen}")
        self.promise = promise


@dataclass(frozen=True, slots=True)
class Called:
    """What a log calls for: approvals that hold now, the first payment while approved, all approvals ever."""

    approvals: tuple[LogRow, ...]
    payment: LogRow | None
    ever: frozenset[str]
    lost: frozenset[str]  # approvals that were taken away again

    @property
    def day(self) -> date | None:
        """Posting date of the expense."""
        return self.approvals[0].local_at.date() if self.approvals else None


def called(log: Iterable[LogRow]) -> Called:
    """Read a log from its beginning; rows stand in the order in which they happened."""
    holding: list[LogRow] = []
    payment: LogRow | None = None
    ever: set[str] = set()
    lost: set[str] = set()
    for row in log:
        if row.operation in office.LOSSES:
            lost |= {held.log_id for held in holding}
            holding = []
        elif row.operation == office.APPROVED:
            holding.append(row)
            ever.add(row.log_id)
        elif row.operation == office.PAID and holding and payment is None:
            payment = row
    return Called(tuple(holding), payment, frozenset(ever), frozenset(lost))


class Oracle:
    """Watches; raises BrokenPromise through the world's list."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys: dict[tuple[str, str, str], str] = {}

    # ------------------------------------------------------------ with each voucher that leaves

    def sent(self, process: Process, voucher: Voucher) -> None:
        """A voucher reached finance: somebody must have called for it, and its sender must have looked again."""
        identity = voucher.identity
        form = self._world.office.forms.get(identity.document_id)
        if form is None:
            self._broken("unexplained", identity.document_id, f"{voucher.key} has no document")
            return
        meaning = (identity.document_id, identity.kind.value, identity.cause)
        if self._keys.setdefault(meaning, voucher.key) != voucher.key:
            self._broken("one cause, one key", form.name, f"{meaning}: {self._keys[meaning]}, then {voucher.key}")
        if identity.kind.value == "reversal":
            self._reversal(form, voucher)
        else:
            self._second_read(process, form, voucher)

    def _reversal(self, form: Form, voucher: Voucher) -> None:
        originals = [entry for entry in self._world.books.entries if entry.key == voucher.reverses_key]
        if not originals or originals[0].document != form.name:
            self._broken("unexplained", form.name, f"{voucher.key} reverses nothing of this document")
        elif originals[0].amount != -voucher.debit_minor:
            self._broken("wrong", form.name, f"{voucher.key} reverses {originals[0].amount} by {voucher.debit_minor}")
        elif originals[0].cause not in called(form.log).lost:
            self._broken("unexplained", form.name, f"{voucher.key} reverses a voucher whose approval holds")

    def _second_read(self, process: Process, form: Form, voucher: Voucher) -> None:
        read = process.reads.get(form.name)
        if not isinstance(read, SourceDocument):
            self._broken("read again before the send", form.name, f"{voucher.key} was sent without a look")
            return
        what = called(read.log)
        kind = voucher.identity.kind.value
        causes = {row.log_id for row in what.approvals} if kind == "expense" else {what.payment and what.payment.log_id}
        if voucher.identity.cause not in causes:
            self._broken("read again before the send", form.name, f"{voucher.key}: its {kind} was not called for")
        elif read.main["hdje"] != str(voucher.debit_minor):
            self._broken("wrong", form.name, f"{voucher.key}: {voucher.debit_minor}, the form said {read.main['hdje']}")

    def look(self, document: str) -> None:
        """Never two live vouchers of a kind for a document, unless a restored hub has lost sight of the first."""
        if document in self._world.forgotten:
            return
        for kind in ("expense", "payment"):
            live = self._world.books.live(document, kind)
            if len(live) > 1:
                self._broken("doubled", document, f"{kind}: {', '.join(f'{e.number} {e.key}' for e in live)}")

    def written(self, document: str) -> None:
        """A number on a form is one of the document's own."""
        form = self._world.office.forms[document]
        number = form.columns.get("pzh", "")
        own = {e.number for e in self._world.books.entries if e.document == document and e.by == "suite"}
        if number and number not in own:
            self._broken("wrong", document, f"the form shows {number}, finance has {sorted(own)}")

    def look_at_all(self) -> None:
        """After a step."""
        for name in self._world.office.forms:
            self.look(name)

    def _broken(self, promise: str, document: str, seen: str) -> None:
        self._world.broken.append(BrokenPromise(promise, document, seen))
