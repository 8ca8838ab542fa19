"""The look-up by number: a serial number that is the same wins, then what holds it, then titles; never without end."""

from __future__ import annotations

from typing import cast

from finbridge.systems.weaver.client import Conditions, WeaverClient
from finbridge.systems.weaver.models import ListRow, WorkflowBaseInfo
from finbridge.systems.weaver.numbers import candidates

TEMPLATES = frozenset({"101"})


class Lists:
    """Rows as (id, serial number, title); pages of the size asked for."""

    def __init__(self, *rows: tuple[str, str, str]) -> None:
        self.all = rows
        self.calls = 0

    async def rows(self, conditions: Conditions, page: int, size: int) -> list[ListRow]:
        self.calls += 1
        assert conditions.workflow_ids == TEMPLATES
        asked = conditions.form()["conditions"]
        assert ("wfcode" in asked) != ("requestname" in asked)
        found = [
            ListRow(requestId=name, requestmark=serial, workflowBaseInfo=WorkflowBaseInfo(workflowId="101"))
            for name, serial, title in self.all
            if conditions.serial in serial and conditions.request_name in title
        ]
        return found[(page - 1) * size : page * size]


async def ask(number: str, *rows: tuple[str, str, str]) -> tuple[list[str], int]:
    lists = Lists(*rows)
    return await candidates(cast("WeaverClient", lists), number, TEMPLATES), lists.calls


async def test_the_same_serial_number_wins_over_those_that_hold_it() -> None:
    many = [(str(n), f"BX-1{n}", "") for n in range(150)]
    assert await ask("BX-1", *many, ("x", "BX-1", ""), ("y", "BX-1", "")) == (["x", "y"], 2)


async def test_part_of_a_serial_number_comes_before_titles() -> None:
    assert await ask("42", ("1", "BX-42", ""), ("2", "", "报销 42")) == (["1"], 1)
    assert await ask("42", ("1", "BX-7", ""), ("2", "", "报销 42")) == (["2"], 2)
    assert await ask("42", ("1", "BX-7", "报销")) == ([], 2)


async def test_a_text_that_stands_everywhere_is_not_read_to_the_end() -> None:
    found, calls = await ask("B", *((str(n), f"B{n}", "") for n in range(5000)))
    assert (len(found), calls) == (500, 5)
