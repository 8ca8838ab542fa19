"""Decisions on the hub: what is refused leaves nothing behind, two at once are one, and a reason names nobody."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from threading import Barrier

import pytest
from finbridge.core.decisions import Choice, Decided, Decision
from finbridge.core.differences import differences, in_words
from finbridge.core.errors import GiveUp
from finbridge.core.month_lines import BookedLine, lines_text
from finbridge.core.outcomes import Conflict, LedgerEntry, TakenBack
from finbridge.core.ports import Stage
from finbridge.core.vouchers import Voucher

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, REJECTED, World, document

_BACK = TakenBack("记-9", date(2026, 3, 9), "2026-03")


def _shown(voucher: Voucher) -> LedgerEntry:
    """Finance's view of a voucher that it holds."""
    return LedgerEntry(
        key=voucher.key,
        company=voucher.identity.company,
        number="记-7",
        finance_id="F7",
        posting_date=voucher.posting_date,
        content=voucher.content,
        lines=lines_text(
            BookedLine(
                account=line.account,
                side=line.side.value,
                local_minor=line.local_amount_minor,
                party=line.party or "",
                currency=line.currency,
                amount_minor=line.amount_minor,
                dimensions=dict(line.dimensions),
            )
            for line in voucher.lines
        ),
    )


def _other(sent: Voucher) -> LedgerEntry:
    """Finance holds a tenth of it."""
    lines = [
        replace(line, amount_minor=line.amount_minor // 10, local_amount_minor=line.local_amount_minor // 10)
        for line in sent.lines
    ]
    return _shown(replace(sent, lines=tuple(lines)))


def _conflict(world: World) -> LedgerEntry:
    """A document in conflict; what finance holds."""
    world.store(document("1", *APPROVED))
    world.check()
    held: list[LedgerEntry] = []

    def answer(sent: Voucher) -> Conflict:
        held.append(_other(sent))
        return Conflict(held[0], in_words(differences(sent, held[0])))

    world.deliver(answer)
    assert world.states("1") == {"expense:2": "needs_human"}
    return held[0]


def _say(world: World, choice: Choice, held: LedgerEntry | None, *, by: str = "li", why: str = "checked") -> Decided:
    key = world.keys("1")["expense"]
    decision = Decision(key=key, choice=choice, person=by, reason=why, held=held)
    return world.hub.decisions.decide(world.flow, decision)


def _decided(database: HubDatabase, world: World) -> Sequence[tuple[str, ...]]:
    return database.server.execute(
        database.name,
        "SELECT actor, action, reason FROM hub.trail WHERE flow_id = %s "
        "AND action IN ('accepted_as_held', 'look_again', 'taken_back') ORDER BY trail_id",
        [world.flow],
    )


@pytest.mark.parametrize(
    ("choice", "code", "change"),
    [
        (Choice.ACCEPT, "nothing_held", None),
        (Choice.ACCEPT, "held_as_draft", {"posted": False}),
        (Choice.ACCEPT, "held_taken_back", {"taken_back": (_BACK,)}),
        (Choice.ACCEPT, "finding_changed", {"posting_date": date(2026, 3, 30)}),
        (Choice.REVERSED, "nothing_held", None),
        (Choice.REVERSED, "not_taken_back", {}),
        (Choice.REVERSED, "not_taken_back", {"taken_back": (replace(_BACK, posted=False),)}),
    ],
)
def test_what_finance_does_not_bear_out_is_refused_and_leaves_nothing(
    hub_world: World, hub_database: HubDatabase, choice: Choice, code: str, change: dict[str, object] | None
) -> None:
    held = _conflict(hub_world)
    shown = None if change is None else replace(held, **change)  # type: ignore[arg-type]  # names are its fields
    with pytest.raises(GiveUp) as refused:
        _say(hub_world, choice, shown)
    assert refused.value.code == code and " / " in refused.value.staff
    assert hub_world.states("1") == {"expense:2": "needs_human"} and hub_world.holds("1") == ["conflict"]
    assert not _decided(hub_database, hub_world) and hub_world.due() == {}


def test_lines_that_finance_does_not_show_cannot_be_accepted(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED))
    hub_world.check()
    hub_world.deliver(
        lambda sent: Conflict(blind := replace(_other(sent), lines=""), in_words(differences(sent, blind)))
    )
    sent = hub_world.hub.decisions.voucher(hub_world.flow, hub_world.keys("1")["expense"])
    with pytest.raises(GiveUp, match="held_not_readable"):
        _say(hub_world, Choice.ACCEPT, replace(_other(sent), lines=""))


def test_while_a_worker_is_at_the_document_nobody_decides(hub_world: World) -> None:
    held = _conflict(hub_world)
    hub_world.hub.retry(hub_world.flow, ["1"], actor="li")
    (work,) = hub_world.claim(Stage.PLAN)
    with pytest.raises(GiveUp, match="document_busy"):
        _say(hub_world, Choice.ACCEPT, held)
    hub_world.hub.save_plans(hub_world.flow, [hub_world.plan(work)])
    assert not _say(hub_world, Choice.ACCEPT, held).again


def test_two_at_once_are_one_decision(hub_world: World, hub_database: HubDatabase) -> None:
    held = _conflict(hub_world)
    gate = Barrier(2)

    def say(by: str, choice: Choice) -> str:
        gate.wait(10)
        try:
            return "again" if _say(hub_world, choice, held, by=by).again else "done"
        except GiveUp as error:
            return error.code

    with ThreadPoolExecutor(2) as both:
        said = list(both.map(say, ("li", "zhou"), (Choice.ACCEPT, Choice.ACCEPT)))
    assert sorted(said) == ["again", "done"] and len(_decided(hub_database, hub_world)) == 1
    with pytest.raises(GiveUp, match="decision_stale"):
        _say(hub_world, Choice.LOOK_AGAIN, held)


def test_a_reason_keeps_no_personal_value(hub_world: World, hub_database: HubDatabase) -> None:
    held = _conflict(hub_world)
    _say(hub_world, Choice.LOOK_AGAIN, held, why="张三丰 called, account 6222020200001111")
    assert _decided(hub_database, hub_world) == [("li", "look_again", "*** called, account ***")]
    assert hub_world.states("1") == {"expense:2": "unknown"}


def test_an_accepted_voucher_is_taken_back_as_finance_holds_it(hub_world: World) -> None:
    held = _conflict(hub_world)
    _say(hub_world, Choice.ACCEPT, held)
    hub_world.check()
    assert hub_world.write_back() == ["记-7"]
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "reversed", "reversal": "posted"}
    amounts = {row["kind"]: row["debit_minor"] for row in hub_world.hub.register_rows(hub_world.flow)}
    assert amounts == {"expense": 1000, "reversal": -1000}


def test_an_approval_lost_while_a_person_thinks_is_reversed_after_their_word(hub_world: World) -> None:
    held = _conflict(hub_world)
    hub_world.store(document("1", *REJECTED))
    hub_world.check()
    assert hub_world.states("1") == {"expense:2": "needs_human"}, "nobody knows yet what is in the books"
    _say(hub_world, Choice.ACCEPT, held)
    hub_world.check()
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "reversed", "reversal": "posted"}
