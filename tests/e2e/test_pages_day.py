"""Today and Quality on a real API server, over a day that the shipped flow made between both stand-ins."""

from __future__ import annotations

import html
import re

import pytest
from finbridge.pages.formats import money

from tests.e2e.pages_day import FLOW
from tests.e2e.pages_world import Answer, PagesWorld

pytestmark = pytest.mark.slow
APPROVED_ON = "2026-11-20"  # by the log of the OA


def words(answer: Answer) -> str:
    """What a page says, without its tags, blanks made one."""
    assert answer.status == 200, answer.text[:300]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def test_the_day_s_states_add_up_to_what_the_hub_holds(pages_world: PagesWorld) -> None:
    rows = [row for row in pages_world.hub.document_rows(FLOW) if row["approved_at"] is not None]
    assert {f"{row['approved_at']:%Y-%m-%d}" for row in rows} == {APPROVED_ON}
    registered = [row for row in pages_world.hub.register_rows(FLOW) if row["kind"] == "expense" and row["live"]]
    chinese = words(pages_world.page("/today", query={"date": APPROVED_ON}))
    english = words(pages_world.page("/today", query={"date": APPROVED_ON}, language="en"))
    assert f"合计 CNY {len(rows)} " in chinese and f"Total CNY {len(rows)} " in english
    assert money(sum(row["debit_minor"] for row in registered), "CNY") in chinese
    assert "✗" not in chinese + english and "✓ 相符" in chinese and "✓ Adds up" in english
    assert "待开账" in chinese and "Waits for its period" in english


def test_the_list_of_held_documents_names_each_with_its_reason(pages_world: PagesWorld) -> None:
    said = words(pages_world.page("/today", query={"date": APPROVED_ON, "scope": "open", "show": "held"}))
    day = pages_world.day
    for document_id in (day.rejected, *day.held.values()):
        assert day.business[document_id] in said
    assert day.business[day.posted[0]] not in said
    assert "税额与税率不符" in said and "财务系统拒绝该凭证" in said


def test_great_expectations_real_answers_are_told_in_words(pages_world: PagesWorld) -> None:
    said = words(pages_world.page("/quality", language="en"))
    assert "the VAT does not follow from gross and rate (tolerance 0.01)" in said
    assert pages_world.day.business[pages_world.day.held["vat_mismatch"]] in said
    assert "Judged by Great Expectations" in said
    assert "张三" not in said and "6222021234567890" not in said


def test_a_run_leads_to_its_page_and_the_pages_without_runs_open(pages_world: PagesWorld) -> None:
    answer = pages_world.page(f"/run/{FLOW}__monthly/a%2Bb")
    assert (answer.status, answer.headers["location"]) == (303, "/finbridge/month")
    assert pages_world.page("/run/somebody_else/r").status == 404
    assert "还没有手工运行" in words(pages_world.page("/preview"))
    assert "还没有月度核对" in words(pages_world.page("/month"))


def test_the_ui_knows_the_tab_of_a_run(pages_world: PagesWorld) -> None:
    answer = pages_world.get("/api/v2/plugins", "admin")
    assert answer.status == 200
    assert "/finbridge/run/{DAG_ID}/{RUN_ID}" in answer.text and '"dag_run"' in answer.text
