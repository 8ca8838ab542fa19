"""Fifteen classes of failure that the strongest open peer found in its own delivery, each brought about here.

F1 to F15 are those of crbnos/carbon, `.ai/specs/2026-08-11-accounting-sync-delivery-robustness.md`. Each test makes the
situation between real processes and shows what becomes of it: it heals by itself, or it stands in a list with a reason.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from finbridge.core.errors import RetryLater
from finbridge.core.notify import Alarm
from finbridge.core.outcomes import NotSent
from finbridge.core.ports import Ledger, Source, Stage, Translator
from finbridge.flows import account, collect
from finbridge.flows.config import load_flow
from finbridge.hub import Timing, open_hub
from finbridge.mapping.yamlfile import ConfigError
from finbridge.tasks import alarms
from finbridge.tasks.watch import Seen, Watch

from tests.hub_fixtures import SECRET, HubDatabase, new_hub_database
from tests.integration.claim_world import (
    FLOW_FILE,
    LINES,
    PAYEES,
    TIMING,
    ClaimWorld,
    claim,
    row,
)
from tests.integration.peer_world import (
    PAY,
    RECALL,
    During,
    Poisoned,
    amount,
    live,
    only_collect,
    standing,
    states,
    sweep_once,
    until,
)

# ---------------------------------------------------------------- F1 - F4: what never became work


def test_f01_nothing_subscribes_so_no_subscription_can_be_missing(claim_world: ClaimWorld) -> None:
    """Peer: no event subscription, no voucher, for ever. Here no event exists at all, and one sweep posts all."""
    templates = sorted(claim_world.flow.templates)
    ids = claim_world.impose([{**claim(), "workflow_id": template} for template in templates])
    sweep_once(claim_world)
    claim_world.assert_posted_once(ids)
    claim_world.impose([{"request_id": name, **PAY} for name in ids])
    sweep_once(claim_world)
    kinds = {name: tuple(voucher["kind"] for voucher in claim_world.vouchers(name)) for name in ids}
    assert set(kinds.values()) == {("expense", "payment")}
    assert set(claim_world.flow.makes.values()) == {"expense", "payment"}, "each kind that the flow makes was shown"


def test_f02_what_no_rule_names_is_held_and_a_rule_that_nothing_feeds_is_refused(
    claim_world: ClaimWorld, tmp_path: Path
) -> None:
    """Peer: an event that matches no subscription vanishes. Here it is a hold, and the mismatch stops the flow file."""
    strange = claim()
    strange["log"].append(row("审批", "会签完毕", "10:30:00"))
    ids = claim_world.impose([strange, claim(gsdm="9999")])
    claim_world.settle(ids)
    assert [claim_world.held(name) for name in ids] == [["unknown_log_entry"], ["unknown_company"]]
    assert not any(claim_world.vouchers(name) for name in ids)
    text = FLOW_FILE.read_text(encoding="utf-8")
    rule = "    - {event: paid,      node: 付款, operation: 批准}\n"
    assert text.count(rule) == 1
    file = tmp_path / "flow.yaml"
    file.write_text(text.replace(rule, ""), encoding="utf-8")
    with pytest.raises(ConfigError, match="no log rule gives paid"):
        load_flow(file)
    watch = Watch(patience_seconds=60.0, lost_seconds=10.0)
    news = Seen(rows=frozenset({("1", "stamp")}), due=0, last_started=None)
    assert [watch.wakes(news, at) for at in (0.0, 5.0, 11.0)] == [True, False, True], "a lost wake-up heals"


def test_f03_nothing_counts_as_done_without_a_number_of_finance(claim_world: ClaimWorld) -> None:
    """Peer: a no-op is recorded as Completed. Here a success without a voucher stays in doubt, and 0.00 says so."""
    zero = claim()
    amount(zero, "0.00", "0.00")
    name, nothing = claim_world.impose([claim(), zero])
    with claim_world.finance.faults({"endpoint": "post", "fault": "error_body", "count": 1}):
        sweep_once(claim_world)
    assert not claim_world.vouchers(name)
    assert set(states(claim_world, name).values()) <= {"unknown", "ready", "sending"}
    assert standing(claim_world, [name]) == {name: "due"}
    assert claim_world.form(name)["main"]["pzh"] == ""
    claim_world.settle([name, nothing])
    claim_world.assert_posted_once([name])
    assert standing(claim_world, [name, nothing]) == {name: "posted", nothing: "nothing_to_post"}
    assert states(claim_world, nothing) == {}


def test_f04_a_change_right_after_a_look_is_seen_at_the_next(claim_world: ClaimWorld) -> None:
    """Peer: within 60 s of one event the next is swallowed. Here the OA's clock does not even move in between."""
    draft = {**claim(), "log": [row("起草", "提交")]}
    (name,) = claim_world.oa.control("POST", "/impose", {"items": [draft]})["request_ids"]
    sweep_once(claim_world)
    assert standing(claim_world, [name]) == {name: "not_approved"}
    approved = {"request_id": name, "log": [row("审批", "批准")]}  # at the same node: no stamp tells it
    claim_world.oa.control("POST", "/impose", {"items": [approved]})
    claim_world.settle([name])
    claim_world.assert_posted_once([name])


# ---------------------------------------------------------------- F5 - F7: order, and what happens meanwhile


def test_f05_an_approval_before_its_content_waits_for_it(claim_world: ClaimWorld) -> None:
    """Peer: the bill drained before its journal was posted. Here lines and payees come after the approval."""
    whole = claim()
    early = {**whole, "details": {LINES: [], PAYEES: []}}
    name, paid = claim_world.impose([early, {**claim(), **PAY, "log": [*claim()["log"], *PAY["log"]]}])
    claim_world.settle([name, paid])
    assert claim_world.held(name), "named, not done"
    assert not claim_world.vouchers(name)
    assert [voucher["kind"] for voucher in claim_world.vouchers(paid)] == ["expense", "payment"], "in this order"
    claim_world.impose([{"request_id": name, "main": whole["main"], "details": whole["details"]}])
    claim_world.settle([name])
    claim_world.assert_posted_once([name])
    assert claim_world.held(name) == []


def test_f06_what_failed_is_driven_again_by_time_and_by_a_person(claim_world: ClaimWorld) -> None:
    """Peer: Failed is terminal, Retry only flips a flag. Here the next sweep sends, and nobody has to remember."""
    ids = claim_world.impose([claim() for _ in range(3)])
    faults = ("http_503", "locked", "period_closes")
    rules: list[dict[str, object]] = [{"endpoint": "post", "fault": fault, "count": 1} for fault in faults]
    patient = claim_world.hub
    with open_hub(claim_world.hub_dsn, secret=SECRET, timing=replace(TIMING, period_seconds=0.5)) as hasty:
        claim_world.hub = hasty
        try:
            with claim_world.finance.faults(*rules):
                until(claim_world, lambda: [claim_world.held(n) for n in ids] == [["period_closed"]] * 3)
            claim_world.finance.control("POST", "/periods", {"company": "1000", "period": "2026-11", "open": True})
            claim_world.settle(ids)
        finally:
            claim_world.hub = patient
    claim_world.assert_posted_once(ids)
    (refused,) = claim_world.impose([claim()])
    with claim_world.finance.faults({"endpoint": "post", "fault": "rejected", "code": "vendor_blocked"}):
        claim_world.settle([refused])
    assert claim_world.held(refused) == ["rejected"]
    claim_world.hub.retry(claim_world.flow.flow_id, [refused], actor="a person")
    claim_world.settle([refused])
    claim_world.assert_posted_once([refused])


def test_f07_a_change_while_a_voucher_is_on_its_way_is_not_absorbed(claim_world: ClaimWorld) -> None:
    """Peer: news for an operation in flight is merged into it. Here the recall comes in between and is reversed."""
    (name,) = claim_world.impose([claim()])

    def meddle(source: Source, ledger: Ledger) -> tuple[Source, Ledger]:
        async def recalled() -> None:
            claim_world.impose([{"request_id": name, **RECALL}])
            flow, hub, translator = claim_world.flow, claim_world.hub, claim_world.translator
            await collect(flow=flow, hub=hub, source=source, translator=translator, worker="another")

        return source, cast("Ledger", During(ledger, recalled))

    sweep_once(claim_world, meddle)
    assert claim_world.form(name)["main"]["pzh"] == "", "not written onto a form that was taken back"
    claim_world.settle([name])
    assert [voucher["kind"] for voucher in claim_world.vouchers(name)] == ["expense", "reversal"]
    assert live(claim_world, name) == []


# ---------------------------------------------------------------- F8 - F11: what is lost on the way


def test_f08_poison_stops_nobody_else_and_what_a_dead_worker_took_comes_back(claim_world: ClaimWorld) -> None:
    """Peer: one bad message crash-loops the queue; a message taken and not handled is gone."""
    ids = claim_world.impose([claim() for _ in range(4)])
    healthy = claim_world.translator
    claim_world.translator = cast("Translator", Poisoned(healthy, ids[1]))
    try:
        claim_world.settle(ids)
    finally:
        claim_world.translator = healthy
    claim_world.assert_posted_once([ids[0], *ids[2:]])
    assert claim_world.held(ids[1]) == ["translation_failed"]
    claim_world.hub.retry(claim_world.flow.flow_id, [ids[1]], actor="a person")
    claim_world.settle([ids[1]])
    claim_world.assert_posted_once([ids[1]])
    (taken,) = claim_world.impose([claim()])
    asyncio.run(only_collect(claim_world))
    flow_id = claim_world.flow.flow_id
    (work,) = claim_world.hub.claim(flow_id, Stage.PLAN, "dead", 10, 0.5, only=[taken])
    assert work.lease.document_id == taken
    claim_world.settle([taken])
    claim_world.assert_posted_once([taken])


def test_f09_everything_that_was_read_stands_somewhere(claim_world: ClaimWorld) -> None:
    """Peer: skips leave no row. Here each fate is a row, they add up, and what cannot be read is not consumed."""
    zero, bad = claim(), claim(hdje="1,106.00")
    amount(zero, "0.00", "0.00")
    fates = {
        "posted": claim(),
        "held": bad,
        "nothing_to_post": zero,
        "not_approved": {**claim(), "node": "起草", "log": [row("起草", "提交")]},
    }
    with claim_world.oa.faults({"endpoint": "getWorkflowRequest", "fault": "http_504", "count": 200}):
        ids = claim_world.impose(list(fates.values()))
        with pytest.raises(RetryLater):
            sweep_once(claim_world)
    assert standing(claim_world, ids) == {}, "not read, not consumed"
    claim_world.settle(ids)
    assert standing(claim_world, ids) == dict(zip(ids, fates, strict=True))
    found = account(flow=claim_world.flow, hub=claim_world.hub)
    rows = Counter(r["standing"] for r in claim_world.hub.document_rows(claim_world.flow.flow_id))
    assert found.green and dict(found.documents_by_state) == dict(rows)
    assert found.documents == sum(rows.values())


def test_f10_a_crash_between_finance_and_register_makes_no_second_voucher(claim_world: ClaimWorld) -> None:
    """Peer: crash before the link, changed payload, second document. Here the key is that of the approval."""
    item = claim()
    (name,) = claim_world.impose([item])

    class Crash(BaseException):
        """As a kill between the answer and its being stored."""

    async def dies() -> None:
        raise Crash

    with pytest.raises(Crash):
        sweep_once(claim_world, lambda source, ledger: (source, cast("Ledger", During(ledger, dies))))
    (posted,) = claim_world.vouchers(name)
    claim_world.impose([{"request_id": name, **amount(item, "53.00", "3.00")}])
    claim_world.settle([name])
    vouchers = claim_world.vouchers(name)
    assert len({voucher["key"] for voucher in vouchers}) == len(vouchers)
    assert [v["key"] for v in vouchers if v["kind"] == "expense"].count(posted["key"]) == 1
    assert len(live(claim_world, name)) == 1, "one live voucher, whatever became of the change"
    assert claim_world.held(name) or live(claim_world, name) != [posted], "and the change is not silent"


def test_f11_a_ledger_of_operations_that_is_lost_is_rebuilt_by_a_sweep(
    claim_world: ClaimWorld, hub_database: HubDatabase
) -> None:
    """Peer: no backstop for what has no row. Here the whole hub is empty, and nothing is lost or doubled."""
    (posted,) = claim_world.impose([claim()])
    claim_world.settle([posted])
    (waiting,) = claim_world.impose([claim()])
    with claim_world.finance.faults({"endpoint": "post", "fault": "rejected", "code": "vendor_blocked"}):
        claim_world.settle([waiting])
    claim_world.impose([{"request_id": posted, **PAY}])
    before = claim_world.vouchers(posted)
    database = new_hub_database(hub_database.server)
    other = ClaimWorld(
        oa=claim_world.oa,
        finance=claim_world.finance,
        hub_dsn=database.app_dsn,
        judge=claim_world.judge,
        flow=claim_world.flow,
    )
    try:
        other.settle([posted, waiting], seconds=90)
        assert other.hub.account(other.flow.flow_id).unexplained == ()
    finally:
        other.close()
        # the new hub registered with the OA, which ended the old one's registration
        claim_world.hub.tokens.forget(f"weaver|http://127.0.0.1:{claim_world.oa.port}|finbridge|registration")
    assert [v["kind"] for v in claim_world.vouchers(posted)] == ["expense", "payment"]
    assert claim_world.vouchers(posted)[:1] == before, "found again by its key, not made again"
    assert [v["kind"] for v in claim_world.vouchers(waiting)] == ["expense"]
    hub_database.server.drop_database(database.name)


# ---------------------------------------------------------------- F12 - F15


def test_f12_what_a_person_must_mend_is_an_alarm_told_once_and_closed(
    claim_world: ClaimWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Peer: no alert. Here the error of a sweep becomes one alarm, told when it opens and when it ends."""
    flow_id = claim_world.flow.flow_id
    told: list[tuple[str, bool]] = []

    def robot(alarm: Alarm) -> bool:
        told.append((alarm.cause, alarm.closed_at is not None))
        return True

    monkeypatch.setattr(alarms, "_hub", lambda _: open_hub(claim_world.hub_dsn, secret=SECRET, timing=TIMING))
    monkeypatch.setattr(alarms, "tell", lambda hub: hub.alarms.tell(robot))
    task = SimpleNamespace(dag_id=f"{flow_id}__sweep", run_id="r", task_id="account")
    with claim_world.oa.faults({"endpoint": "*", "fault": "http_504", "count": 200}):
        for _ in range(3):
            with pytest.raises(RetryLater) as caught:
                sweep_once(claim_world)
            alarms.on_failure(cast("Any", {"ti": task, "exception": caught.value, "params": {}}))
    assert told == [(caught.value.code, False)], "three failures, one message"
    sweep_once(claim_world)
    alarms.on_success(cast("Any", {"ti": task, "params": {}}))
    assert told == [(caught.value.code, False), (caught.value.code, True)]


def test_f13_our_own_writing_hides_nobody_elses_change(claim_world: ClaimWorld) -> None:
    """Peer: a flag set while the sync writes silences every other consumer. Here nothing is silenced at all."""
    name, other = claim_world.impose([claim(), claim()])
    sweep_once(claim_world)
    claim_world.assert_posted_once([name, other])
    sweep_once(claim_world)  # our own write is read again, and is no news
    recalled = {"request_id": name, "log": RECALL["log"]}  # in that very second, at the same node
    claim_world.oa.control("POST", "/impose", {"items": [recalled]})
    claim_world.impose([])
    claim_world.settle([name, other])
    assert [voucher["kind"] for voucher in claim_world.vouchers(name)] == ["expense", "reversal"]
    assert len(claim_world.vouchers(other)) == 1, "our own write-back is no version"
    known = claim_world.hub.views.document(claim_world.flow.flow_id, name)
    assert known is not None
    states_of_trail = {step["to_state"] for step in known["trail"]}
    assert {"posted", "written_back", "reversing", "reversed"} <= states_of_trail, "and all of it is in the trail"


def test_f14_a_batch_over_two_companies_is_posted_whole(claim_world: ClaimWorld) -> None:
    """Peer: the batch takes its company from one row. Here each document keeps its own, in one sweep."""
    companies = ["1000", "2000", "1000", "2000", "2000"]
    ids = claim_world.impose([claim(gsdm=company) for company in companies])
    sweep_once(claim_world)
    claim_world.assert_posted_once(ids)
    assert [claim_world.vouchers(name)[0]["company"] for name in ids] == companies


def test_f15_tries_are_spaced_and_one_refusal_in_a_batch_keeps_its_reason_and_harms_nobody(
    claim_world: ClaimWorld,
) -> None:
    """Peer: attempts without bound, answers taken for another's, a structured refusal flattened for the batch."""
    timing, at, tries = Timing(), datetime(2026, 11, 20, tzinfo=UTC), 0
    day_later = at + timedelta(days=1)
    while at < day_later:
        tries += 1
        at = timing.put_off(at, NotSent("away"), tries)
    assert tries < 300, "a day of failures is no storm"
    ids = claim_world.impose([claim() for _ in range(4)])

    refusal = {"endpoint": "post", "fault": "rejected", "code": "vendor_blocked", "items": 1, "count": 1}
    with claim_world.finance.faults(refusal):
        claim_world.settle(ids)
    (held,) = [name for name in ids if claim_world.held(name)]
    assert claim_world.held(held) == ["rejected"] and not claim_world.vouchers(held)
    assert "vendor_blocked" in claim_world.form(held)["main"]["jzxx"]
    claim_world.assert_posted_once([name for name in ids if name != held])
    more = claim_world.impose([claim() for _ in range(4)])
    partial = {"endpoint": "post", "fault": "partial_batch", "done": 2, "then": "short", "count": 1}
    with claim_world.finance.faults(partial):
        claim_world.settle(more)
        assert claim_world.finance.control("GET", "/faults")[0]["shown"] == 1
    claim_world.assert_posted_once(more)
