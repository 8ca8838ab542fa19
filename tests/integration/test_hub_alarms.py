"""Alarms in the hub: one open row however often and from however many processes it is seen; told at least once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from finbridge.core.notify import Alarm, Sighting
from finbridge.hub import PostgresHub

from tests.hub_fixtures import HubDatabase

WAKE, SWEEP = "f__wake", "f__sweep"


@pytest.fixture
def alarms(hub_database: HubDatabase) -> Iterator[PostgresHub]:
    hub_database.server.execute(hub_database.name, "TRUNCATE hub.alarm")
    with hub_database.open() as hub:
        yield hub


def seen(cause: str = "broken_batch_rule", company: str = "1000", run_id: str = "r1", dag_id: str = WAKE) -> Sighting:
    return Sighting(
        flow_id="f", cause=cause, company=company, dag_id=dag_id, run_id=run_id, task_id="check", detail="d"
    )


class Robot:
    """Takes messages, or does not."""

    def __init__(self, *, takes: bool = True) -> None:
        self.takes = takes
        self.got: list[Alarm] = []

    def __call__(self, alarm: Alarm) -> bool:
        self.got.append(alarm)
        return self.takes

    def told(self) -> list[tuple[str, str, bool]]:
        return [(alarm.cause, alarm.company, alarm.closed_at is not None) for alarm in self.got]


def test_seen_by_many_at_once_it_is_one_alarm_told_once(alarms: PostgresHub, hub_database: HubDatabase) -> None:
    robot, gate = Robot(), threading.Barrier(8)

    def fail(number: int) -> None:
        with hub_database.open() as hub:
            gate.wait(30)
            hub.alarms.see([seen(run_id=f"r{number}"), seen(company="2000", run_id=f"r{number}")])
            hub.alarms.tell(robot)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fail, range(8)))
    rows = alarms.alarms.open_rows("f")
    assert [(row["company"], row["times"]) for row in sorted(rows, key=lambda r: r["company"])] == [
        ("1000", 8),
        ("2000", 8),
    ]
    alarms.alarms.tell(robot)
    assert sorted(robot.told()) == [("broken_batch_rule", "1000", False), ("broken_batch_rule", "2000", False)]


def test_one_open_and_one_close_and_then_a_new_one(alarms: PostgresHub) -> None:
    robot = Robot()
    for _ in range(3):
        alarms.alarms.see([seen()])
        alarms.alarms.tell(robot)
    assert alarms.alarms.close("f", dag_ids=[WAKE, SWEEP]) == 1
    assert alarms.alarms.close("f", dag_ids=[WAKE, SWEEP]) == 0
    assert alarms.alarms.tell(robot) == 1
    assert alarms.alarms.tell(robot) == 0
    alarms.alarms.see([seen()])
    alarms.alarms.tell(robot)
    cause = ("broken_batch_rule", "1000")
    assert robot.told() == [(*cause, False), (*cause, True), (*cause, False)]
    assert [row["times"] for row in alarms.alarms.recent_rows()] == [1, 3]


def test_a_message_that_was_not_taken_is_told_again(alarms: PostgresHub) -> None:
    alarms.alarms.see([seen()])
    deaf = Robot(takes=False)
    assert alarms.alarms.tell(deaf) == 0
    robot = Robot()
    assert (alarms.alarms.tell(robot), len(deaf.got)) == (1, 1)
    assert alarms.alarms.tell(robot) == 0


def test_a_crash_between_message_and_mark_tells_twice_rather_than_never(alarms: PostgresHub) -> None:
    robot = Robot()

    def dies(alarm: Alarm) -> bool:
        robot(alarm)
        raise KeyboardInterrupt

    alarms.alarms.see([seen()])
    with pytest.raises(KeyboardInterrupt):
        alarms.alarms.tell(dies)
    assert alarms.alarms.tell(robot) == 1
    assert len(robot.got) == 2


def test_what_closed_before_anybody_was_told_is_told_once_as_closed(alarms: PostgresHub) -> None:
    robot = Robot()
    alarms.alarms.see([seen()])
    alarms.alarms.close("f")
    alarms.alarms.tell(robot)
    assert robot.told() == [("broken_batch_rule", "1000", True)]


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ({}, []),
        ({"company": "1000"}, [("a", "2000"), ("b", "")]),
        ({"causes": ["a"]}, [("b", "")]),
        ({"dag_ids": [SWEEP]}, [("a", "1000"), ("a", "2000"), ("b", "")]),
        ({"task_id": "check", "company": "2000"}, [("a", "1000"), ("b", "")]),
    ],
)
def test_only_what_fits_every_condition_is_closed(
    alarms: PostgresHub, where: dict[str, object], left: list[tuple[str, str]]
) -> None:
    alarms.alarms.see([seen("a", "1000"), seen("a", "2000"), seen("b", "")])
    alarms.alarms.close("f", **where)  # type: ignore[arg-type]  # keywords of the cases above
    assert sorted((row["cause"], row["company"]) for row in alarms.alarms.open_rows()) == left
