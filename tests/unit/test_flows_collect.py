"""Collect: the window, what moved, what is gone, what nobody can read."""

from __future__ import annotations

from datetime import date

import pytest
from finbridge.core.documents import DocumentRef
from finbridge.core.errors import RetryLater
from finbridge.flows import collecting
from finbridge.flows.inbox import is_settled

from tests.unit.flow_fakes import FakeClock, make_flow
from tests.unit.flow_world import World


async def test_content_company_number_events_and_personal_fields_are_told_apart() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    report = await world.collect()
    assert report.as_note() == {
        "collected": 1, "listed": 1, "read": 1, "due": 1, "problems": 0, "gone": 0, "window_lost": 0,
    }  # fmt: skip
    stored = world.hub.docs["1"].collected
    assert (stored.company, stored.business_number, stored.template) == ("1000", "BX-1", "101")
    assert stored.personal == {"sqrxm": "张三", "dt.skzh": "6222"}
    assert "张三" not in stored.canonical.decode() and "6222" not in stored.canonical.decode()
    assert [event.kind.value for event in stored.events] == ["submitted", "approved"]
    assert stored.raw == b"raw" and stored.problem is None


@pytest.mark.parametrize(
    ("text", "company", "minor"),
    [
        ("1234.56", "1000", 123456),
        ("-0.5", "1000", -50),
        ("0", "1000", 0),
        ("1,234.56", "1000", None),
        ("", "1000", None),
        ("1" * 40, "1000", None),
        ("100", "9999", None),
    ],
)
async def test_the_total_of_the_form_is_taken_where_it_is_a_plain_number(
    text: str, company: str, minor: int | None
) -> None:
    world = World(flow=make_flow(amount_field="hdje"))
    world.oa.put("1", text, "提交", company=company)
    await world.collect()
    assert world.hub.docs["1"].collected.amount_minor == minor


async def test_only_what_moved_is_read_again() -> None:
    world = World()
    world.oa.put("1", "100", "提交")
    world.oa.put("2", "100", "提交")
    await world.collect()
    world.clock.sleep(60)
    world.oa.put("2", "100", "批准")
    report = await world.collect()
    assert (report.listed, report.read, report.due) == (2, 1, 1)


async def test_a_document_of_the_running_second_is_read_again() -> None:
    """Two changes in one second carry one stamp: the second one would be lost if the first read counted."""
    world = World()
    world.oa.put("1", "100", "提交")
    first = await collecting.collect(
        flow=world.flow, hub=world.hub, source=world.oa, translator=world.translator, worker="w"
    )
    world.oa.put("1", "100", "批准")  # the same second, the same stamp
    second = await world.collect()
    third = await world.collect()
    assert (first.read, second.read, third.read) == (1, 1, 0)
    assert len(world.hub.docs["1"].events) == 2


@pytest.mark.parametrize(
    ("stamp", "settled"),
    [
        ("2026-11-22 09:00:00|2", False),
        ("2026-11-22 08:59:59|2", False),
        ("2026-11-22 08:59:58|2", True),
        ("2026-11-23 09:00:00", False),
        ("version 17", True),
    ],
)
def test_settled(stamp: str, settled: bool) -> None:
    assert is_settled(stamp, FakeClock().at.replace(hour=9, tzinfo=None)) is settled


async def test_the_upper_bound_is_frozen_before_the_first_page() -> None:
    """What moves while paging is not in this window's claim: the watermark stands before it."""
    world = World()
    world.oa.put("1", "100", "提交")
    world.clock.sleep(30)
    frozen = world.oa.local()
    pages = world.oa.changed

    def moving(since: date, until: object, templates: object) -> object:
        world.clock.sleep(7)
        world.oa.put("2", "100", "提交")
        return pages(since, until, templates)  # type: ignore[arg-type]  # passes what it was given

    world.oa.changed = moving  # type: ignore[assignment,method-assign]  # the list of a moving OA
    world.clock.sleep(-5)
    report = await world.collect()
    assert world.hub.through == frozen and set(world.hub.docs) == {"1"}
    world.oa.changed = pages  # type: ignore[method-assign]  # the test steps in here
    assert report.read == 1 and (await world.collect()).read == 1
    assert set(world.hub.docs) == {"1", "2"}


async def test_the_overlap_goes_back_behind_the_watermark() -> None:
    world = World(flow=make_flow(overlap_days=2, extra={"first_day": "2020-05-05"}))
    asked: list[date] = []
    pages = world.oa.changed

    def listen(since: date, until: object, templates: object) -> object:
        asked.append(since)
        return pages(since, until, templates)  # type: ignore[arg-type]  # passes what it was given

    world.oa.changed = listen  # type: ignore[assignment,method-assign]  # the test steps in here
    await world.collect()
    await world.collect()
    assert asked == [date(2020, 5, 5), date(2026, 11, 20)]


async def test_nobody_collects_beside_another() -> None:
    world = World()
    world.oa.put("1", "100", "提交")
    world.hub.collector = ("somebody", 7)
    report = await world.collect()
    assert report.as_note() == dict.fromkeys(report.as_note(), 0) and not world.hub.docs


async def test_the_watermark_stays_when_the_oa_goes_away() -> None:
    world = World()
    world.oa.put("1", "100", "提交")

    def away(name: str) -> None:
        raise RetryLater("oa_away", "OA 不可用 / away")

    world.oa.hooks.append(away)
    with pytest.raises(RetryLater):
        await world.collect()
    assert world.hub.through is None
    world.oa.hooks.clear()
    assert (await world.collect()).read == 1


async def test_a_document_that_is_gone_is_a_problem_and_may_come_back() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    kept = world.oa.documents.pop("1")
    report = await world.collect()
    assert (report.gone, report.problems) == (1, 1)
    assert world.hub.docs["1"].collected.problem is not None
    world.oa.documents["1"] = kept
    await world.settle()
    assert world.live("1") == 1 and not world.hub.docs["1"].holds


async def test_one_unreadable_document_stops_nobody() -> None:
    world = World()
    for at in range(7):
        world.oa.put(str(at), "100", "提交", "批准")
    world.oa.poison = {"3", "5"}
    await world.settle()
    assert [world.live(str(at)) for at in range(7)] == [1, 1, 1, 0, 1, 0, 1]
    assert set(world.hub.docs["3"].holds) == {"unreadable"} and world.green()


def refuses_the_first(name: str) -> None:
    if name == "1":
        raise RetryLater("system_error", "the OA fails on this document")


async def test_what_could_not_be_read_is_read_again_though_no_list_names_it() -> None:
    world = World()
    for name in ("1", "2"):
        world.oa.put(name, "100", "提交", "批准")
    kept = {name: world.oa.documents.pop(name) for name in ("1", "2")}
    await world.collect()
    world.hub.unread = [DocumentRef(name, "101", world.hub.docs[name].collected.stamp) for name in ("1", "2")]
    world.oa.documents |= kept
    world.oa.hooks.append(refuses_the_first)
    world.oa.listed.clear()
    report = await world.collect()
    assert (report.listed, report.read, report.problems) == (0, 1, 1)
    assert world.hub.docs["2"].collected.problem is None
    problem = world.hub.docs["1"].collected.problem
    assert problem is not None and problem.code == "document_gone"
    assert world.hub.through is not None, "the watermark does not wait for one document"


@pytest.mark.parametrize(
    ("change", "code"),
    [("template", "unknown_template"), ("company", "unknown_company"), ("log", "unknown_log_entry")],
)
async def test_what_the_flow_does_not_know_is_named_and_held(change: str, code: str) -> None:
    world = World()
    world.oa.put(
        "1",
        "100",
        "提交",
        "批准",
        *(["会签"] if change == "log" else []),
        company="9999" if change == "company" else "1000",
    )
    if change == "template":
        world.flow = make_flow(templates=frozenset({"102"}))
        world.oa.listed["1"] = DocumentRef("1", "102", world.oa.listed["1"].stamp)
    await world.settle()
    assert set(world.hub.docs["1"].holds) == {code}
    assert not world.ledger.entries and world.green()


async def test_memory_is_bounded_by_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "CHUNK", 4)
    world = World()
    for at in range(10):
        world.oa.put(str(at), "100", "提交")
    sizes: list[int] = []
    store = world.hub.store

    def counting(flow_id: str, documents: list[object]) -> int:
        sizes.append(len(documents))
        return store(flow_id, documents)  # type: ignore[arg-type]  # passes what it was given

    monkeypatch.setattr(world.hub, "store", counting)
    report = await world.collect()
    assert report.read == 10 and max(sizes) <= 6  # pages of three fill a chunk of four


# ---------------------------------------------------------------- a month


async def test_a_month_reads_what_is_not_known_and_leaves_the_watermark_where_it_is() -> None:
    world = World()
    world.oa.put("1", "100", "提交", "批准")
    await world.collect()
    before = world.hub.through
    world.clock.sleep(60)
    world.oa.put("2", "100", "提交")
    asked = []
    pages = world.oa.changed

    def noted(since: date, until: object, templates: object) -> object:
        asked.append((since, until))
        return pages(since, until, templates)  # type: ignore[arg-type]  # as given

    world.oa.changed = noted  # type: ignore[method-assign,assignment]  # a look at what is asked
    world.clock.sleep(60)
    since = date(2026, 10, 1)
    report = await collecting.collect_since(
        flow=world.flow, hub=world.hub, source=world.oa, translator=world.translator, since=since
    )
    assert (report.listed, report.read, report.due) == (2, 1, 1)
    assert asked == [(since, world.oa.local())], "to the OA's now, never to the month's end"
    assert world.hub.through == before
