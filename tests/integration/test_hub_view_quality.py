"""Stored verdicts as pages read them: the newest of a suite, trends, named documents; quick among 100,000."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import psycopg
from finbridge.core.ports import Problem, Verdict
from finbridge.hub.view_quality import DAYS, NAMED, RUNS

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, World, document, held, problem_of

SUITE = "expense_claim.documents"


def verdict(bad: Sequence[str] = (), *, rows: int = 10, broken: Sequence[str] = (), suite: str = SUITE) -> Verdict:
    """A judged batch: two rules of lines, one of the batch."""
    rules = [
        {"rule": "documents.row_count", "level": "batch", "reason": "row_count", "ok": not broken, "bad_rows": None},
        {"rule": "lines.known_code.account", "level": "row", "reason": "unknown_code", "ok": not bad}
        | {"bad_rows": 2 * len(bad) or None, "documents": list(bad), "error": None},
    ]
    result = {"rows": {"documents": rows, "lines": 3 * rows}, "bad_documents": len(bad), "rules": rules}
    return Verdict(
        suite=suite,
        batch_ok=not broken,
        broken_batch_rules=tuple(broken),
        bad=tuple(Problem(document_id=name, code="unknown_code", field="lines.account", detail="d") for name in bad),
        rows=rows,
        result_json=json.dumps(result | {"great_expectations": "1.24.1"}),
    )


def test_the_newest_validations_with_rows_come_oldest_first(hub_world: World) -> None:
    views, flow = hub_world.hub.views, hub_world.flow
    for number in range(RUNS + 5):
        hub_world.hub.store_verdict(flow, f"r{number}", verdict(["1"] if number % 2 else []))
    hub_world.hub.store_verdict(flow, "empty", verdict(rows=0))
    hub_world.hub.store_verdict(flow, "other", verdict(suite="expense_claim.vouchers"))
    hub_world.hub.open_run(flow, f"r{RUNS + 4}", "wake")
    found = views.validations(flow, SUITE)
    assert [row["run_id"] for row in found] == [f"r{number}" for number in range(5, RUNS + 5)]
    assert [row["bad_documents"] for row in found[:2]] == [1, 0]
    assert (found[-1]["kind"], found[0]["kind"], found[0]["great_expectations"]) == ("wake", None, "1.24.1")


def test_each_rule_s_answers_with_the_rows_of_its_frame(hub_world: World) -> None:
    hub_world.hub.store_verdict(hub_world.flow, "r1", verdict(["1", "2"], rows=10))
    hub_world.hub.store_verdict(hub_world.flow, "r2", verdict(rows=20, broken=["documents.row_count: 超出 / out"]))
    answers = hub_world.hub.views.rule_answers(hub_world.flow, SUITE)
    assert [(a["rule_id"], a["ok"], a["bad_rows"], a["documents"], a["rows"]) for a in answers] == [
        ("documents.row_count", True, None, 0, 10),
        ("lines.known_code.account", False, 4, 2, 30),
        ("documents.row_count", False, None, 0, 20),
        ("lines.known_code.account", True, None, 0, 60),
    ]


def test_named_documents_newest_first_and_whether_they_are_held_still(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    hub_world.check(held([problem_of("1")]))
    hub_world.hub.store_verdict(hub_world.flow, "r1", verdict(["1", "2"]))
    hub_world.hub.store_verdict(hub_world.flow, "r2", verdict(["2", "gone"]))
    hub_world.hub.store_verdict(hub_world.flow, "other", verdict(["3"], suite="expense_claim.vouchers"))
    oldest = hub_world.hub.views.validations(hub_world.flow, SUITE)[0]["quality_run_id"]
    bad = hub_world.hub.views.bad_documents(hub_world.flow, SUITE, oldest)
    assert [(row["run_id"], row["document_id"], row["held"], row["business_number"]) for row in bad] == [
        ("r2", "2", False, "BX2"),
        ("r2", "gone", False, None),
        ("r1", "1", True, "BX1"),
        ("r1", "2", False, "BX2"),
    ]
    assert len(hub_world.hub.views.bad_documents(hub_world.flow, SUITE, oldest, limit=1)) == 1


def test_a_hundred_thousand_validations_are_not_read(hub_world: World, hub_database: HubDatabase) -> None:
    """By the plans' own counts: rows touched follow what is shown, not what is stored; old ones are not shown."""
    flow = hub_world.flow
    stored = verdict(["1"]).result_json
    with psycopg.connect(hub_database.superuser_dsn, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO hub.quality_run (flow_id, run_id, suite, rows, batch_ok, broken_batch_rules, result, at)
            SELECT %s, 'r' || n, CASE WHEN n %% 2 = 0 THEN %s ELSE 'another' END, 10, true, '{}', %s::jsonb,
                   now() - interval '400 days' + n * interval '5 minutes'
            FROM generate_series(1, 100000) AS n
            """,
            [flow, SUITE, stored],
        )
        connection.execute(
            "INSERT INTO hub.quality_result SELECT quality_run_id, '1', 'unknown_code', 'f', 'd' FROM hub.quality_run"
        )
        connection.execute("ANALYZE hub.quality_run, hub.quality_result")
    assert hub_world.hub.views.validations(flow, SUITE) == [], f"older than {DAYS} days"
    hub_world.hub.store_verdict(flow, "now", verdict(["1"]))
    (newest,) = hub_world.hub.views.validations(flow, SUITE)
    assert [row["run_id"] for row in hub_world.hub.views.bad_documents(flow, SUITE, newest["quality_run_id"])] == [
        "now"
    ]
    assert len(hub_world.hub.views.bad_documents(flow, SUITE, 0)) == NAMED
    assert touched(hub_database, flow) < 5 * RUNS


def touched(database: HubDatabase, flow: str) -> int:
    """Rows that the question for the newest validations reads, by EXPLAIN ANALYZE."""
    from finbridge.hub import view_quality

    statement = view_quality._RECENT + view_quality._RULES
    asked: dict[str, Any] = view_quality._window(flow, SUITE, RUNS)
    with psycopg.connect(database.superuser_dsn, autocommit=True) as connection:
        found = (
            psycopg.ClientCursor(connection).execute("EXPLAIN (ANALYZE, FORMAT JSON) " + statement, asked).fetchone()
        )
    assert found is not None
    return _most(found[0][0]["Plan"])


def _most(node: dict[str, Any]) -> int:
    own: int = round(node["Actual Rows"] * node["Actual Loops"]) + node.get("Rows Removed by Filter", 0)
    return max(own, *(_most(child) for child in node.get("Plans", ())), 0)
