"""The text of a hold for a missing code is what a loaded code is compared with; documented commands exist."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import pytest
import typer
from finbridge.cli import app
from finbridge.core.codes import HELD_WORDS, lookup_detail
from finbridge.core.ports import CodeRow
from finbridge.mapping.problems import Mistake
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.mapping_world import POSTED_ON, canonical, expense_codes, expense_translator, line, payee, request

ROOT = Path(__file__).resolve().parents[2]
NAME = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
COMPANY = st.from_regex(r"[0-9A-Za-z]{1,10}", fullmatch=True)
CODE = st.text(min_size=1, max_size=40) | st.sampled_from(
    ["a, company 1000", "x, date 2026-01-01", "not in the code table: table t, code c, company 1, date 2026-01-01"]
)


@given(table=NAME, code=CODE, company=COMPANY, day=st.dates(date(1000, 1, 1), date(2999, 12, 31)), label=st.text())
def test_a_hold_says_what_was_looked_up_whatever_the_code_is(
    table: str, code: str, company: str, day: date, label: str
) -> None:
    mistake = Mistake("", "", "lines.account", label, "code", table)
    told = mistake.told(f"{code}\x1f{company}\x1f{day.isoformat()}", [])
    problem = mistake.problem("1", told, ["11", "12"])
    assert problem.code == "unknown_code"
    assert problem.detail.endswith(HELD_WORDS["unknown_code"] + lookup_detail(table, code, company, day))


@pytest.mark.parametrize("twice", [False, True])
def test_the_shipped_mapping_words_its_holds_so(twice: bool) -> None:
    codes = [row for row in expense_codes() if row.code != "ADM|TRAVEL"]
    if twice:
        codes += [
            CodeRow(table="expense_account", company="", code="ADM|TRAVEL", target=t, valid_from=date(2020, 1, 1))
            for t in ("660201", "660202")
        ]
    made = expense_translator().translate([request(canonical([line()], [payee()]))], codes)
    (problem,) = made.problems
    assert problem.code == ("ambiguous_code" if twice else "unknown_code")
    words = HELD_WORDS[problem.code]
    assert problem.detail.endswith(words + lookup_detail("expense_account", "ADM|TRAVEL", "1000", POSTED_ON))


def documented() -> list[tuple[str, str]]:
    found = []
    for page in ("docs/code-tables.md", "docs/new-flow.md", "docs/runbooks/held-documents.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        found += [(page, m) for m in re.findall(r"^finbridge [a-z][^\n#]*", text, re.MULTILINE)]
        found += [(page, m) for m in re.findall(r"`(finbridge [a-z][^`\n]*)`", text)]
    return found


def test_every_documented_command_exists() -> None:
    commands = documented()
    assert len(commands) > 12
    for page, text in commands:
        words = [word for word in shlex.split(text) if word not in {"…", "|"}]
        command = typer.main.get_command(app)
        rest = words[1:]
        while rest and hasattr(command, "commands") and rest[0] in command.commands:
            command = command.commands[rest.pop(0)]
        assert not hasattr(command, "commands"), f"{page}: {text}"
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("--")} <= options, f"{page}: {text}"
