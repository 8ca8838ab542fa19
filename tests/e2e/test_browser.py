"""What a data engineer and an accountant do with the mouse, in both languages, in a real browser on a real Airflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote, unquote

import pytest
from finbridge.systems.links import MONTH, PREVIEW
from playwright.sync_api import Page

from tests.e2e.browser_world import LOCALES, BrowserWorld, browser_world, ended
from tools.demo import report
from tools.demo.acts.past_month import DAG_ID as MONTHLY
from tools.demo.history import Story
from tools.demo.stack import FLOW_ID

pytestmark = pytest.mark.slow

MANUAL = f"{FLOW_ID}__manual"
#: Words of Airflow's own UI and of the pages, by language.
WORDS: dict[str, dict[str, str]] = {
    "zh": {
        "trigger": "触发",
        "details": "详细信息",
        "dry": "试算：未发送任何内容",
        "live": "正式运行：凭证真实过账",
        "would_post": "将过账",
        "posted": "已过账",
        "missing": "财务缺少",
        "vat": "税额与税率不符",
        "today": "今日过账",
        "find": "查找",
    },
    "en": {
        "trigger": "Trigger",
        "details": "Details",
        "dry": "Dry run: nothing was sent",
        "live": "Live run: vouchers are really posted",
        "would_post": "Would post",
        "posted": "Posted",
        "missing": "Missing in finance",
        "vat": "VAT amount does not fit its rate",
        "today": "Today",
        "find": "Find",
    },
}


@pytest.fixture(scope="module")
def world() -> Iterator[BrowserWorld]:
    with browser_world() as world:
        yield world


@pytest.fixture(params=LOCALES)
def language(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


def journal(world: BrowserWorld) -> list[dict[str, Any]]:
    """Everything that finance holds, from its own database."""
    path = world.stack.state / "browser.jsonl"
    world.stack.ledger_up.export_journal(path)
    return report.read_journal(path)


def trigger(world: BrowserWorld, page: Page, language: str, *, number: str, reason: str = "") -> str:
    """Fill in the form of the manual run and start it; with a reason it is a live run. Returns the run's id."""
    word = WORDS[language]["trigger"]
    page.goto(f"{world.url}/dags/{MANUAL}")
    page.get_by_role("button", name=word).first.click()
    form = page.get_by_role("dialog")
    form.locator("[name=element_document_numbers]").fill(number)
    if reason:
        form.locator("[name=element_live]").locator("xpath=ancestor::label").click()
        form.locator("[name=element_reason]").fill(reason)
    world.picture(page, f"manual-form-{language}")
    form.get_by_role("button", name=word).last.click()
    page.wait_for_url(re.compile(r"/runs/"))
    run_id: str = page.url.rpartition("/runs/")[2].partition("?")[0]
    run = ended(world.stack, MANUAL, unquote(run_id))
    assert run["state"] == "success", run["note"]
    return run_id


def follow(page: Page, language: str, url: str, link: str) -> None:
    """From a task of a run to a page of ours, by the button that Airflow shows under the task's details."""
    page.goto(url)
    page.get_by_role("link", name=WORDS[language]["details"], exact=True).click()
    page.get_by_role("link", name=link, exact=True).click()
    page.wait_for_url(re.compile(r"/finbridge/"))


def test_a_document_is_tried_and_then_posted(world: BrowserWorld, language: str) -> None:
    page, words = world.page(language), WORDS[language]
    request_id, claim = world.claims[language]
    before = journal(world)

    run_id = trigger(world, page, language, number=claim.number)
    follow(page, language, f"{world.url}/dags/{MANUAL}/runs/{run_id}/tasks/show", PREVIEW.name)
    shown = page.locator("main").inner_text()
    assert words["dry"] in shown
    assert words["would_post"] in shown
    lines = page.locator("article table tbody tr")
    debit, credit = (
        sum(_fen(lines.nth(i).locator("td").nth(at).inner_text()) for i in range(lines.count())) for at in (4, 5)
    )
    assert debit == credit == claim.approved
    assert _shown(claim.approved) in page.locator("article tfoot").inner_text()
    world.picture(page, f"preview-dry-{language}")
    assert journal(world) == before

    run_id = trigger(world, page, language, number=request_id, reason="紧急付款 / urgent")
    follow(page, language, f"{world.url}/dags/{MANUAL}/runs/{run_id}/tasks/show", PREVIEW.name)
    (posted,) = [row for row in journal(world) if row["document_id"] == request_id]
    shown = page.locator("main").inner_text()
    assert words["live"] in shown
    assert words["posted"] in shown
    assert posted["number"] in shown
    world.picture(page, f"preview-live-{language}")
    assert len(journal(world)) == len(before) + 1


def _fen(text: str) -> int:
    return int(Decimal(text.replace(",", "") or 0) * 100)


def _shown(fen: int) -> str:
    return f"{Decimal(fen) / 100:,.2f}"


def test_a_red_month_leads_to_its_list_and_to_a_reason(world: BrowserWorld, language: str) -> None:
    page, words = world.page(language), WORDS[language]
    page.goto(f"{world.url}/dags/{MONTHLY}/runs/{quote(world.red_run)}")
    page.get_by_role("link", name="reconcile").last.click()
    page.get_by_text("unexplained: 1").first.wait_for()  # the log begins with what is wrong
    page.get_by_text("AirflowFailException").first.click()  # folds what only developers read
    page.get_by_text("task_runner.py").first.wait_for(state="hidden")
    page.evaluate("for (const part of document.querySelectorAll('*')) part.scrollLeft = 0")
    world.picture(page, f"month-red-{language}")
    follow(page, language, page.url, MONTH.name)
    (row,) = page.locator("table tbody tr", has_text=words["missing"]).all()
    assert world.missing in row.inner_text()
    world.picture(page, f"month-{language}")

    (bad,) = [d for d in world.month.documents if d.story is Story.BROKEN_VAT]
    page.get_by_role("link", name=bad.claim.number).first.click()
    page.get_by_text(words["vat"]).first.wait_for()
    assert bad.request_id in page.locator("main").inner_text()
    world.picture(page, f"document-held-{language}")


def test_a_document_is_found_by_voucher_number_and_by_oa_number(world: BrowserWorld, language: str) -> None:
    page = world.page(language)
    row = next(r for r in journal(world) if r["company"] == "1000" and r["kind"] == "expense")
    for number in (row["number"], row["document_id"]):
        page.goto(f"{world.url}/finbridge/find")
        page.locator("main input[name=q], header input[name=q]").first.fill(number)
        page.keyboard.press("Enter")
        hits = page.locator(f'a[href*="/document/{FLOW_ID}/{row["document_id"]}"]')
        if hits.count() and "/document/" not in page.url:
            hits.first.click()
        page.get_by_text(row["number"]).first.wait_for()
        shown = page.locator("main").inner_text()
        assert row["document_id"] in shown
        assert _shown(sum(_fen(line["debit"]) for line in row["lines"])) in shown
    world.picture(page, f"document-{language}")


def test_the_pages_are_in_airflows_own_navigation(world: BrowserWorld, language: str) -> None:
    page, words = world.page(language), WORDS[language]
    page.goto(world.url)
    page.get_by_role("link", name="Post").click()
    page.frame_locator("iframe").get_by_role("heading", name=words["today"]).wait_for()
    world.picture(page, f"today-{language}")
    for name in ("held", "quality"):
        page.goto(f"{world.url}/finbridge/{name}")
        page.locator("main h1").wait_for()
        world.picture(page, f"{name}-{language}")
        assert page.locator("main table tbody tr").count() > 0, f"{name} shows nothing of a month with bad documents"
