"""The hub's cost: one indexed query for what is due, and statements that do not grow with the rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import pytest
from finbridge.core.documents import DocumentRef
from finbridge.core.ports import Sent, Stage, WriteBackRecord, WriteBackResult
from finbridge.hub.work import DUE

from tests.hub_fixtures import HubDatabase
from tests.hub_world import PAID, World, document, problem_of

T = TypeVar("T")
FILL = """
INSERT INTO hub.document (flow_id, document_id, template, stamp, settled, company, business_number, content,
                          planned_revision, stage, due_at)
SELECT 'due', 'D' || n, '101', 's', true, '1000', 'BX' || n, 'c', 1,
       CASE WHEN n % 100 = 0 THEN CASE WHEN n % 200 = 0 THEN 'plan' ELSE 'deliver' END END,
       CASE WHEN n % 100 = 0 THEN CASE WHEN n % 400 = 0 THEN now() + interval '1 hour' ELSE now() END END
FROM generate_series(1, 100000) n
"""


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


@pytest.mark.parametrize("analyzed", [False, True], ids=["just filled", "analyzed"])
def test_what_is_due_is_one_indexed_query(hub_database: HubDatabase, analyzed: bool) -> None:
    server, name = hub_database.server, hub_database.name
    server.execute(name, "DELETE FROM hub.document WHERE flow_id = 'due'")
    server.execute(name, FILL)
    if analyzed:
        server.execute(name, "ANALYZE hub.document")
    with psycopg.connect(hub_database.app_dsn) as connection:
        assert dict(connection.execute(DUE, ["due"]).fetchall()) == {"plan": 250, "deliver": 500}
        explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {DUE}".encode(), ["due"]).fetchone()
    assert explained is not None
    nodes = list(_nodes(explained[0][0]["Plan"]))
    scans = {node["Node Type"]: node.get("Index Name") for node in nodes if "Scan" in node["Node Type"]}
    assert "document_due" in scans.values(), json.dumps(explained[0], indent=1)
    assert "Seq Scan" not in scans
    looked_at = max(node["Actual Rows"] + node.get("Rows Removed by Filter", 0) for node in nodes)
    assert looked_at <= 750, "only what is due is looked at"


@contextmanager
def _counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Count what goes to the server: each statement and each COPY is one."""
    seen: Counter[str] = Counter()
    execute, copy = psycopg.Cursor.execute, psycopg.Cursor.copy

    def counting_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen["execute"] += 1
        return execute(self, *args, **kwargs)

    def counting_copy(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen["copy"] += 1
        return copy(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", counting_execute)
        patch.setattr(psycopg.Cursor, "copy", counting_copy)
        yield seen


def _life(world: World, size: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Statements of each method on ``size`` documents that live through everything."""
    hub, flow = world.hub, world.flow
    counts: dict[str, int] = {}

    def counted(name: str, call: Callable[[], T]) -> T:
        with _counted(monkeypatch) as seen:
            result = call()
        counts[name] = seen.total()
        return result

    documents = [document(f"{size}-{number}", *PAID) for number in range(size)]
    counted("store", lambda: hub.store(flow, documents))
    refs = [DocumentRef(d.document_id, d.template, d.stamp) for d in documents]
    counted("unseen", lambda: hub.unseen(flow, refs))
    works = counted("claim", lambda: hub.claim(flow, Stage.PLAN, "w1", size, 60.0))
    plans = [world.plan(work) for work in works]
    counted("save_plans", lambda: hub.save_plans(flow, plans))
    leases = world.leases(Stage.DELIVER)
    items = counted("deliverables", lambda: hub.deliverables(flow, leases))
    assert len(items) == size
    attempts = counted("mark_sending", lambda: hub.mark_sending({i.voucher.key: i.lease for i in items}))
    results = [
        Sent(
            lease=i.lease,
            key=i.voucher.key,
            attempt_id=attempts[i.voucher.key],
            outcome=world.finance.post(i.voucher),
        )
        for i in items
    ]
    counted("record", lambda: hub.record(flow, results))
    counted("renew", lambda: hub.renew(leases, 60.0))
    counted("release", lambda: hub.release(flow, leases))
    while world.deliver():
        pass
    leases = world.leases(Stage.WRITE_BACK)
    forms = counted("write_backs", lambda: hub.write_backs(flow, leases))
    assert len(forms) == size
    records = [WriteBackRecord(lease=i.lease, keys=i.keys, result=WriteBackResult.SAVED, verified=True) for i in forms]
    counted("record_write_backs", lambda: hub.record_write_backs(flow, records))
    hub.release(flow, leases)
    return counts


def test_statements_do_not_grow_with_the_rows(hub_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_world.hub.due(hub_world.flow)  # the first use in a process asks for the schema's revision, once
    few = _life(hub_world, 2, monkeypatch)
    many = _life(hub_world, 120, monkeypatch)
    assert few == many
    assert len(few) == 11
    assert max(few.values()) <= 16, few


def test_holding_many_takes_as_many_statements_as_holding_few(
    hub_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    for size in (2, 60):
        names = [f"{size}-{number}" for number in range(size)]
        hub_world.store(*(document(name, *PAID) for name in names))
        works = hub_world.claim(Stage.PLAN)
        plans = [hub_world.hold(work, problem_of(work.lease.document_id)) for work in works]
        with _counted(monkeypatch) as seen:
            hub_world.hub.save_plans(hub_world.flow, plans)
        counts.append(seen.total())
    assert counts[0] == counts[1]
    assert hub_world.hub.account(hub_world.flow).held == {"unknown_code": 62}
