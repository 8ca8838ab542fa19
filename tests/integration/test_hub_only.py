"""A claim of named documents: one indexed statement, also of tens of thousands, and nothing else is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
from finbridge.core.ports import Stage
from finbridge.hub.work import CLAIM_ONLY

from tests.hub_fixtures import HubDatabase
from tests.hub_world import PAID, World, document

MANY = 40_000
FILL = """
INSERT INTO hub.document (flow_id, document_id, template, stamp, settled, company, business_number, content,
                          planned_revision, stage, due_at)
SELECT 'only', 'O' || n, '101', 's', true, '1000', 'BX' || n, 'c', 1,
       CASE WHEN n % 20 = 0 THEN 'plan' END, CASE WHEN n % 20 = 0 THEN now() END
FROM generate_series(1, 100000) n
"""
VERSIONS = "SELECT document_id, xmin::text, ctid::text FROM hub.document WHERE flow_id = %s ORDER BY document_id"


def _versions(database: HubDatabase, flow: str) -> dict[str, tuple[str, str]]:
    with psycopg.connect(database.app_dsn) as connection:
        return {row[0]: row[1:] for row in connection.execute(VERSIONS, [flow]).fetchall()}


def test_a_claim_of_named_documents_touches_no_other_row(hub_world: World, hub_database: HubDatabase) -> None:
    hub_world.store(*(document(str(number), *PAID) for number in range(6)))
    before = _versions(hub_database, hub_world.flow)
    asked = ["1", "4", "unknown"]
    works = hub_world.hub.claim(hub_world.flow, Stage.PLAN, "w1", 100, 60.0, only=asked)
    assert sorted(work.lease.document_id for work in works) == ["1", "4"]
    after = _versions(hub_database, hub_world.flow)
    assert {name for name in before if before[name] != after[name]} == {"1", "4"}
    assert hub_world.hub.claim(hub_world.flow, Stage.PLAN, "w2", 100, 60.0, only=asked) == [], "leased already"
    assert hub_world.hub.claim(hub_world.flow, Stage.PLAN, "w2", 100, 60.0, only=[]) == []
    assert len(hub_world.hub.claim(hub_world.flow, Stage.PLAN, "w2", 100, 60.0)) == 4


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


def test_tens_of_thousands_of_names_are_one_indexed_statement(hub_database: HubDatabase) -> None:
    server, name = hub_database.server, hub_database.name
    server.execute(name, FILL)
    server.execute(name, "ANALYZE hub.document")
    asked = {
        "flow": "only",
        "stage": "plan",
        "worker": "w1",
        "limit": 200,
        "seconds": 60.0,
        "only": [f"O{number}" for number in range(1, MANY + 1)],
    }
    with psycopg.connect(hub_database.app_dsn) as connection:
        explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {CLAIM_ONLY}".encode(), asked).fetchone()
        connection.rollback()
    assert explained is not None
    nodes = list(_nodes(explained[0][0]["Plan"]))
    assert "Seq Scan" not in {node["Node Type"] for node in nodes}, json.dumps(explained[0], indent=1)
    assert explained[0][0]["Execution Time"] < 1000.0
    assert nodes[0]["Actual Rows"] == 200
