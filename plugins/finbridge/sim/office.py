"""The simulated OA: forms with an approval log, people who act on them, a list that may lag. Keeps its own journal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from finbridge.core.documents import DocumentRef, LogRow, SourceDocument
from finbridge.core.ports import WriteBackResult
from finbridge.sim.kernel import VirtualClock

DRAFT, APPROVAL, POSTING, PAYMENT, ARCHIVE = "起草", "审批", "过账", "付款", "归档"
SAVED, SUBMITTED, APPROVED, REJECTED, WITHDRAWN = "保存", "提交", "批准", "退回", "撤回"
REQUESTED, PAID, STRANGE = "请款", "付讫", "盖章"
#: Losing approval: the form goes back to its author.
LOSSES = frozenset({SAVED, SUBMITTED, REJECTED, WITHDRAWN})
_ZONE = timedelta(hours=8)
_BEHIND_APPROVAL = (POSTING, PAYMENT)


@dataclass(slots=True)
class Form:
    """A form and all that ever happened to it; ``acts`` in true order, whatever the log ids say."""

    name: str
    amount: str
    person: str
    stamp: datetime
    company: str = "1000"
    node: str = DRAFT
    columns: dict[str, str] = field(default_factory=dict)
    log: list[LogRow] = field(default_factory=list)
    amounts: list[str] = field(default_factory=list)
    written: list[dict[str, str]] = field(default_factory=list)  # what the suite put on the form
    acts: int = 0
    hurried: bool = False  # an act is on its way and not visible yet


@dataclass(frozen=True, slots=True)
class Act:
    """What a person can do to a form: log rows, the node afterwards."""

    rows: tuple[str, ...]
    node: str | None = None


_ACTS: dict[str, tuple[tuple[str, ...], Act]] = {
    "submit": ((DRAFT,), Act((SUBMITTED,), APPROVAL)),
    "submit_approve": ((DRAFT,), Act((SUBMITTED, APPROVED), POSTING)),
    "approve": ((APPROVAL,), Act((APPROVED,), POSTING)),
    "reject": ((APPROVAL, *_BEHIND_APPROVAL), Act((REJECTED,), DRAFT)),
    "withdraw": ((APPROVAL, *_BEHIND_APPROVAL), Act((WITHDRAWN,), DRAFT)),
    "edit": ((DRAFT,), Act((SAVED,))),
    "edit_silent": ((APPROVAL, *_BEHIND_APPROVAL), Act(())),
    "approve_again": (_BEHIND_APPROVAL, Act((APPROVED,))),
    "request": (_BEHIND_APPROVAL, Act((REQUESTED,), PAYMENT)),
    "pay": (_BEHIND_APPROVAL, Act((REQUESTED, PAID), PAYMENT)),
    "pay_unasked": ((PAYMENT,), Act((PAID,))),
    "archive": (_BEHIND_APPROVAL, Act((), ARCHIVE)),
    "touch": ((DRAFT, APPROVAL, *_BEHIND_APPROVAL, ARCHIVE), Act(())),
    "strange": ((APPROVAL,), Act((STRANGE,))),
}
ACTS = tuple(_ACTS)
_NEW_AMOUNT = frozenset({"edit", "edit_silent"})


class Office:
    """The OA's own memory."""

    def __init__(self, clock: VirtualClock, skew: float, *, scrambled: bool) -> None:
        self.clock = clock
        self.skew = timedelta(seconds=skew)
        self.scrambled = scrambled  # log ids inside one second run backwards
        self.forms: dict[str, Form] = {}
        self.acts = 0
        self._log_id = 100
        self._late: list[tuple[float, str, str, str, datetime]] = []

    def local(self) -> datetime:
        """The OA's clock on its wall."""
        return (self.clock.now() + _ZONE + self.skew).replace(tzinfo=None)

    # ------------------------------------------------------------ people

    def create(self, amount: str, person: str) -> Form:
        """A new draft."""
        form = Form(str(len(self.forms) + 1), amount, person, self.local(), amounts=[amount])
        self.forms[form.name] = form
        return form

    def act(self, name: str, act: str, amount: str) -> bool:
        """Let a person act; False where the form does not allow it now."""
        form = self.forms[name]
        if form.hurried or form.node not in _ACTS[act][0]:
            return False
        self._do(form, _ACTS[act][1], amount if act in _NEW_AMOUNT else form.amount, self.local())
        return True

    def act_late(self, name: str, act: str, amount: str, lag: float) -> bool:
        """The same, but nobody can see it before ``lag`` seconds: its transaction commits late, with its old time."""
        form = self.forms[name]
        if form.hurried or form.node not in _ACTS[act][0]:
            return False
        form.hurried = True
        at = max(self.local(), form.stamp + timedelta(seconds=1))  # a stamp that was read already hides nothing
        self._late.append((self.clock.seconds + lag, name, act, amount, at))
        return True

    def note(self, name: str, operation: str) -> None:
        """A row in the log by whatever way, in any order: what no rule of the form would allow."""
        form = self.forms[name]
        node = DRAFT if operation in LOSSES else POSTING if operation == APPROVED else form.node
        self._do(form, Act((operation,), node), form.amount, self.local())

    def catch_up(self) -> None:
        """What was committed meanwhile."""
        for entry in [entry for entry in self._late if entry[0] <= self.clock.seconds]:
            self._late.remove(entry)
            form = self.forms[entry[1]]
            form.hurried = False
            amount = entry[3] if entry[2] in _NEW_AMOUNT else form.amount
            self._do(form, _ACTS[entry[2]][1], amount, entry[4])

    @property
    def quiet(self) -> bool:
        """Nothing is on its way any more."""
        return not self._late

    def _do(self, form: Form, change: Act, amount: str, at: datetime) -> None:
        self.acts += 1
        form.acts += 1
        at = max(at, form.stamp)
        if change.rows and form.log:
            at = max(at, form.log[-1].local_at.replace(microsecond=0) + timedelta(seconds=1))
        ids = [self._log_id + number for number in range(len(change.rows))]
        self._log_id += len(ids)
        for number, operation in zip(reversed(ids) if self.scrambled else ids, change.rows, strict=True):
            form.log.append(LogRow(str(number), form.node, operation, form.person, at))
        form.amount = amount
        form.amounts.append(amount)
        if change.node is not None:
            form.node = change.node
        self._stamp(form, at)

    @staticmethod
    def _stamp(form: Form, at: datetime) -> None:
        form.stamp = max(at, form.stamp)

    # ------------------------------------------------------------ what the suite sees

    def listed(self, since: date, until: datetime) -> list[DocumentRef]:
        """Rows by their last operation, as the list shows them."""
        self.catch_up()
        rows = sorted(self.forms.values(), key=lambda form: (form.stamp, form.name))
        return [
            DocumentRef(form.name, "101", _stamp_text(form))
            for form in rows
            if since <= form.stamp.date() and form.stamp.replace(microsecond=0) <= until
        ]

    def shown(self, name: str) -> SourceDocument | None:
        """A form as it stands."""
        self.catch_up()
        form = self.forms.get(name)
        if form is None:
            return None
        main = {"djbh": f"BX-{name}", "gsdm": form.company, "hdje": form.amount, "ygbh": form.person, **form.columns}
        raw = json.dumps([main, form.node, [row.log_id for row in form.log]]).encode()
        return SourceDocument(name, "101", _stamp_text(form), form.node, main, {}, tuple(form.log), raw)

    def write(self, name: str, node: str, columns: dict[str, str]) -> WriteBackResult:
        """Save columns while the form stands at the node."""
        self.catch_up()
        form = self.forms[name]
        if form.hurried:
            return WriteBackResult.RETRY  # somebody's transaction holds the row
        if form.node != node:
            return WriteBackResult.NOT_ALLOWED
        if any(form.columns.get(column, "") != text for column, text in columns.items()):
            form.columns |= columns
            form.written.append(dict(columns))
            self._stamp(form, self.local())
        return WriteBackResult.SAVED

    def advance(self, name: str, node: str) -> WriteBackResult:
        """Move the form on."""
        self.catch_up()
        form = self.forms[name]
        if form.hurried:
            return WriteBackResult.RETRY
        if form.node == node:
            form.node = PAYMENT
            self._stamp(form, self.local())
        return WriteBackResult.SAVED

    def digest(self) -> str:
        """For comparing two runs of one seed."""
        text = repr([(f.name, f.amount, f.node, f.columns, [r.log_id for r in f.log]) for f in self.forms.values()])
        return hashlib.sha256(text.encode()).hexdigest()


def _stamp_text(form: Form) -> str:
    return f"{form.stamp:%Y-%m-%d %H:%M:%S}|{form.node}"
