"""The simulated finance system: books, periods, blocked parties, people at work in it. Keeps its own journal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date, timedelta

from finbridge.core.outcomes import (
    Accepted,
    AuthFailed,
    Conflict,
    Duplicate,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    PeriodClosed,
    RefusedUnprocessed,
    Rejected,
    Throttled,
    Unknown,
)
from finbridge.core.vouchers import Voucher
from finbridge.sim.kernel import VirtualClock

#: What a call to finance may meet; each goes for one voucher.
FATES = (
    "timeout_before_commit",
    "timeout_after_commit",
    "late_commit",
    "gateway_504",
    "locked",
    "throttled",
    "throttled_for_long",
    "not_sent",
    "refused_unprocessed",
    "auth",
    "connector_bug",
    "parked",
)
#: Nothing is in the books, and finance or the connector says so.
_NOTHING: dict[str, Outcome] = {
    "locked": Locked(),
    "throttled": Throttled(),
    "throttled_for_long": Throttled(after_seconds=90.0),
    "not_sent": NotSent("connection refused"),
    "refused_unprocessed": RefusedUnprocessed("busy"),
    "auth": AuthFailed("login refused"),
}
#: The longest that finance takes over a request whose caller has given up; a flow's settle window is longer.
LATEST_COMMIT = 40.0


class ConnectorBug(Exception):
    """The connector itself failed."""


@dataclass(slots=True)
class Entry:
    """One entry in the books. ``by``: the suite, or a person in finance."""

    number: str
    by: str
    key: str
    document: str
    kind: str
    cause: str
    on: date
    amount: int
    party: str
    content: str
    reverses: str | None = None  # key, or the number where a person reversed
    parked: bool = False
    taken_back: bool = False  # a live reversal stands against it


class Books:
    """Finance's own memory. ``unique``: it refuses a second voucher under a key."""

    def __init__(self, clock: VirtualClock, *, unique: bool) -> None:
        self.clock = clock
        self.unique = unique
        self.entries: list[Entry] = []
        self.closed: set[str] = set()
        self.blocked: set[str] = set()
        self.refused: set[str] = set()  # keys that finance rejected for a business reason
        self.shut_out: set[str] = set()  # keys that met a closed period
        self.received: list[Voucher] = []
        self._late: list[tuple[float, Voucher]] = []

    # ------------------------------------------------------------ the suite

    def receive(self, voucher: Voucher, fate: str | None, lag: float) -> Outcome:
        """One voucher arrives."""
        self.catch_up()
        self.received.append(voucher)
        if fate in _NOTHING:
            return _NOTHING[fate]
        if fate == "timeout_before_commit":
            return Unknown("time-out before the commit")
        if fate == "late_commit":
            self._late.append((self.clock.seconds + min(lag, LATEST_COMMIT), voucher))
            return Unknown("time-out; finance still works on it")
        outcome = self._post(voucher, parked=fate == "parked")
        if fate == "connector_bug":
            raise ConnectorBug
        if fate in ("timeout_after_commit", "gateway_504", "parked"):
            return Unknown(fate)
        return outcome

    def _post(self, voucher: Voucher, *, parked: bool = False) -> Outcome:
        known = [entry for entry in self.entries if entry.key == voucher.key]
        if known and self.unique:
            shown = self._shown(known[0])
            same = known[0].content == voucher.content and not known[0].parked
            return Duplicate(shown) if same else Conflict(shown, "finance holds it with other content")
        if voucher.period in self.closed:
            self.shut_out.add(voucher.key)
            return PeriodClosed(voucher.period)
        refusal = self._refusal(voucher)
        if refusal is not None:
            self.refused.add(voucher.key)
            return refusal
        entry = Entry(
            number=f"记-{len(self.entries) + 1}",
            by="suite",
            key=voucher.key,
            document=voucher.identity.document_id,
            kind=voucher.identity.kind.value,
            cause=voucher.identity.cause,
            on=voucher.posting_date,
            amount=voucher.debit_minor,
            party=voucher.lines[0].party or "",
            content=voucher.content,
            reverses=voucher.reverses_key,
            parked=parked,
        )
        self._take_back(entry)
        self.entries.append(entry)
        return Accepted(self._shown(entry))

    def _refusal(self, voucher: Voucher) -> Outcome | None:
        if voucher.reverses_key is not None:
            originals = [e for e in self.entries if e.key == voucher.reverses_key]
            if not originals or originals[0].taken_back:
                return Rejected("not_reversible", "no live voucher to reverse")
        elif (voucher.lines[0].party or "") in self.blocked:
            return Rejected("vendor_blocked", "the party is blocked")
        return None

    def _take_back(self, entry: Entry) -> None:
        for original in self.entries:
            if entry.reverses is not None and entry.reverses in (original.key, original.number):
                original.taken_back = True

    def find(self, keys: list[str]) -> dict[str, LedgerEntry]:
        """What the books hold under these keys."""
        self.catch_up()
        return {entry.key: self._shown(entry) for entry in reversed(self.entries) if entry.key in keys}

    @staticmethod
    def _shown(entry: Entry) -> LedgerEntry:
        return LedgerEntry(
            entry.key, "1000", entry.number, entry.number, entry.on, entry.content, posted=not entry.parked
        )

    # ------------------------------------------------------------ time and people

    def catch_up(self) -> None:
        """Requests that finance still worked on when their callers had gone."""
        due = sorted((late for late in self._late if late[0] <= self.clock.seconds), key=lambda late: late[0])
        for late in due:
            self._late.remove(late)
            self._post(late[1])

    @property
    def quiet(self) -> bool:
        """Nothing is on its way any more."""
        return not self._late

    def live(self, document: str, kind: str) -> list[Entry]:
        """A document's entries of a kind by the suite that nothing takes back."""
        self.catch_up()
        return [
            e
            for e in self.entries
            if e.by == "suite" and e.document == document and e.kind == kind and not e.taken_back
        ]

    def reverse_by_hand(self, which: int) -> bool:
        """An accountant reverses an expense of ours."""
        mine = [e for e in self.entries if e.by == "suite" and e.kind == "expense" and not e.taken_back]
        if not mine:
            return False
        original = mine[which % len(mine)]
        number = f"手-{len(self.entries) + 1}"
        on = original.on + timedelta(days=1)
        red = replace(original, number=number, by="hand", key="", reverses=original.number, amount=-original.amount)
        self._take_back(red)
        self.entries.append(replace(red, on=on, kind="reversal", taken_back=False))
        return True

    def key_by_hand(self, document: str, on: date, amount: int, party: str, content: str) -> None:
        """An accountant keys a voucher for a document, without our key."""
        number = f"手-{len(self.entries) + 1}"
        self.entries.append(Entry(number, "hand", "", document, "expense", "", on, amount, party, content))

    def digest(self) -> str:
        """For comparing two runs of one seed."""
        text = repr([(e.number, e.key, e.amount, e.on, e.taken_back) for e in self.entries])
        return hashlib.sha256(text.encode()).hexdigest()
