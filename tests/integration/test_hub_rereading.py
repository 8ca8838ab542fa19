"""Documents that could not be read: when the hub names them for another look."""

from __future__ import annotations

import dataclasses

from finbridge.core.documents import DocumentRef

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, World, document, problem_of

GONE = "document_gone"


def _stands(world: World, name: str, code: str = GONE) -> DocumentRef:
    """A document that nobody could read, held by its plan."""
    given = dataclasses.replace(document(name, problem=problem_of(name, code)), raw=b"")
    world.store(given)
    world.check()
    return DocumentRef(given.document_id, given.template, given.stamp)


def _pass(database: HubDatabase, world: World, seconds: float) -> None:
    """Let time go on for this flow: everything that was noted lies further back."""
    for table, column in (("hold", "opened_at"), ("trail", "at")):
        statement = f"UPDATE hub.{table} SET {column} = {column} - %s * interval '1 second' WHERE flow_id = %s"
        database.server.execute(database.name, statement, [seconds, world.flow])


def test_the_looks_at_what_could_not_be_read_become_rarer(hub_world: World, hub_database: HubDatabase) -> None:
    ref = _stands(hub_world, "1")
    take = hub_world.hub.take_unread
    assert take(hub_world.flow, 10) == []
    waited = 0.0  # between the hold and the last look; the next one lies as far ahead
    for _ in range(5):
        distance = max(60.0, waited)
        _pass(hub_database, hub_world, distance - 5)
        assert take(hub_world.flow, 10) == [], f"too early after {waited} s"
        _pass(hub_database, hub_world, 10)
        assert take(hub_world.flow, 10) == [ref], f"too late after {waited} s"
        waited += distance + 5
    _pass(hub_database, hub_world, 40 * 86_400)
    assert take(hub_world.flow, 10) == [ref]
    _pass(hub_database, hub_world, 21_500)
    assert take(hub_world.flow, 10) == []
    _pass(hub_database, hub_world, 200)
    assert take(hub_world.flow, 10) == [ref], "six hours are the most"


def test_a_person_who_asks_makes_it_due_at_once(hub_world: World, hub_database: HubDatabase) -> None:
    ref = _stands(hub_world, "1", "wire_shape")
    _pass(hub_database, hub_world, 1000)
    assert hub_world.hub.take_unread(hub_world.flow, 10) == [ref]
    assert hub_world.hub.take_unread(hub_world.flow, 10) == []
    hub_world.hub.retry(hub_world.flow, ["1"], actor="zhang")
    hub_world.check()
    assert hub_world.hub.take_unread(hub_world.flow, 10) == [ref]
    assert hub_world.hub.take_unread(hub_world.flow, 10) == []


def test_a_few_at_a_time_and_only_what_could_not_be_read(hub_world: World, hub_database: HubDatabase) -> None:
    for name in ("1", "2", "3"):
        _stands(hub_world, name, "oa_cannot_read")
    _stands(hub_world, "4", "unknown_company")
    _pass(hub_database, hub_world, 1000)
    hub_world.store(document("3", *APPROVED))  # readable again, not planned yet
    assert [ref.document_id for ref in hub_world.hub.take_unread(hub_world.flow, 1)] == ["1"]
    assert [ref.document_id for ref in hub_world.hub.take_unread(hub_world.flow, 10)] == ["2"]
    assert hub_world.hub.take_unread(hub_world.flow, 10) == []
