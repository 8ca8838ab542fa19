"""The history of a proof: what an OA answered with ok must stand in its journal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.demo.people import People, Refused, Unanswered
from tools.demo.scenario import Fate
from tools.prove.history import History, RecordedPeople, forgotten, read_history
from tools.prove.lives import STILL, moved_at_least, plan

Row = dict[str, Any]


def ok(request_id: str, button: str) -> Row:
    return {"type": "ok", "f": button, "request_id": request_id}


def entry(request_id: str, kind: str, *, integration: bool = False) -> Row:
    return {"request_id": request_id, "kind": kind, "integration": integration}


def test_each_answer_has_its_entry() -> None:
    journal = [entry("1", "create"), entry("1", "approve"), entry("2", "create")]
    history = [ok("1", "doCreateRequest"), ok("1", "submitRequest"), ok("2", "doCreateRequest")]
    assert forgotten(history, journal) == []


def test_an_approval_that_the_oa_forgot_is_named() -> None:
    found = forgotten([ok("1", "doCreateRequest"), ok("1", "submitRequest")], [entry("1", "create")])
    assert found == ["1: submitRequest answered 1 times, in the journal 0 times"]


def test_the_suites_own_entry_is_nobodys_press_of_a_button() -> None:
    assert forgotten([ok("1", "submitRequest")], [entry("1", "submit", integration=True)])


def test_fail_and_unknown_call_for_nothing() -> None:
    history = [{"type": kind, "f": "submitRequest", "request_id": "1"} for kind in ("invoke", "fail", "unknown")]
    assert forgotten(history, []) == []


@pytest.mark.parametrize(
    ("answer", "end"), [({"data": {"requestid": 7}}, "ok"), (Refused("no"), "fail"), (Unanswered("cut"), "unknown")]
)
async def test_a_button_is_noted_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Row | Exception, end: str
) -> None:
    async def call(self: People, operation: str, user: str, form: Mapping[str, str]) -> Row:
        assert read_history(tmp_path / "h.jsonl")[-1]["type"] == "invoke"
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(People, "_call", call)
    history = History(tmp_path / "h.jsonl")
    people = RecordedPeople("http://nowhere", history)
    try:
        await people._call("doCreateRequest", "3", {})
    except (Refused, Unanswered):
        assert end != "ok"
    history.close()
    first, last = read_history(tmp_path / "h.jsonl")
    assert (first["type"], last["type"], first["n"]) == ("invoke", end, last["n"])
    assert last["request_id"] == ("7" if end == "ok" else "")


@pytest.mark.parametrize("documents", [60, 120, 2000])
def test_every_life_is_lived_and_most_of_them_move(documents: int) -> None:
    counts = plan(documents)
    assert sum(counts.values()) == documents
    assert min(counts.values()) >= 1
    assert documents // 2 < moved_at_least(counts) < documents - sum(counts[fate] for fate in STILL)
    assert counts[Fate.REVERSED_RIGHT] >= 1


def test_too_few_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="at least"):
        plan(13)
