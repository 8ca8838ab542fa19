"""What a look at a connection means: credentials, reachability, clocks; which alarms open and which close."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from finbridge.core.checkup import Checkup, TokenFacts
from finbridge.core.connections import ConnectionSettings
from finbridge.core.errors import GiveUp, RetryLater
from finbridge.flows.config import load_flows
from finbridge.tasks.check_connections import (
    CLOCK,
    CONNECTION,
    CREDENTIALS,
    LOGIN_CAUSES,
    Found,
    Looks,
    Place,
    judged,
    note,
    places,
    skew_of,
    table,
)
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 22, 8, 0, 0, tzinfo=UTC)
OA = Place(system="weaver", conn_id="weaver_default", flow_ids=("f1", "f2"))
BOOKS = Place(system="tryton", conn_id="tryton_default", flow_ids=("f1",))
SECRET = "a-password-of-theirs"


def looks(answers: dict[str, Any], *, missing: frozenset[str] = frozenset()) -> Looks:
    def settings(conn_id: str) -> ConnectionSettings:
        if conn_id in missing:
            raise KeyError(SECRET)
        return ConnectionSettings(conn_id=conn_id, host="h", password=SECRET)

    def look(system: str) -> Any:
        async def found(settings: ConnectionSettings, tokens: object) -> Checkup:
            answer = answers[system]
            if isinstance(answer, Exception):
                raise answer
            shown = None if answer is None else datetime.now(UTC) + timedelta(seconds=answer)
            return Checkup(read="列表 / a list", server_at=shown, token=f"{system}|token")

        return found

    facts = TokenFacts(age_seconds=300, left_seconds=None)
    tokens: Any = None
    return Looks(settings=settings, tokens=tokens, facts=lambda name: facts, look=look)


@pytest.mark.parametrize(
    ("answer", "cause", "code"),
    [
        (0.0, "", ""),
        (None, "", ""),
        (3600.0, CLOCK, CLOCK),
        (-3600.0, CLOCK, CLOCK),
        (GiveUp("login_refused", "账号被停用"), CREDENTIALS, "login_refused"),
        (RetryLater("connect_failed", "无法连接"), CONNECTION, "connect_failed"),
        (TimeoutError(), CONNECTION, "timed_out"),
        (KeyError(SECRET), CONNECTION, "unexpected_error"),
    ],
)
async def test_each_answer_is_a_finding_and_none_stops_the_others(answer: Any, cause: str, code: str) -> None:
    found = await looks({"weaver": answer, "tryton": 0.0}).at([OA, BOOKS])
    assert [(item.cause, item.code) for item in found] == [(cause, code), ("", "")]
    assert SECRET not in table(found, 0.0) + note(found, 0.0)
    assert found[1].token is not None
    assert "5 min" in table(found, 0.0)


async def test_a_connection_that_is_not_there_is_named() -> None:
    found = await looks({"weaver": 0.0, "tryton": 0.0}, missing=frozenset({"weaver_default"})).at([OA, BOOKS])
    assert (found[0].code, found[1].code) == ("connection_missing", "")
    assert "weaver_default" in found[0].words
    assert SECRET not in found[0].words


def test_the_note_begins_with_what_is_wrong() -> None:
    wrong = Found(place=BOOKS, cause=CREDENTIALS, code="login_refused", words="拒绝")
    lines = note([Found(place=OA, words="列表"), wrong], 2.0).splitlines()
    assert lines[0].startswith("tryton_default: login_refused · 拒绝")
    assert lines[-1] == "台账 hub: 时钟差 clock +2 s"
    assert "正常 ok · 列表 · 令牌已用 token - · 时钟差 clock ?" in lines[1]


def test_every_line_for_people_is_in_both_languages_and_the_table_stands_in_columns() -> None:
    wrong = Found(place=BOOKS, cause=CREDENTIALS, code="login_refused", words="拒绝 / refused")
    found = [Found(place=OA, words="列表 / list"), wrong]
    lines = table(found, 0.0).splitlines()
    for line in (lines[0], *note(found, 2.0).splitlines()):
        assert re.search("[\u4e00-\u9fff]", line) and re.search("[a-z]{2}", line), line
    wide = [sum(2 if ord(char) > 0x2E7F else 1 for char in re.split("(?<= )(?=[?+-])", line)[0]) for line in lines[1:]]
    assert len(lines) == 4 and len(set(wide)) == 1


def test_an_alarm_for_each_flow_and_cause_and_a_close_only_where_something_was_disproved() -> None:
    away = Found(place=OA, cause=CONNECTION, code="timed_out")
    refused = Found(place=BOOKS, cause=CREDENTIALS, code="login_refused")
    opened, closed = judged([away, refused])
    assert [(s.flow_id, s.cause, s.detail) for s in opened] == [
        ("f1", CONNECTION, "weaver_default: timed_out"),
        ("f1", CREDENTIALS, "tryton_default: login_refused"),
        ("f2", CONNECTION, "weaver_default: timed_out"),
    ]
    assert closed == [], "a system that is away has disproved nothing"
    opened, closed = judged([Found(place=OA), refused])
    assert {cause for flow_id, cause in closed if flow_id == "f2"} == {CONNECTION, CLOCK, *LOGIN_CAUSES}
    assert {cause for flow_id, cause in closed if flow_id == "f1"} == {CONNECTION, CLOCK}


def test_every_connection_of_every_flow_is_looked_at_once() -> None:
    flows = load_flows(ROOT / "include" / "flows")
    found = places([*flows.values(), *flows.values()])
    assert [(p.system, p.conn_id) for p in found] == [("tryton", "tryton_default"), ("weaver", "weaver_default")]
    assert all(p.flow_ids == tuple(sorted(flows)) for p in found)


@given(st.floats(-7200, 7200), st.floats(0, 20), st.floats(0, 1))
def test_the_measured_skew_is_never_more_than_the_real_one(real: float, length: float, moment: float) -> None:
    began, ended = NOW, NOW + timedelta(seconds=length)
    theirs = NOW + timedelta(seconds=length * moment + real)
    shown = theirs.replace(microsecond=0)  # an HTTP date has whole seconds
    measured = skew_of(shown, began, ended)
    assert abs(measured) <= abs(real) + 0.01
    assert abs(measured - real) <= length + 1.01
