"""The journal sandbox as the flows see it: `finbridge.core.ports.Ledger`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.core.flow import Flow
from finbridge.core.ids import is_key
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
from finbridge.core.ports import TokenStore
from finbridge.core.transport import NoAnswerError, Response, TransportError
from finbridge.core.vouchers import Voucher
from finbridge.systems.journal.client import JournalClient, LoginFailed, LoginRefused
from finbridge.systems.journal.models import EntriesReply, Result, difference, read_results, voucher_body

_DEFAULT_BATCH = 200
_DEFAULT_PAGE = 500
_FIND_KEYS = 100  # keys stand in the query string
_TOO_LARGE = 413

#: Codes that other finance systems name differently; the right-hand names are the suite's.
_OUR_CODE = {"not_exact_negative": "original_differs", "reversal_without_original": "original_missing"}
#: The vendor's word for what happened to one voucher -> our outcome: one table. What is not here is unknown.
_SAYS: dict[str, Callable[[Result], Outcome]] = {
    "rejected": lambda r: Rejected(_OUR_CODE.get(r.code, r.code), r.message),
    "period_closed": lambda r: PeriodClosed(r.message),
    "locked": lambda _: Locked(),
    "not_processed": lambda r: RefusedUnprocessed(r.message),
}


def connect(settings: ConnectionSettings, *, tokens: TokenStore, flow: Flow | None = None) -> JournalLedger:
    """Open nothing yet; the first call does. The flow says finance's code of each company."""
    return JournalLedger(settings, tokens=tokens, flow=flow)


class JournalLedger:
    """The finance stand-in. Outcomes, never exceptions, for what finance answers to a post.

    Args:
        settings: see `JournalClient`; also ``extra.batch_size`` (200), ``extra.page_size`` (500).
    """

    def __init__(self, settings: ConnectionSettings, *, tokens: TokenStore, flow: Flow | None = None) -> None:
        self.client = JournalClient(settings, tokens=tokens)
        self._batch_size = int(str(settings.extra.get("batch_size", _DEFAULT_BATCH)))
        self._page_size = int(str(settings.extra.get("page_size", _DEFAULT_PAGE)))
        self._companies = {code: c.ledger_company for code, c in flow.companies.items()} if flow else {}

    async def close(self) -> None:
        """Close connections."""
        await self.client.close()

    # ------------------------------------------------------------ posting

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        """Create and post in batches, one outcome a voucher in order."""
        outcomes: list[Outcome] = []
        for start in range(0, len(vouchers), self._batch_size):
            outcomes += await self._post_batch(vouchers[start : start + self._batch_size])
        return outcomes

    async def _post_batch(self, batch: Sequence[Voucher]) -> list[Outcome]:
        answer = await self._send(batch)
        if not isinstance(answer, Response):
            return [answer] * len(batch)
        if answer.status == _TOO_LARGE and len(batch) > 1:
            middle = len(batch) // 2
            return [*await self._post_batch(batch[:middle]), *await self._post_batch(batch[middle:])]
        if answer.status != 200:
            return [_status_outcome(answer)] * len(batch)
        try:
            results = read_results(answer.json())
        except ValueError:
            return [Unknown(f"{len(answer.body)} bytes that are no list of results")] * len(batch)
        return [self._outcome(voucher, results) for voucher in batch]

    async def _send(self, batch: Sequence[Voucher]) -> Response | Outcome:
        """The answer to a batch, or what is true of all its vouchers because there is none."""
        try:
            return await self.client.post([voucher_body(v, self._theirs(v.identity.company)) for v in batch])
        except LoginRefused as error:
            return AuthFailed(error.engineer)
        except LoginFailed as error:
            return _login_outcome(error.response)
        except NoAnswerError as error:
            return Unknown(error.engineer)
        except TransportError as error:
            return NotSent(error.engineer)

    def _outcome(self, voucher: Voucher, results: dict[str, list[Result]]) -> Outcome:
        waiting = results.get(voucher.key)
        if not waiting:
            return Unknown("finance's answer does not name this voucher")
        result = waiting.pop(0)
        if result.entry is None:
            says = _SAYS.get(result.outcome)
            return says(result) if says else Unknown(f"finance says {result.outcome!r} and shows no entry")
        try:
            entry = result.entry.ledger_entry(voucher.identity.company)
        except ValueError:
            return Unknown("finance shows amounts that are none")
        if result.outcome == "conflict" or entry.content != voucher.content:
            return Conflict(entry, difference(voucher, result.entry))
        if result.outcome in ("accepted", "duplicate"):
            return Accepted(entry) if result.outcome == "accepted" else Duplicate(entry)
        return Unknown(f"finance says {result.outcome!r}")

    # ------------------------------------------------------------ reading

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        """What finance holds under these keys.

        Raises:
            RetryLater: finance cannot say.
            GiveUp: credentials refused.
        """
        found: dict[str, LedgerEntry] = {}
        for start in range(0, len(keys), _FIND_KEYS):
            chunk = list(keys[start : start + _FIND_KEYS])
            reply = await self._read(self.client.find(self._theirs(company), chunk))
            found |= {entry.key: entry for entry in _entries(reply, company)}
        return found

    async def period_entries(self, company: str, period: str) -> AsyncIterator[list[LedgerEntry]]:
        """Entries under keys of ours in a period (``YYYY-MM``), in pages; vouchers that people keyed are left out.

        What such a voucher takes back is shown with it, in whatever period it stands.

        Raises:
            RetryLater: finance cannot say.
            GiveUp: credentials refused.
        """
        after: int | None = 0
        while after is not None:
            reply = await self._read(self.client.period(self._theirs(company), period, after, self._page_size))
            page = [entry for entry in _entries(reply, company) if is_key(entry.key)]
            if page:
                yield page
            taken_back = [entry.reverses for entry in reply.entries if entry.by_people and entry.reverses]
            elsewhere = [e for e in (await self.find(company, taken_back)).values() if e.period != period]
            if elsewhere:
                yield elsewhere
            after = reply.next

    async def period_open(self, company: str, period: str) -> bool:
        """See `finbridge.core.periods.PeriodLedger`.

        Raises:
            RetryLater: finance cannot say.
            GiveUp: credentials refused.
        """
        reply = await self._read(self.client.period(self._theirs(company), period, 0, 1))
        if reply.open is None:
            raise RetryLater(
                "period_unsaid", "财务系统未说明期间状态 / finance does not say whether the period is open"
            )
        return reply.open

    async def _read(self, call: Any) -> EntriesReply:
        try:
            response: Response = await call
        except LoginRefused as error:
            raise GiveUp(error.code, error.staff) from None
        except LoginFailed as error:
            raise RetryLater(error.code, error.staff) from None
        if response.status == 404 and _error_of(response) == "unknown_company":
            return EntriesReply(entries=[])  # finance holds nothing of a company that it does not have
        if response.status in (401, 403):
            raise GiveUp("auth", f"财务系统拒绝读取 / finance refuses to be read: HTTP {response.status}")
        try:
            if response.status == 200:
                return EntriesReply.model_validate(response.json())
        except ValueError:
            pass
        raise RetryLater(
            "finance_away",
            "财务系统暂不可用 / finance cannot answer now",
            f"HTTP {response.status}, {len(response.body)} bytes",
            after_seconds=response.retry_after_seconds or 5.0,
        )

    def _theirs(self, company: str) -> str:
        """Finance's code of a company."""
        return self._companies.get(company, company)


def _entries(reply: EntriesReply, company: str) -> list[LedgerEntry]:
    try:
        return [entry.ledger_entry(company) for entry in reply.entries]
    except ValueError:
        raise RetryLater(
            "finance_amounts", "财务系统返回的金额无法读取 / finance shows amounts that are none"
        ) from None


def _status_outcome(response: Response) -> Outcome:
    """An answer to a post that is not 200. Only what says by its status that nothing was done is not unknown."""
    after, status = response.retry_after_seconds, response.status
    if status in (401, 403):
        return AuthFailed(f"HTTP {status} after a fresh login")
    if status == 429:
        return Throttled(after if after is not None else 5.0)
    if status == 503:
        return Locked(after or 1.0)
    if status in (400, 404, 405, 413):
        return RefusedUnprocessed(f"HTTP {status} {_error_of(response)}")
    return Unknown(f"HTTP {status}, {len(response.body)} bytes")


def _login_outcome(response: Response) -> Outcome:
    """The batch never left."""
    after = response.retry_after_seconds
    if response.status == 429:
        return Throttled(after if after is not None else 5.0)
    return NotSent(f"login answered HTTP {response.status}")


def _error_of(response: Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("error", "")) if isinstance(body, dict) else ""
