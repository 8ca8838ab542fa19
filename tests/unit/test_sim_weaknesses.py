"""Histories that once needed an exemption: played as they were found, they settle without one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from finbridge.sim.history import History, Mode, Setting, Step
from finbridge.sim.memory_hub import MemoryHub
from finbridge.sim.world import World

FORTY_DAYS = 3_456_000.0


def played(*steps: tuple[str, tuple[str | int | float, ...]]) -> World:
    setting = Setting(
        begin=datetime(2026, 11, 18, 1, 0, tzinfo=UTC), skew=0.0, scrambled=False, unique=True, stays_closed=False
    )
    made = tuple(Step(number, number, kind, args) for number, (kind, args) in enumerate(steps))
    world = World(History(0, Mode.BOUNDED, setting, made))
    world.play()
    return world


def unread_after_forty_days(fault: str) -> World:
    return played(
        ("create", ("100", "E1")),
        ("jump", (FORTY_DAYS,)),
        ("arm", ("oa.read", fault)),
        ("verb", ("w1", "collect")),
        ("turns", (60,)),
        ("verb", ("w1", "check")),
        ("turns", (60,)),
    )


@pytest.mark.parametrize("fault", ["unreadable", "missing"])
def test_a_document_behind_the_list_is_read_again(fault: str) -> None:
    world = unread_after_forty_days(fault)
    assert world.trouble.met[f"oa.read: {fault}"] == 1
    assert world.broken == []
    assert len(world.books.live("1", "expense")) == 1


def not_shown_at_the_read_back(fault: str) -> World:
    made = [
        ("create", ("100", "E1")),
        *((kind, args) for verb in ("collect", "check", "deliver") for kind, args in done_by("w1", verb)),
        ("arm", ("oa.read", fault)),
        *done_by("w1", "write_back"),
    ]
    return played(*made)


def done_by(worker: str, verb: str) -> list[tuple[str, tuple[str | int | float, ...]]]:
    return [("jump", (5.0,)), ("verb", (worker, verb)), ("turns", (60,))]


@pytest.mark.parametrize("fault", ["unreadable", "missing"])
def test_a_form_that_is_not_shown_once_gets_its_number(fault: str) -> None:
    world = not_shown_at_the_read_back(fault)
    assert world.trouble.met[f"oa.read: {fault}"] == 1
    assert world.broken == []
    (entry,) = world.books.live("1", "expense")
    assert world.office.forms["1"].columns["pzh"] == entry.number
    assert world.hub.kept.documents[("claims", "1")].holds == set()


def test_without_another_look_it_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finbridge.sim.world.next_reading", lambda document, waits: None)
    monkeypatch.setattr(MemoryHub, "take_unread", lambda hub, flow_id, limit: [])
    assert unread_after_forty_days("unreadable").broken
