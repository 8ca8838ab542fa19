"""A corrected target reaches every voucher that is not sent yet, and none that finance has or may have."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date

import psycopg
from finbridge.core.codes import difference
from finbridge.core.outcomes import PeriodClosed, Unknown
from finbridge.core.ports import CodeRow, DocumentWork, Planned, Sent, Stage
from finbridge.core.vouchers import Voucher
from finbridge.hub.codes import lock_tables

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, PAID, World, document, planned

OLD, NEW = "660201", "660299"
TABLE = "expense_account"


def row(target: str, *, company: str = "", start: date = date(2026, 1, 1), end: date | None = None) -> CodeRow:
    return CodeRow(table=TABLE, company=company, code="TRAVEL", target=target, valid_from=start, valid_to=end)


def load(world: World, *rows: CodeRow) -> None:
    world.hub.load_codes(world.flow, rows, maker="wang", checker="li")


def under(codes: Sequence[CodeRow]) -> Callable[[DocumentWork, str], Planned]:
    """Plans whose expense goes to the account that these codes name."""
    target = {found.company: found.target for found in codes}

    def decide(work: DocumentWork, source: str) -> Planned:
        plan = planned(work, source)
        account = target.get(work.company, target.get("", ""))
        return replace(plan, vouchers=tuple(_on(account, voucher) for voucher in plan.vouchers))

    return decide


def _on(account: str, voucher: Voucher) -> Voucher:
    return replace(voucher, lines=tuple(replace(x, account=account) if x.account == OLD else x for x in voucher.lines))


def check(world: World) -> None:
    """Plan everything that is due under the codes as they stand now."""
    while works := world.claim(Stage.PLAN):
        decide = under(world.hub.codes(world.flow))
        world.hub.save_plans(world.flow, [decide(work, world.source) for work in works])


def accounts(database: HubDatabase, flow: str) -> dict[str, tuple[str, str, str]]:
    """Expense vouchers by document: key, state, account of the first line."""
    rows = database.server.execute(
        database.name,
        "SELECT v.document_id, v.key, v.state, l.account FROM hub.voucher v JOIN hub.voucher_line l USING (key) "
        "WHERE v.flow_id = %s AND v.kind = 'expense' AND l.line_no = 1",
        [flow],
    )
    return {name: (key, state, account) for name, key, state, account in rows}


def row_versions(database: HubDatabase, flow: str) -> dict[str, str]:
    rows = database.server.execute(
        database.name, "SELECT document_id, xmin::text FROM hub.voucher WHERE flow_id = %s", [flow]
    )
    return dict(rows)


def deliver_some(world: World, answers: dict[str, object]) -> None:
    """One round of delivery: the documents named get these outcomes, the others stay ready."""
    leases = world.leases(Stage.DELIVER)
    items = world.hub.deliverables(world.flow, [lease for lease in leases if lease.document_id in answers])
    world.send(items, lambda v: answers[v.identity.document_id] or world.finance.post(v))  # type: ignore[return-value,arg-type]  # None posts
    world.hub.release(world.flow, leases)


def test_what_is_not_sent_is_rebuilt_and_what_finance_may_have_is_not_touched(
    hub_world: World, hub_database: HubDatabase
) -> None:
    flow = hub_world.flow
    load(hub_world, row(OLD))
    for name, answer in (("posted", None), ("closed", PeriodClosed("2026-03")), ("doubt", Unknown("504"))):
        hub_world.store(document(name, *APPROVED))
        check(hub_world)
        deliver_some(hub_world, {name: answer})
    hub_world.store(document("ready", *APPROVED), document("other", *APPROVED, company="2000"))
    check(hub_world)
    before, versions = accounts(hub_database, flow), row_versions(hub_database, flow)
    assert {name: state for name, (_, state, _) in before.items()} == {
        "posted": "posted",
        "closed": "waiting_period",
        "doubt": "unknown",
        "ready": "ready",
        "other": "ready",
    }

    load(hub_world, row(OLD), row(NEW, company="1000"))
    check(hub_world)
    after = accounts(hub_database, flow)
    key = {name: found[0] for name, found in before.items()}
    assert after == {
        "posted": (key["posted"], "posted", OLD),
        "closed": (key["closed"], "ready", NEW),
        "doubt": (key["doubt"], "unknown", OLD),
        "ready": (key["ready"], "ready", NEW),
        "other": (key["other"], "ready", OLD),
    }
    touched = {name for name, version in row_versions(hub_database, flow).items() if version != versions[name]}
    assert touched == {"closed", "ready"}
    trail = hub_database.server.execute(
        hub_database.name,
        "SELECT document_id, reason FROM hub.trail WHERE flow_id = %s AND action = 'rebuilt' ORDER BY 1",
        [flow],
    )
    assert [name for name, _ in trail] == ["closed", "ready"] and all("codes or mapping" in why for _, why in trail)

    # finance never got the one in doubt: now it is an unsent voucher like any other
    hub_database.server.execute(
        hub_database.name,
        "UPDATE hub.document SET due_at = now() WHERE flow_id = %s AND document_id = 'doubt'",
        [flow],
    )
    leases = hub_world.leases(Stage.DELIVER)
    found = [item for item in hub_world.hub.deliverables(flow, leases) if item.lease.document_id == "doubt"]
    hub_world.hub.record(
        flow,
        [Sent(lease=i.lease, key=i.voucher.key, attempt_id="", outcome=None, not_found=True) for i in found],
    )
    hub_world.hub.release(flow, leases)
    check(hub_world)
    assert accounts(hub_database, flow)["doubt"] == (key["doubt"], "ready", NEW)


def test_what_comes_out_the_same_stays_as_it_is(hub_world: World, hub_database: HubDatabase) -> None:
    """Another code of the table is corrected: the vouchers are looked at, none is written, a waiting one waits on."""
    other = replace(row("1"), code="OTHER")
    load(hub_world, row(OLD), other)
    hub_world.store(document("closed", *APPROVED), document("ready", *PAID))
    check(hub_world)
    deliver_some(hub_world, {"closed": PeriodClosed("2026-03")})
    versions = row_versions(hub_database, hub_world.flow)
    load(hub_world, replace(other, target="2"))
    assert hub_world.due()["plan"] == 2
    works = hub_world.claim(Stage.PLAN)
    hub_world.hub.save_plans(hub_world.flow, [under([row(OLD)])(work, hub_world.source) for work in works])
    assert row_versions(hub_database, hub_world.flow) == versions
    assert hub_world.states("closed") == {"expense:2": "waiting_period"} and hub_world.holds("closed")


def test_a_worker_that_holds_the_plan_cannot_leave_the_old_code(hub_world: World, hub_database: HubDatabase) -> None:
    """It read the codes; they are corrected; it stores what it translated: that is never sent."""
    load(hub_world, row(OLD))
    hub_world.store(document("1", *APPROVED))
    works = hub_world.claim(Stage.PLAN, seconds=0.0)  # even where its lease ran out and nobody took it over
    codes = hub_world.hub.codes(hub_world.flow)
    load(hub_world, row(NEW))
    assert len(hub_world.hub.save_plans(hub_world.flow, [under(codes)(w, hub_world.source) for w in works])) == 1
    assert accounts(hub_database, hub_world.flow)["1"][2] == OLD
    assert hub_world.due() == {"plan": 1}, "news is planned before anything is sent"
    check(hub_world)
    assert accounts(hub_database, hub_world.flow)["1"][2] == NEW
    hub_world.deliver()
    assert [entry.content for entry in hub_world.finance.posted.values()] and hub_world.states("1") == {
        "expense:2": "posted"
    }


def test_a_worker_that_is_about_to_send_sends_nothing(hub_world: World, hub_database: HubDatabase) -> None:
    """Between the offer and the mark the code is corrected; after the mark the voucher is finance's."""
    load(hub_world, row(OLD))
    hub_world.store(document("offered", *APPROVED), document("marked", *APPROVED))
    check(hub_world)
    leases = hub_world.leases(Stage.DELIVER)
    items = {item.lease.document_id: item for item in hub_world.hub.deliverables(hub_world.flow, leases)}
    marked, offered = items["marked"], items["offered"]
    attempts = hub_world.hub.mark_sending({marked.voucher.key: marked.lease})
    load(hub_world, row(NEW))
    assert hub_world.hub.mark_sending({offered.voucher.key: offered.lease}) == {}
    hub_world.hub.record(
        hub_world.flow,
        [
            Sent(
                lease=marked.lease,
                key=marked.voucher.key,
                attempt_id=attempts[marked.voucher.key],
                outcome=hub_world.finance.post(marked.voucher),
            )
        ],
    )
    hub_world.hub.release(hub_world.flow, leases)
    check(hub_world)
    found = accounts(hub_database, hub_world.flow)
    assert found["marked"][1:] == ("posted", OLD) and found["offered"][1:] == ("ready", NEW)


def test_planning_and_correcting_at_once_leave_no_old_code_unsent(hub_world: World, hub_database: HubDatabase) -> None:
    """Workers plan batch after batch while the code changes again and again: whoever is first, the last one counts."""
    load(hub_world, row(OLD))
    names = [f"{n:03}" for n in range(60)]
    hub_world.store(*(document(name, *APPROVED) for name in names))
    begin = threading.Barrier(3)
    targets = [f"6602{n:02}" for n in range(50, 60)]

    def plan(worker: str) -> None:
        begin.wait()
        while works := hub_world.claim(Stage.PLAN, worker, limit=4):
            decide = under(hub_world.hub.codes(hub_world.flow))
            hub_world.hub.save_plans(hub_world.flow, [decide(work, hub_world.source) for work in works])

    def correct() -> None:
        begin.wait()
        for target in targets:
            load(hub_world, row(target))

    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(plan, "w1"), pool.submit(plan, "w2"), pool.submit(correct)]:
            done.result(timeout=120)
    check(hub_world)
    assert {account for _, _, account in accounts(hub_database, hub_world.flow).values()} == {targets[-1]}
    assert len(accounts(hub_database, hub_world.flow)) == len(names)


def test_what_was_posted_under_the_old_code_is_listed(hub_world: World, hub_database: HubDatabase) -> None:
    hub, flow = hub_world.hub, hub_world.flow
    load(hub_world, row(OLD))
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED, company="2000"), document("3", *APPROVED))
    check(hub_world)
    deliver_some(hub_world, {"1": None, "2": None})
    rows = [row(OLD, end=date(2026, 3, 2)), row(NEW, start=date(2026, 3, 2))]
    later = [row(OLD, end=date(2027, 1, 1)), row(NEW, start=date(2027, 1, 1))]
    only = [row(NEW, company="2000")]
    same = [replace(row("1"), code="OTHER")]
    listed = []
    for wanted in (rows, later, only, [row(NEW)], same):
        made = hub.proposals.propose(flow, difference(hub.codes(flow), wanted), maker="wang")
        listed.append([(p.document_id, p.company, p.state, p.targets) for p in hub.proposals.posted(made.proposal_id)])
    both = [("1", "1000", "posted", OLD), ("2", "2000", "posted", OLD)]
    assert listed == [both, [], both[1:], both, []]
    before = row_versions(hub_database, flow)
    first = min(p.proposal_id for p in hub.proposals.proposals(flow))
    hub.proposals.approve(first, checker="li")
    check(hub_world)
    after = row_versions(hub_database, flow)
    assert {name for name in after if after[name] != before[name]} == {"3"}
    deliver_some(hub_world, {"3": None})
    assert [(p.document_id, p.finance_number) for p in hub.proposals.posted(first)] == [
        ("1", hub_world.finance.posted[hub_world.keys("1")["expense"]].number),
        ("2", hub_world.finance.posted[hub_world.keys("2")["expense"]].number),
    ], "what went out after the correction is right"


def test_a_claim_waits_for_a_correction_under_way(hub_world: World, hub_database: HubDatabase) -> None:
    """Else it could be too young for the correction to see it, and read the codes before they are stored."""
    hub_world.store(document("1", *APPROVED))
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(hub_database.app_dsn) as connection,
        psycopg.connect(hub_database.app_dsn, autocommit=True) as watching,
    ):
        lock_tables(connection.cursor(), hub_world.flow)
        claimed = pool.submit(hub_world.claim, Stage.PLAN)
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while not claimed.done() and watching.execute(waiting).fetchone() == (0,):
            pass
        assert not claimed.done()
        connection.commit()
        assert len(claimed.result(timeout=30)) == 1
