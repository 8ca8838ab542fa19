"""A company at work in a real Airflow, for tests with a real browser: a past month, one run of it green, one red.

Started once a module: the stack of the demo with the automatic DAGs paused; a past month told to the OA and run by the
monthly DAG; then somebody deletes a voucher in the ledger's own database and the month is run again. Two claims are
approved and wait for somebody who posts them by hand.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from playwright.sync_api import Browser, Page, Route, sync_playwright

from tests.debian import program
from tools.demo import history
from tools.demo.acts.past_month import DAG_ID as MONTHLY
from tools.demo.acts.past_month import engineer_of
from tools.demo.claims import Claim, Company
from tools.demo.clock import Clock
from tools.demo.people import People
from tools.demo.stack import FLOW_ID, PAUSED, PROJECT, Stack, take_folder

COMPANY = "1000"
DOCUMENTS = 60
SEED = 7
RUN_SECONDS = 240.0
#: How long a page of Airflow may take on a busy machine.
PATIENCE_MS = 60_000
LOCALES = {"zh": "zh-CN", "en": "en-US"}
#: Where pictures of the pages go; the ones in docs/ are taken by `make screenshots`.
PICTURES = os.environ.get("FINBRIDGE_SCREENSHOTS", "")
_WIDTH, _HEIGHT = 1360, 900
_ARGUMENTS = ["--no-sandbox"]  # root may not use the sandbox
_FIRST_EXPENSE = """
SELECT m.id, m.number, m.external_document FROM account_move m JOIN company_company c ON c.id = m.company
WHERE c.code = %s AND m.external_kind = 'expense' ORDER BY m.id LIMIT 1
"""


@dataclass
class BrowserWorld:
    """What the tests need to know of the company."""

    stack: Stack
    month: history.Month
    browser: Browser = field(init=False)
    red_run: str = ""
    missing: str = ""  # OA request id of the document whose voucher was deleted
    claims: dict[str, tuple[str, Claim]] = field(default_factory=dict)  # language -> request id, claim
    _pages: dict[str, Page] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Of the Airflow UI."""
        return self.stack.airflow_up.url

    def page(self, language: str) -> Page:
        """A window of the engineer's browser in a language, logged in once."""
        if language not in self._pages:
            context = self.browser.new_context(
                locale=LOCALES[language], viewport={"width": _WIDTH, "height": _HEIGHT}, color_scheme="light"
            )
            context.set_default_timeout(PATIENCE_MS)
            context.route(lambda address: not address.startswith(self.url), _refuse)
            page = context.new_page()
            page.goto(self.url)
            page.locator("input[name=username]").fill("engineer")
            page.locator("input[name=password]").fill(self.stack.airflow_up.passwords()["engineer"])
            page.keyboard.press("Enter")
            page.get_by_role("link", name="Dags").first.wait_for()
            self._pages[language] = page
        return self._pages[language]

    def picture(self, page: Page, name: str) -> None:
        """Keep a picture of a page where pictures are asked for."""
        if PICTURES:
            page.screenshot(path=Path(PICTURES) / f"{name}.png")


def _refuse(route: Route) -> None:
    """Nothing may be fetched from elsewhere: the suite works without internet."""
    route.abort()


@contextmanager
def browser_world() -> Iterator[BrowserWorld]:
    """Start, live through the month, and stop everything."""
    chromium = program("chromium", "chromium", "fonts-noto-cjk")
    folder, lock = take_folder(PROJECT / ".run" / "browser")
    month = history.past_month(SEED, datetime.now(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None), DOCUMENTS)
    stack = Stack(folder, Clock().say, airflow_environment=PAUSED, oa_ready=partial(history.tell, month=month))
    world = BrowserWorld(stack, month)
    try:
        stack.start()
        _live(world)
        # Playwright runs an event loop of its own in this thread: not before the claims are made.
        with sync_playwright() as play, play.chromium.launch(executable_path=chromium, args=_ARGUMENTS) as browser:
            world.browser = browser
            yield world
    finally:
        stack.stop()
        lock.close()


def _live(world: BrowserWorld) -> None:
    """The month green, a voucher deleted behind everybody's back, the month red; and two fresh claims."""
    api = engineer_of(world.stack)
    api.pause(f"{FLOW_ID}__m", False)  # monthly and manual
    asked = {"company": COMPANY, "period": world.month.period, "wait": False}
    green = ended(world.stack, MONTHLY, api.trigger(MONTHLY, asked))
    assert green["state"] == "success", green["note"]
    world.missing = _delete_a_voucher(world.stack)
    world.red_run = api.trigger(MONTHLY, asked)
    red = ended(world.stack, MONTHLY, world.red_run)
    assert red["state"] == "failed", red["note"]
    world.claims = asyncio.run(_claim_twice(world))


def ended(stack: Stack, dag_id: str, run_id: str) -> dict[str, Any]:
    """Wait until a run is green or red, and return it."""
    api, until = engineer_of(stack), time.monotonic() + RUN_SECONDS
    while (run := api.run(dag_id, run_id))["state"] not in ("success", "failed"):
        assert time.monotonic() < until, f"{dag_id} {run_id} is {run['state']} after {RUN_SECONDS:g} s"
        time.sleep(0.3)
    return run


def _delete_a_voucher(stack: Stack) -> str:
    """As a careless administrator of the ledger's database might; the document's request id."""
    with psycopg.connect(stack.ledger_up.dsn()) as connection:
        found = connection.execute(_FIRST_EXPENSE, [COMPANY]).fetchone()
        assert found is not None
        connection.execute("DELETE FROM account_move_line WHERE move = %s", [found[0]])
        connection.execute("DELETE FROM account_move WHERE id = %s", [found[0]])
    return str(found[2])


async def _claim_twice(world: BrowserWorld) -> dict[str, tuple[str, Claim]]:
    company = Company(SEED + 1, datetime.now(ZoneInfo("Asia/Shanghai")).date())
    found = {}
    async with People(world.stack.oa_url) as people:
        for language in LOCALES:
            claim = company.claim()
            request_id = await people.create(claim)
            await people.approve(request_id)
            found[language] = (request_id, claim)
    return found
