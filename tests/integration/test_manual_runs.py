"""Manual runs of the shipped flow on real processes: a dry run changes nothing, a live one these documents alone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg
import pytest
from finbridge.core.errors import GiveUp
from finbridge.core.preview import Asked, Found, Preview, PreviewVerdict, Window
from finbridge.flows import check, deliver, write_back
from finbridge.flows.manual import act, counts_of, show, standing, unfinished
from finbridge.flows.manual_find import find

from tests.hub_fixtures import HubDatabase
from tests.integration.claim_world import LINES, ClaimWorld, claim, connect, row, sweep

V = PreviewVerdict
#: Everything a run of ours could touch; the manual run's own tables and its notes in the trail aside.
QUIET = ("manual_run", "preview", "revision", "token")


async def dry(world: ClaimWorld, asked: Asked) -> list[Preview]:
    source, ledger = world.connect()
    try:
        found = await find(flow=world.flow, hub=world.hub, source=source, translator=world.translator, asked=asked)
        parts = show(
            flow=world.flow,
            hub=world.hub,
            source=source,
            translator=world.translator,
            judge=world.judge,
            found=found,
        )
        return [preview async for part in parts for preview in part]
    finally:
        await source.close()
        await ledger.close()


async def live(world: ClaimWorld, *numbers: str, seconds: float = 30.0) -> tuple[dict[str, int], list[Preview]]:
    """The tasks of a live run, one after the other."""
    asked = Asked(numbers=numbers, live=True, reason="财务要求")
    source, ledger = world.connect()
    flow, hub = world.flow, world.hub
    try:
        found = await find(flow=flow, hub=hub, source=source, translator=world.translator, asked=asked)
        names = [one.document_id for one in found if one.document_id]
        counts = await act(
            flow=flow,
            hub=hub,
            source=source,
            translator=world.translator,
            judge=world.judge,
            document_ids=names,
            actor="zhang",
            reason=asked.reason,
        )
        check(flow=flow, hub=hub, translator=world.translator, judge=world.judge, worker="m", run_id="m", only=names)
        await deliver(
            flow=flow, hub=hub, source=source, ledger=ledger, translator=world.translator, worker="m", only=names
        )
        await write_back(flow=flow, hub=hub, source=source, worker="m", only=names)
        return counts, await standing(flow=flow, hub=hub, found=found, seconds=seconds)
    finally:
        await source.close()
        await ledger.close()


def run_dry(world: ClaimWorld, *numbers: str, window: Window | None = None) -> dict[str, Preview]:
    previews = asyncio.run(dry(world, Asked(numbers=numbers, window=window)))
    return {preview.document_id or preview.business_number: preview for preview in previews}


def run_live(world: ClaimWorld, *numbers: str) -> tuple[dict[str, int], dict[str, Preview]]:
    counts, previews = asyncio.run(live(world, *numbers))
    return counts, {preview.document_id or preview.business_number: preview for preview in previews}


def versions(database: HubDatabase) -> dict[str, set[tuple[str, str]]]:
    """Physical versions of every row of every table of the hub."""
    with psycopg.connect(database.superuser_dsn) as connection:
        tables = [r[0] for r in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'hub'")]
        assert len(tables) > 20
        return {
            table: set(connection.execute(f"SELECT ctid::text, xmin::text FROM hub.{table}".encode()).fetchall())
            for table in tables
            if table not in QUIET
        }


def journals(world: ClaimWorld) -> tuple[Any, Any]:
    """What changed in the OA and in finance."""
    return (
        world.oa.control("GET", "/journal?limit=1000000"),
        world.finance.control("GET", "/journal?limit=1000000"),
    )


def trail(database: HubDatabase, name: str) -> list[tuple[str, str, str]]:
    with psycopg.connect(database.app_dsn) as connection:
        return connection.execute(
            "SELECT actor, action, reason FROM hub.trail WHERE document_id = %s ORDER BY trail_id", [name]
        ).fetchall()


def number_of(item: dict[str, Any]) -> str:
    found: str = item["main"]["djbh"]
    return found


def test_a_dry_run_shows_each_fate_and_changes_nothing(claim_world: ClaimWorld, hub_database: HubDatabase) -> None:
    posted, recalled, unknown_code = claim(), claim(), claim()
    unknown_code["details"][LINES][0]["cbzx"] = "CC-XYZ-99"
    first = claim_world.impose([posted, recalled, unknown_code])
    claim_world.settle(first)
    claim_world.impose([{"request_id": first[1], "log": [row("起草", "撤回", "11:00:00")], "node": "起草"}])
    fresh, draft = claim(), {**claim(), "log": [row("起草", "提交")], "node": "审批"}
    later = claim_world.impose([fresh, draft])
    before = versions(hub_database), journals(claim_world)
    found = run_dry(claim_world, number_of(posted), *first[1:], number_of(fresh), later[1], "BX-NOBODY", "99999999")
    assert (versions(hub_database), journals(claim_world)) == before
    assert {name: preview.verdict for name, preview in found.items()} == {
        first[0]: V.POSTED,
        first[1]: V.WOULD_REVERSE,
        first[2]: V.HELD,
        later[0]: V.WOULD_POST,
        later[1]: V.NOT_APPROVED,
        "BX-NOBODY": V.NOT_FOUND,
        "99999999": V.NOT_FOUND,
    }
    assert {p.code for p in found[first[2]].problems} == {"unknown_code"}
    (voucher,) = found[later[0]].vouchers
    assert (voucher["state"], voucher["kind"], voucher["debit_minor"]) == ("new", "expense", 10600)
    assert [(line["side"], line["local_amount_minor"]) for line in voucher["lines"]] == [
        ("D", 10000),
        ("D", 600),
        ("C", 10600),
    ]
    (stands,) = found[first[0]].vouchers
    assert stands["number"] == claim_world.vouchers(first[0])[0]["number"] and stands["state"] == "verified"
    original, red = found[first[1]].vouchers
    assert (original["state"], red["state"], red["debit_minor"]) == ("verified", "new", -10600)


def test_what_a_dry_run_shows_is_what_a_live_run_posts(claim_world: ClaimWorld, hub_database: HubDatabase) -> None:
    asked, other = claim(), claim()
    mine, theirs = claim_world.impose([asked, other])
    (shown,) = run_dry(claim_world, number_of(asked)).values()
    counts, previews = run_live(claim_world, number_of(asked))
    assert counts == {"documents": 1, "stored": 1, "looked_again": 0}
    assert previews[mine].verdict is V.POSTED and unfinished(list(previews.values())) == []
    claim_world.assert_posted_once([mine])
    assert claim_world.vouchers(theirs) == []
    (stored,) = previews[mine].vouchers
    assert stored["key"] == shown.vouchers[0]["key"] and stored["lines"] == shown.vouchers[0]["lines"]
    assert ("zhang", "manual_run", "财务要求") in trail(hub_database, mine)
    assert claim_world.open([theirs]) == {theirs: "unseen"}


def test_a_second_live_run_changes_nothing(claim_world: ClaimWorld, hub_database: HubDatabase) -> None:
    good, bad = claim(), claim()
    bad["details"][LINES][0]["cbzx"] = "CC-XYZ-99"
    ids = claim_world.impose([good, bad])
    run_live(claim_world, *ids)
    before, books = versions(hub_database), journals(claim_world)
    counts, previews = run_live(claim_world, *ids)
    after = versions(hub_database)
    assert counts == {"documents": 2, "stored": 0, "looked_again": 0}
    assert [previews[name].verdict for name in ids] == [V.POSTED, V.HELD]
    assert journals(claim_world) == books
    assert {table for table in before if before[table] != after[table]} == {"trail"}
    notes = trail(hub_database, ids[0])
    assert [action for _, action, _ in notes].count("manual_run") == 2
    assert len(after["trail"] - before["trail"]) == 2, "the run itself, a document each"


def test_with_only_due_documents_of_others_stay_as_they_are(claim_world: ClaimWorld, hub_database: HubDatabase) -> None:
    ids = claim_world.impose([claim() for _ in range(4)])
    asyncio.run(_collect(claim_world))
    assert set(claim_world.open(ids).values()) == {"plan"}
    before = _document_versions(hub_database, ids)
    run_live(claim_world, ids[1])
    after = _document_versions(hub_database, ids)
    assert {name for name in ids if before[name] != after[name]} == {ids[1]}
    claim_world.assert_posted_once([ids[1]])
    claim_world.settle(ids)
    claim_world.assert_posted_once(ids)


async def _collect(world: ClaimWorld) -> None:
    from finbridge.flows import collect

    source, ledger = world.connect()
    try:
        await collect(flow=world.flow, hub=world.hub, source=source, translator=world.translator, worker="c")
    finally:
        await source.close()
        await ledger.close()


def _document_versions(database: HubDatabase, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    with psycopg.connect(database.app_dsn) as connection:
        rows = connection.execute(
            "SELECT document_id, ctid::text, xmin::text FROM hub.document WHERE document_id = ANY(%s)", [list(ids)]
        )
        return {name: (place, version) for name, place, version in rows}


def test_an_edited_held_document_is_released_by_a_live_run(claim_world: ClaimWorld) -> None:
    item = claim()
    item["details"][LINES][0]["cbzx"] = "CC-XYZ-99"
    (name,) = claim_world.impose([item])
    claim_world.settle([name])
    assert claim_world.held(name) == ["unknown_code"]
    item["details"][LINES][0]["cbzx"] = "CC-ADM-01"
    claim_world.impose([{"request_id": name, "workflow_id": "101", "details": item["details"]}])
    assert run_dry(claim_world, name)[name].verdict is V.WOULD_POST
    _, previews = run_live(claim_world, name)
    assert previews[name].verdict is V.POSTED
    claim_world.assert_posted_once([name])


def test_a_recalled_document_is_reversed_by_a_live_run_and_then_left_alone(claim_world: ClaimWorld) -> None:
    (name,) = claim_world.impose([claim()])
    claim_world.settle([name])
    claim_world.impose([{"request_id": name, "log": [row("起草", "撤回", "11:00:00")], "node": "起草"}])
    _, previews = run_live(claim_world, name)
    assert previews[name].verdict is V.NOTHING_TO_DO and unfinished(list(previews.values())) == []
    assert [voucher["state"] for voucher in previews[name].vouchers] == ["reversed", "posted"]
    assert [entry["kind"] for entry in claim_world.vouchers(name)] == ["expense", "reversal"]
    counts, _ = run_live(claim_world, name)
    assert (counts["stored"], counts["looked_again"]) == (0, 0)


def test_what_finance_rejected_is_sent_again_when_a_person_asks(claim_world: ClaimWorld) -> None:
    (name,) = claim_world.impose([claim()])
    with claim_world.finance.faults({"endpoint": "post", "fault": "rejected", "code": "vendor_blocked"}):
        claim_world.settle([name])
    shown = run_dry(claim_world, name)[name]
    assert (shown.verdict, [p.code for p in shown.problems]) == (V.WOULD_POST, ["rejected"])
    counts, previews = run_live(claim_world, name)
    assert counts["looked_again"] == 1 and previews[name].verdict is V.POSTED
    assert len(claim_world.vouchers(name)) == 1


def test_a_number_is_compared_whole_and_may_stand_on_two_documents(claim_world: ClaimWorld) -> None:
    one, ten, twin, digits = claim(djbh="N-1"), claim(djbh="N-10"), claim(djbh="N-1"), claim(djbh="20261122001")
    first, other, second, numeric = claim_world.impose([one, ten, twin, digits])
    found = run_dry(claim_world, "N-1", "N-", "20261122001", first)
    assert set(found) == {first, second, "N-", numeric} and other not in found
    assert found["N-"].verdict is V.NOT_FOUND
    claim_world.settle([first, other, second, numeric])
    assert set(run_dry(claim_world, "N-1", "N-", "20261122001")) == {first, second, "N-", numeric}


def test_a_window_is_the_documents_approved_in_it(claim_world: ClaimWorld) -> None:
    def approved(day: str, company: str = "1000") -> dict[str, Any]:
        item = claim(gsdm=company)
        return {**item, "log": [{**entry, "date": day} for entry in item["log"]]}

    inside, too_early, too_late, other = claim_world.impose(
        [approved("2020-01-31"), approved("2019-12-31"), approved("2020-02-01"), approved("2020-01-15", "2000")]
    )
    window = Window(since=date(2020, 1, 1), until=date(2020, 1, 31))
    assert set(run_dry(claim_world, window=window)) == {inside, other}
    claim_world.settle([inside, too_early, too_late, other])
    of_company = Window(since=date(2020, 1, 1), until=date(2020, 1, 31), company="1000")
    assert set(run_dry(claim_world, window=of_company)) == {inside}
    assert run_dry(claim_world, window=of_company)[inside].verdict is V.POSTED


def test_a_window_that_is_too_large_is_refused(claim_world: ClaimWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    from finbridge.flows import manual_find

    claim_world.impose([claim() for _ in range(4)])
    monkeypatch.setattr(manual_find, "MOST_DOCUMENTS", 3)
    with pytest.raises(GiveUp, match="monthly") as caught:
        run_dry(claim_world, window=Window(since=date(2000, 1, 1), until=date(2030, 1, 1)))
    assert caught.value.code == "window_too_large"


def test_a_live_run_beside_the_automatic_one_posts_each_document_once(claim_world: ClaimWorld) -> None:
    ids = claim_world.impose([claim() for _ in range(30)])
    stop = threading.Event()
    failures: list[BaseException] = []

    async def automatic() -> None:
        with claim_world_hub(claim_world) as hub:
            source, ledger = connect(
                claim_world.flow, hub, oa_port=claim_world.oa.port, finance_port=claim_world.finance.port
            )
            try:
                while not stop.is_set():
                    await sweep(
                        claim_world.flow,
                        hub,
                        source,
                        ledger,
                        translator=claim_world.translator,
                        judge=claim_world.judge,
                        worker="wake",
                    )
            finally:
                await source.close()
                await ledger.close()

    def run() -> None:
        try:
            asyncio.run(automatic())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        _, previews = run_live(claim_world, *ids)
    finally:
        stop.set()
        thread.join(60)
    assert not failures and not thread.is_alive()
    assert counts_of(list(previews.values()))["posted"] == len(ids)
    claim_world.settle(ids)
    claim_world.assert_posted_once(ids)


def claim_world_hub(world: ClaimWorld) -> Any:
    from finbridge.hub import open_hub

    from tests.hub_fixtures import SECRET
    from tests.integration.claim_world import TIMING

    return open_hub(world.hub_dsn, secret=SECRET, timing=TIMING)


def test_a_run_is_kept_with_its_previews(claim_world: ClaimWorld) -> None:
    runs = claim_world.hub.manual_runs
    asked = Asked(numbers=("BX-1", "7"), live=True, reason="补记")
    for _ in range(2):  # a task that is tried again
        runs.begin(run_id="r/1+2", flow_id="f", actor="li", live=True, reason="补记", asked=asked.as_json())
    run = runs.run("r/1+2")
    assert run is not None and Asked.of_run(run) == asked
    with pytest.raises(GiveUp, match="r/1"):
        runs.begin(run_id="r/1+2", flow_id="f", actor="li", live=False, reason="补记", asked=asked.as_json())
    runs.set_found("r/1+2", [Found("BX-1", "12"), Found("7", ""), Found("12", "12")])
    assert runs.documents("r/1+2") == ["12"]
    for _ in range(2):
        runs.take_anew("r/1+2")
        runs.add_previews("r/1+2", [_row("1"), _row("2")])
        runs.add_previews("r/1+2", [_row("3")])
    assert [(p["position"], p["document_id"]) for p in runs.previews("r/1+2")] == [(1, "1"), (2, "2"), (3, "3")]
    runs.close("r/1+2", {"posted": 3})
    closed = runs.run("r/1+2")
    assert closed is not None and closed["counts"] == {"posted": 3} and closed["closed_at"] is not None
    assert runs.run("nobody") is None and runs.previews("nobody") == [] and runs.documents("nobody") == []


def _row(name: str) -> dict[str, Any]:
    return Preview(document_id=name, business_number="BX", company="1000", verdict=V.HELD).row()
