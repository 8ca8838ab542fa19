"""The pages inside Airflow's own UI, in a real browser: menu entry, theme, language, ways in and out of the frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, Frame, Page, Route, sync_playwright

from tests.debian import program
from tests.e2e.pages_day import FLOW
from tests.e2e.pages_world import PagesWorld

pytestmark = pytest.mark.slow

PATIENCE_MS = 60_000
ENTRY = "过账 Post"


@dataclass
class Visit:
    """An engineer in front of the UI; ``elsewhere``: what the pages asked of other servers; ``refused``: by headers."""

    page: Page
    url: str
    elsewhere: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def frame(self, path: str) -> Frame:
        """The frame, once it shows a page of ours."""
        self.page.wait_for_function(
            "path => [...document.querySelectorAll('iframe')].some("
            "f => f.contentDocument && f.contentDocument.readyState === 'complete' "
            "&& f.contentWindow.location.pathname.startsWith(path))",
            arg=f"/finbridge{path}",
        )
        return next(frame for frame in self.page.frames if f"/finbridge{path}" in frame.url and frame.parent_frame)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = program("chromium", "chromium", "fonts-noto-cjk")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def visit(pages_world: PagesWorld, browser: Browser) -> Iterator[Visit]:
    context = browser.new_context(locale="en-US", color_scheme="light", viewport={"width": 1360, "height": 850})
    context.set_default_timeout(PATIENCE_MS)
    token = {"name": "_token", "value": pages_world.token("engineer"), "url": pages_world.url}
    context.add_cookies([token])  # type: ignore[list-item]  # the stub wants its own TypedDict
    made = Visit(context.new_page(), pages_world.url)

    def elsewhere(route: Route) -> None:
        made.elsewhere.append(route.request.url)
        route.abort()

    context.route(lambda address: not address.startswith((pages_world.url, "data:", "blob:")), elsewhere)
    made.page.on("console", lambda said: made.refused.append(said.text) if "Content Security" in said.text else None)
    yield made
    context.close()


def test_the_menu_leads_into_the_frame_and_the_search_to_a_document(visit: Visit, pages_world: PagesWorld) -> None:
    visit.page.goto(visit.url)
    visit.page.get_by_role("link", name=ENTRY).click()
    first = visit.frame("/")
    first.get_by_role("link", name="Find", exact=True).click()
    find = visit.frame("/find")
    find.get_by_role("searchbox").fill(pages_world.day.reversed)
    find.get_by_role("searchbox").press("Enter")
    shown = visit.frame(f"/document/{FLOW}/{pages_world.day.reversed}")
    assert pages_world.day.business[pages_world.day.reversed] in shown.locator("h1").inner_text()
    assert shown.locator("section.voucher").count() == 2
    assert f"/finbridge/document/{FLOW}/{pages_world.day.reversed}" in visit.page.url, "a link that can be passed on"


def test_the_switch_of_language_stays_on_the_page(visit: Visit, pages_world: PagesWorld) -> None:
    visit.page.goto(f"{visit.url}/plugin/finbridge/finbridge/held?turn=it")
    visit.frame("/held").get_by_role("link", name="中文").click()
    chinese = visit.frame("/held")
    chinese.get_by_role("heading", name="异常单据").wait_for()
    assert "turn=it" in chinese.url
    chinese.get_by_role("link", name="English").click()
    visit.frame("/held").get_by_role("heading", name="Held documents").wait_for()


def ground(frame: Frame) -> str:
    """The colour behind a page."""
    return str(frame.evaluate("() => getComputedStyle(document.body).backgroundColor"))


def test_the_theme_is_the_one_that_airflow_was_set_to(visit: Visit) -> None:
    address = f"{visit.url}/plugin/finbridge/finbridge/find"
    colours = {}
    for theme in ("dark", "light"):
        visit.page.goto(address)
        visit.page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        visit.page.reload()
        colours[theme] = ground(visit.frame("/find"))
    assert colours == {"dark": "rgb(9, 9, 11)", "light": "rgb(255, 255, 255)"}


def test_a_link_to_airflow_itself_leads_out_of_the_frame(visit: Visit, pages_world: PagesWorld) -> None:
    pages_world.hub.open_run(FLOW, "manual__of_the_frame", "wake")
    visit.page.goto(f"{visit.url}/plugin/finbridge/finbridge/find?q=manual__of_the_frame")
    visit.frame("/find").locator("main a[target=_top]").click()
    visit.page.wait_for_url(f"**/dags/{FLOW}__wake/runs/manual__of_the_frame")
    assert not [frame for frame in visit.page.frames if "/finbridge/" in frame.url]


def test_everything_can_be_reached_by_keyboard(visit: Visit) -> None:
    visit.page.goto(f"{visit.url}/finbridge/held")
    reached = []
    for _ in range(8):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("() => document.activeElement.className || document.activeElement.tagName"))
    assert reached[0] == "skip"
    assert "A" in reached and "INPUT" in reached


def test_nothing_came_from_elsewhere_and_nothing_was_refused(visit: Visit) -> None:
    assert visit.page.url.startswith(visit.url), "the tests above have looked at pages"
    assert [address for address in visit.elsewhere if "finbridge" in address] == []
    assert visit.refused == []
