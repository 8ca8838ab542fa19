"""Tryton as the flows see it: `finbridge.core.ports.Ledger`. Outcomes, never exceptions, for what the ledger answers.

Account, party, journal and currency go over the wire as codes; the ledger's module looks them up in the transaction
that posts, so there are no ids here that could be old.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from finbridge.core.codes import MasterKind, MasterRecord
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import FinbridgeError, GiveUp, RetryLater
from finbridge.core.flow import Flow
from finbridge.core.ids import VoucherKind
from finbridge.core.outcomes import (
    Accepted,
    AuthFailed,
    Conflict,
    Duplicate,
    LedgerEntry,
    Locked,
    NotSent,
    Outcome,
    RefusedUnprocessed,
    Rejected,
    Unknown,
)
from finbridge.core.outcomes import Throttled as ThrottledOutcome
from finbridge.core.ports import TokenStore
from finbridge.core.transport import NotSentError
from finbridge.core.vouchers import LandAs, Voucher
from finbridge.systems.tryton.client import (
    Busy,
    CallRefused,
    Doubtful,
    LoginRefused,
    NotLoggedIn,
    Throttled,
    TrytonClient,
)
from finbridge.systems.tryton.models import (
    MasterResult,
    Move,
    PostResult,
    ReadResult,
    reversal_values,
    voucher_values,
)
from finbridge.systems.tryton.replies import difference, entry_of, refusal

_DEFAULT_BATCH, _DEFAULT_PAGE = 50, 500
_NOT_OPEN = frozenset({"period_closed", "no_period"})
_LINES_A_CALL = 2000  # keeps a call far below the ledger's own limit of 60 s
_DEFAULT_CURRENCY = "CNY"
_POST_RESULTS = TypeAdapter(list[PostResult])
_Shape = TypeVar("_Shape", ReadResult, MasterResult)
#: `TrytonLedger.master_data` shows accounts, cost centres and parties.
READS_MASTER_DATA = True


def connect(settings: ConnectionSettings, *, tokens: TokenStore, flow: Flow | None = None) -> TrytonLedger:
    """Open nothing yet; the first call does. Without a flow, company codes are the ledger's own.

    Raises:
        GiveUp: the connection's data is not complete.
    """
    return TrytonLedger(settings, tokens=tokens, flow=flow)


class TrytonLedger:
    """One ledger as one integration user.

    Args:
        settings: see `TrytonClient`; also ``extra.journal`` (FIN), ``extra.batch_size`` (50 vouchers a call),
            ``extra.page_size`` (500 entries a page).
        flow: gives the ledger's code and the currency of each company.
    """

    def __init__(self, settings: ConnectionSettings, *, tokens: TokenStore, flow: Flow | None) -> None:
        extra = settings.extra
        self.client = TrytonClient(settings, tokens=tokens)
        self._companies = flow.companies if flow else None
        self._journal = str(extra.get("journal", "FIN"))
        self._batch_size = int(str(extra.get("batch_size", _DEFAULT_BATCH)))
        self._page_size = int(str(extra.get("page_size", _DEFAULT_PAGE)))

    async def close(self) -> None:
        """Close connections."""
        await self.client.close()

    # ------------------------------------------------------------ posting

    async def post(self, vouchers: Sequence[Voucher]) -> list[Outcome]:
        """Create and post in calls of at most ``batch_size`` vouchers, in order; one outcome a voucher.

        A call that fails as a whole ends the work: what was not sent yet is `NotSent`, so that a ledger that is away
        is not asked a hundred times.
        """
        outcomes: dict[int, Outcome] = {}
        sendable = []
        for index, voucher in enumerate(vouchers):
            refused = self._refuse(voucher)
            if refused is None:
                sendable.append(index)
            else:
                outcomes[index] = refused
        failed: Outcome | None = None
        for batch in _batches(sendable, vouchers, self._batch_size):
            if failed is None:
                results, failed = await self._post_batch([vouchers[index] for index in batch])
            else:
                results = [_after(failed)] * len(batch)
            outcomes.update(zip(batch, results, strict=True))
        return [outcomes[index] for index in range(len(vouchers))]

    def _refuse(self, voucher: Voucher) -> Outcome | None:
        """What is refused without asking: nothing leaves for a company that the flow does not serve."""
        company = voucher.identity.company
        if self._companies is not None and company not in self._companies:
            return Rejected("unknown_company", f"流程不服务该公司 / the flow serves no such company: {company}")
        if voucher.land_as is not LandAs.POSTED:
            text = f"Tryton 只接受过账凭证 / Tryton takes posted vouchers only: {voucher.land_as.value}"
            return Rejected("land_as_unsupported", text)
        return None

    async def _post_batch(self, batch: Sequence[Voucher]) -> tuple[list[Outcome], Outcome | None]:
        """Outcomes of one call, and the outcome that ends the work where the call failed as a whole."""
        reversal = batch[0].identity.kind is VoucherKind.REVERSAL
        method = "account.move.reverse_posted" if reversal else "account.move.create_posted"
        values = [self._values(voucher, reversal) for voucher in batch]
        try:
            answer = await self.client.call(method, values)
        except (RetryLater, LoginRefused) as error:
            outcome = _meaning(error)
            if isinstance(error, Busy | CallRefused):
                return await self._settle_by_reading(batch, outcome), outcome
            return [outcome] * len(batch), outcome
        results = _trusted(batch, answer)
        if results is None:
            unknown = Unknown("财务系统的应答不完整 / the ledger's answer does not fit the call")
            return [unknown] * len(batch), unknown
        return await self._outcomes(batch, results), None

    def _values(self, voucher: Voucher, reversal: bool) -> dict[str, Any]:
        company = voucher.identity.company
        shape = reversal_values if reversal else voucher_values
        return shape(
            voucher, company=self._ledger_company(company), currency=self._currency(company), journal=self._journal
        )

    async def _outcomes(self, batch: Sequence[Voucher], results: Sequence[PostResult]) -> list[Outcome]:
        outcomes: list[Outcome | None] = [
            self._outcome(voucher, result) for voucher, result in zip(batch, results, strict=True)
        ]
        unseen = [index for index, outcome in enumerate(outcomes) if outcome is None]
        if unseen:  # somebody else's voucher was committed a moment ago: only a new transaction can see it
            gone = Unknown("他人刚刚过账,尚未读到 / posted by somebody else a moment ago, not readable yet")
            read = await self._settle_by_reading([batch[index] for index in unseen], gone)
            for index, outcome in zip(unseen, read, strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _outcome(self, voucher: Voucher, result: PostResult) -> Outcome | None:
        if result.outcome == "refused":
            return refusal(result.code, result.detail)
        if result.move is None:
            return None
        return self._compared(voucher, result.move, posted_now=result.outcome == "posted")

    def _compared(self, voucher: Voucher, move: Move, *, posted_now: bool) -> Outcome:
        """Accepted or Duplicate where the ledger holds what we sent; a silent change is a conflict as well."""
        company = voucher.identity.company
        entry = entry_of(move, company=company, currency=self._currency(company))
        differs = difference(voucher, move, self._currency(company))
        if differs:
            return Conflict(entry, differs)
        return Accepted(entry) if posted_now else Duplicate(entry)

    async def _settle_by_reading(self, batch: Sequence[Voucher], otherwise: Outcome) -> list[Outcome]:
        """Believe "nothing was done" only after the ledger shows nothing by our keys."""
        found: dict[str, Move] = {}
        try:
            for company in sorted({voucher.identity.company for voucher in batch}):
                keys = [voucher.key for voucher in batch if voucher.identity.company == company]
                found |= await self._find(company, keys)
        except (RetryLater, GiveUp) as error:
            return [Unknown(f"无法核对 / cannot be read back: {error.staff}")] * len(batch)
        return [
            self._compared(voucher, found[voucher.key], posted_now=False) if voucher.key in found else otherwise
            for voucher in batch
        ]

    # ------------------------------------------------------------ reading

    async def find(self, company: str, keys: Sequence[str]) -> dict[str, LedgerEntry]:
        """What the ledger holds under these keys.

        Raises:
            RetryLater: it cannot say now.
            GiveUp: the login is refused, or the user may not see this company: then nothing here is an answer.
        """
        currency = self._currency(company)
        found = await self._find(company, keys)
        return {key: entry_of(move, company=company, currency=currency) for key, move in found.items()}

    async def period_entries(self, company: str, period: str) -> AsyncIterator[list[LedgerEntry]]:
        """Entries of ours in an accounting period ``YYYY-MM``, and those that people cancelled in it, by rising id.

        An entry whose transaction is still running may be missing, and stays missing for a reader that only looks
        behind the last id: read the whole period each time.

        Raises:
            RetryLater: it cannot say now.
            GiveUp: as for `find`; ``no_period``: the ledger has no such period, which is not the same as an empty one.
        """
        ledger_company, currency, after = self._ledger_company(company), self._currency(company), 0
        while moves := await self._read("account.move.list_period", ledger_company, period, after, self._page_size):
            yield [entry_of(move, company=company, currency=currency) for move in moves]
            after = moves[-1].id

    async def period_open(self, company: str, period: str) -> bool:
        """See `finbridge.core.periods.PeriodLedger`: period and journal are both open, and are not locked here.

        Raises:
            RetryLater, GiveUp: as for `find`; a bridge of an older release cannot say either.
        """
        ledger_company = self._ledger_company(company)
        answer = _read_result(await self.client.call("account.move.period_open", ledger_company, period, self._journal))
        if answer.outcome == "refused" and answer.code not in _NOT_OPEN:
            raise _cannot_read(answer)
        return answer.outcome == "read"

    async def master_data(self, company: str) -> AsyncIterator[list[MasterRecord]]:
        """Accounts and cost centres of a company and all parties, in pages, by rising id; see `core.codes`.

        Raises:
            RetryLater, GiveUp: as for `find`.
        """
        ledger_company = self._ledger_company(company)
        for kind in MasterKind:
            after = 0
            owner = "" if kind is MasterKind.PARTY else company
            while page := await self._master(kind.value, ledger_company, after):
                yield [
                    MasterRecord(kind=kind, company=owner, code=code, name=name, active=active)
                    for _, code, name, active in page
                ]
                after = page[-1][0]

    async def ping(self) -> str:
        """Log in and read once; for a connection's test button. Returns words for people.

        Raises:
            RetryLater, GiveUp: as for `find`, but an unknown company is no fault.
        """
        answer = _read_result(await self.client.call("account.move.find_refs", "", []))
        if answer.outcome == "refused" and answer.code != "unknown_company":
            raise _cannot_read(answer)
        return "连接正常 / connected"

    async def _find(self, company: str, keys: Sequence[str]) -> dict[str, Move]:
        ledger_company = self._ledger_company(company)
        found: dict[str, Move] = {}
        for start in range(0, len(keys), self._page_size):
            part = list(keys[start : start + self._page_size])
            found |= {move.ref: move for move in await self._read("account.move.find_refs", ledger_company, part)}
        return found

    async def _master(self, kind: str, company: str, after: int) -> tuple[tuple[int, str, str, bool], ...]:
        answer = await self.client.call("account.move.list_master", kind, company, after, self._page_size)
        read = _trusted_read(MasterResult, answer)
        if read.outcome == "refused":
            raise _cannot_read(read)
        return read.records

    async def _read(self, method: str, *params: Any) -> tuple[Move, ...]:
        answer = _read_result(await self.client.call(method, *params))
        if answer.outcome == "refused":
            raise _cannot_read(answer)
        return answer.moves

    # ------------------------------------------------------------ companies

    def _ledger_company(self, company: str) -> str:
        if self._companies is None:
            return company
        if company not in self._companies:
            raise GiveUp("unknown_company", f"流程不服务该公司 / the flow serves no such company: {company}")
        return self._companies[company].ledger_company

    def _currency(self, company: str) -> str:
        if self._companies is None:
            return _DEFAULT_CURRENCY
        return self._companies[company].currency if company in self._companies else _DEFAULT_CURRENCY


def _batches(sendable: Sequence[int], vouchers: Sequence[Voucher], size: int) -> Iterator[list[int]]:
    """Consecutive vouchers of one sort (reversals apart from the others), limited in vouchers and in lines."""
    batch: list[int] = []
    lines = 0
    for index in sendable:
        voucher = vouchers[index]
        same_sort = not batch or _is_reversal(vouchers[batch[0]]) == _is_reversal(voucher)
        if batch and not (same_sort and len(batch) < size and lines + len(voucher.lines) <= _LINES_A_CALL):
            yield batch
            batch, lines = [], 0
        batch.append(index)
        lines += len(voucher.lines)
    if batch:
        yield batch


def _is_reversal(voucher: Voucher) -> bool:
    return voucher.identity.kind is VoucherKind.REVERSAL


def _meaning(error: FinbridgeError) -> Outcome:
    """The outcome of a call that failed as a whole, as far as the failure itself tells."""
    outcome: Outcome = Unknown(error.staff)  # NoAnswerError, Doubtful
    if isinstance(error, NotSentError | NotLoggedIn):
        outcome = NotSent(error.staff)
    elif isinstance(error, LoginRefused):
        outcome = AuthFailed(error.staff)
    elif isinstance(error, Throttled):
        outcome = ThrottledOutcome(error.after_seconds)
    elif isinstance(error, Busy):
        outcome = Locked(error.after_seconds)
    elif isinstance(error, CallRefused):
        outcome = RefusedUnprocessed(error.staff)
    return outcome


def _after(failed: Outcome) -> Outcome:
    """What is true of a voucher that was not sent because the call before it failed."""
    if isinstance(failed, AuthFailed | ThrottledOutcome):
        return failed
    return NotSent("前一批调用失败,本批未发送 / not sent: the call before it failed")


def _trusted(batch: Sequence[Voucher], answer: Any) -> list[PostResult] | None:
    """The results, if they are one for each voucher in order; else None: then nothing in them can be believed."""
    try:
        results = _POST_RESULTS.validate_python(answer)
    except ValidationError:
        return None
    if [result.ref for result in results] != [voucher.key for voucher in batch]:
        return None
    if any(result.move is not None and result.move.ref != result.ref for result in results):
        return None
    return results


def _read_result(answer: Any) -> ReadResult:
    return _trusted_read(ReadResult, answer)


def _trusted_read(shape: type[_Shape], answer: Any) -> _Shape:
    try:
        return shape.model_validate(answer)
    except ValidationError as error:
        raise Doubtful(
            "no_trustworthy_answer",
            "财务系统的应答无法识别 / the ledger's answer proves nothing",
            f"{error.error_count()} fields of a read do not fit",
        ) from None


def _cannot_read(answer: ReadResult | MasterResult) -> GiveUp:
    if answer.code == "no_period":
        known = "财务系统没有该会计期间 / the ledger has no such accounting period"
        return GiveUp("no_period", f"{known}: {answer.detail}")
    text = "财务系统不允许读取该公司的凭证 / the ledger does not let this user read the company's vouchers"
    return GiveUp(answer.code or "refused", text, f"{text}: {answer.code} {answer.detail or ''}")
