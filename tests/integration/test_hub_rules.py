"""Code tables with four eyes, tokens at rest, verdicts and run notes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.ports import CodeRow, Problem, Stage, TokenStore, Verdict
from finbridge.core.runs import run_identity
from finbridge.hub import PostgresHub, open_hub

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, World, document, held, problem_of

NEW_YEAR = date(2026, 1, 1)
JULY = date(2026, 7, 1)


def row(code: str = "TRAVEL", target: str = "660201", *, valid_from: date = NEW_YEAR, **more: date | str) -> CodeRow:
    return CodeRow(
        table="expense_account",
        company=str(more.get("company", "")),
        code=code,
        target=target,
        valid_from=valid_from,
        valid_to=more.get("valid_to"),  # type: ignore[arg-type]  # a date or nothing
    )


# ---------------------------------------------------------------- codes


def test_codes_come_out_as_they_went_in(hub: PostgresHub, hub_world: World) -> None:
    rows = [
        row("OFFICE", "660202"),
        row("TRAVEL", "660201", valid_to=JULY),
        row("TRAVEL", "660299", valid_from=JULY),
        row("TRAVEL", "660188", company="2000"),
    ]
    assert hub.load_codes(hub_world.flow, rows, maker="wang", checker="li") == 4
    assert sorted(hub.codes(hub_world.flow), key=str) == sorted(rows, key=str)
    assert hub.codes(f"{hub_world.flow} other") == []
    assert hub.load_codes(hub_world.flow, rows, maker="wang", checker="li") == 0


def test_codes_keep_their_history(hub: PostgresHub, hub_world: World, hub_database: HubDatabase) -> None:
    hub.load_codes(hub_world.flow, [row(target="660201"), row("OFFICE", "660202")], maker="wang", checker="li")
    changed = [row(target="660209", valid_to=JULY), row("OFFICE", "660202")]
    assert hub.load_codes(hub_world.flow, changed, maker="zhao", checker="li") == 1
    history = hub_database.server.execute(
        hub_database.name,
        "SELECT code, old_target, old_valid_to, new_target, new_valid_to, maker, checker FROM hub.code_history "
        "WHERE flow_id = %s ORDER BY at, code",
        [hub_world.flow],
    )
    assert history == [
        ("OFFICE", None, None, "660202", None, "wang", "li"),
        ("TRAVEL", None, None, "660201", None, "wang", "li"),
        ("TRAVEL", "660201", None, "660209", JULY, "zhao", "li"),
    ]


def test_codes_need_four_eyes(hub: PostgresHub, hub_world: World) -> None:
    for maker, checker in (("wang", "wang"), ("wang", ""), ("", "li")):
        with pytest.raises(GiveUp) as refused:
            hub.load_codes(hub_world.flow, [row()], maker=maker, checker=checker)
        assert refused.value.code == "four_eyes"
    assert hub.codes(hub_world.flow) == []


def test_a_code_is_never_valid_twice(hub: PostgresHub, hub_world: World) -> None:
    hub.load_codes(hub_world.flow, [row()], maker="wang", checker="li")
    with pytest.raises(GiveUp, match="TRAVEL") as refused:
        hub.load_codes(
            hub_world.flow, [row("OFFICE", "1"), row("TRAVEL", "660299", valid_from=JULY)], maker="wang", checker="li"
        )
    assert refused.value.code == "codes_overlap"
    assert hub.codes(hub_world.flow) == [row()], "nothing of it was stored"


def test_a_new_code_frees_what_it_held(hub_world: World) -> None:
    hub_world.store(document("1", *APPROVED), document("2", *APPROVED))
    hub_world.check(held([problem_of("1")]))
    hub_world.deliver()
    hub_world.write_back()
    assert hub_world.due() == {}
    hub_world.hub.load_codes(hub_world.flow, [row()], maker="wang", checker="li")
    assert [work.lease.document_id for work in hub_world.claim(Stage.PLAN, seconds=0.0)] == ["1"]
    hub_world.check()
    assert hub_world.holds("1") == []
    hub_world.deliver()
    assert hub_world.states("1") == {"expense:2": "posted"}


# ---------------------------------------------------------------- tokens


def test_tokens_are_sealed(hub: PostgresHub, hub_database: HubDatabase) -> None:
    store: TokenStore = hub.tokens
    assert store.get("weaver") is None
    store.put("weaver", "spk-secret-令牌", None)
    assert store.get("weaver") == "spk-secret-令牌"
    store.put("weaver", "second", datetime.now(UTC) + timedelta(minutes=5))
    assert store.get("weaver") == "second"
    ((kept,),) = hub_database.server.execute(hub_database.name, "SELECT value FROM hub.token WHERE name = 'weaver'")
    assert b"second" not in bytes(kept)
    with open_hub(hub_database.app_dsn, secret="another secret") as other:
        assert other.tokens.get("weaver") is None, "sealed with another secret: as good as absent"
    store.forget("weaver")
    assert store.get("weaver") is None


def test_tokens_expire_by_the_databases_clock(hub: PostgresHub) -> None:
    hub.tokens.put("old", "value", datetime.now(UTC) - timedelta(seconds=1))
    assert hub.tokens.get("old") is None
    with pytest.raises(ValueError, match="time zone"):
        hub.tokens.put("old", "value", datetime.fromisoformat("2026-01-01T00:00:00"))


def test_without_a_secret_no_token_is_stored(hub_database: HubDatabase) -> None:
    with open_hub(hub_database.app_dsn) as hub:
        with pytest.raises(GiveUp) as refused:
            hub.tokens.put("weaver", "open secret", None)
        assert refused.value.code == "secret_missing"
        with hub.tokens.locked("weaver"):
            assert hub.tokens.get("weaver") is None


def test_the_lock_lets_one_apply_and_the_others_read(hub_database: HubDatabase) -> None:
    applied: list[str] = []
    inside = threading.Lock()

    def apply_once(worker: str) -> str:
        with hub_database.open() as hub, hub.tokens.locked("register"):
            assert inside.acquire(blocking=False), "two at once"
            try:
                found = hub.tokens.get("register")
                if found is None:
                    applied.append(worker)
                    hub.tokens.put("register", f"made by {worker}", None)
                    found = hub.tokens.get("register")
                assert found is not None
                return found
            finally:
                inside.release()

    with ThreadPoolExecutor(4) as pool:
        values = list(pool.map(apply_once, ("a", "b", "c", "d")))
    assert len(applied) == 1
    assert values == [f"made by {applied[0]}"] * 4


def test_the_lock_is_freed_by_an_error(hub: PostgresHub) -> None:
    def fail(use: Callable[[], None]) -> None:
        with hub.tokens.locked("x"):
            use()

    def broken() -> None:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail(broken)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(fail, lambda: None).result(timeout=10)
    assert hub.tokens.get("x") is None


# ---------------------------------------------------------------- evidence


def test_verdicts_are_kept(hub: PostgresHub, hub_world: World, hub_database: HubDatabase) -> None:
    bad = tuple(Problem(document_id=str(n), code="vat_mismatch", field="se", detail="0.05 off") for n in range(300))
    verdict = Verdict(
        suite="expense_claim.documents",
        batch_ok=False,
        broken_batch_rules=("row_count",),
        bad=bad,
        rows=1000,
        result_json='{"success": false}',
    )
    hub.store_verdict(hub_world.flow, "run-1", verdict)
    rows = hub_database.server.execute(
        hub_database.name,
        "SELECT run_id, suite, rows, batch_ok, broken_batch_rules, result, count(*) FROM hub.quality_run "
        "JOIN hub.quality_result USING (quality_run_id) WHERE flow_id = %s GROUP BY quality_run_id",
        [hub_world.flow],
    )
    assert rows == [("run-1", "expense_claim.documents", 1000, False, ["row_count"], {"success": False}, 300)]


def test_runs_are_noted(hub: PostgresHub, hub_world: World, hub_database: HubDatabase) -> None:
    flow = hub_world.flow
    assert hub.last_run_started(flow) is None
    hub.open_run(flow, f"{flow}-1", "wake")
    first = hub.last_run_started(flow)
    assert first is not None
    assert first.utcoffset() == timedelta(0)
    hub.open_run(flow, f"{flow}-1", "wake")
    assert hub.last_run_started(flow) == first
    hub.close_run(f"{flow}-1", {"posted": 3, "说明": "好"})
    rows = hub_database.server.execute(
        hub_database.name, "SELECT kind, note, closed_at IS NOT NULL FROM hub.run WHERE flow_id = %s", [flow]
    )
    assert rows == [("wake", {"posted": 3, "说明": "好"}, True)]
    hub.close_run(f"{flow}-1", {"posted": 4, "held": 1})
    note = hub_database.server.execute(hub_database.name, "SELECT note FROM hub.run WHERE flow_id = %s", [flow])
    assert note == [({"posted": 4, "说明": "好", "held": 1},)], "what another part of the run said stays"


def test_two_dags_may_begin_runs_of_one_name(hub_world: World, hub_database: HubDatabase) -> None:
    """A run of each kind, and one that began under a release that stored Airflow's run id alone."""
    hub, flow, minute = hub_world.hub, hub_world.flow, f"scheduled__{hub_world.flow}+00:00"
    hub.open_run(flow, minute, "wake")  # as the release before did
    for kind in ("sweep", "monthly"):
        hub.open_run(flow, run_identity(f"{flow}__{kind}", minute), kind)
    for number, kind in enumerate(("wake", "sweep", "monthly")):
        hub.close_run(run_identity(f"{flow}__{kind}", minute), {"posted": number})
    statement = "SELECT kind, (note ->> 'posted')::int FROM hub.run WHERE flow_id = %s ORDER BY 2"
    rows = hub_database.server.execute(hub_database.name, statement, [flow])
    assert rows == [("wake", 0), ("sweep", 1), ("monthly", 2)]
    days = [hub.views.run_day(flow, run_identity(f"{flow}__{kind}", minute), "UTC") for kind in ("wake", "sweep")]
    assert None not in days
    assert hub.views.run_day(flow, run_identity(f"{flow}__manual", minute), "UTC") is None
    assert [run["kind"] for run in hub.views.find([flow], [minute]).runs] == ["wake", "sweep", "monthly"]
    assert hub.views.find([flow], [minute]).missing == ()


def test_reports_come_page_by_page(hub_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finbridge.hub.reading._PAGE", 7)
    names = [f"{number:02}" for number in range(20)]
    hub_world.store(*(document(name, *APPROVED) for name in names))
    hub_world.check(held([problem_of("03")]))
    hub_world.deliver()
    assert [found["document_id"] for found in hub_world.hub.document_rows(hub_world.flow)] == names
    rows = list(hub_world.hub.register_rows(hub_world.flow))
    assert [found["document_id"] for found in rows] == names
    by_name = {found["document_id"]: found for found in rows}
    assert (by_name["03"]["key"], by_name["03"]["holds"], by_name["03"]["live"]) == (None, ["unknown_code"], False)
    assert (by_name["04"]["state"], by_name["04"]["holds"], by_name["04"]["live"]) == ("posted", [], True)
    assert {found["attempts"] for name, found in by_name.items() if name != "03"} == {1}
