"""Whatever stands in an address, a page answers it: with the page, or with words that say what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from finbridge.pages import today
from finbridge.pages.airflow_state import AirflowState
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, World, document, held, problem_of
from tests.page_world import page_client

FLOW = "odd"
RUN = "manual__2026-03-02T09:00:00+00:00"
#: What a page says of a request that it cannot answer, by status and language.
REFUSALS = {
    "zh": {400: "看不懂这个请求", 404: "没有这一页"},
    "en": {400: "The request makes no sense", 404: "No such page"},
}
KNOWN = (
    FLOW,
    f"{FLOW}__manual",
    f"{FLOW}__monthly",
    f"{FLOW}__wake",
    RUN,
    "90001",
    "1",
    "day",
    "held",
    "finbridge.css",
)
NASTY = (
    *(
        "\x00",
        "a\x00b",
        "%00",
        "\ud7ff",
        "\uffff",
        "\U0010ffff",
        "\u202e",
        "..",
        "%2e%2e%2f",
        "-1",
        "0",
        "9" * 19,
        "9" * 40,
    ),
    *("9" * 5000, "x" * 300, "x" * 9000, "' OR 1=1 --", "<script>alert(1)</script>", "{{ 7 * 7 }}", "{x}", "%s", "١٢"),
    *("9999-12-31", "0001-01-01", "2026-02-30", "-2026-1-1", "2026-W01-1", "1969-12-31", "2999-01-01"),
    *("9999-12-31T23:59:59+00:00~1", "0001-01-01T00:00:00+23:59~1", "2026-01-01T00:00:00+00:00:15.5~1"),
    *("2026-01-01T00:00:00~1", f"2026-01-01T00:00:00+00:00~-{'9' * 40}", f"2026-01-01T00:00:00+00:00~{'9' * 19}"),
    *(
        "2026-01-01T00:00:00+00:00~1",
        "2026-01-01T00:00:00.123456-11:59:59.000001~0",
        "~",
        "1~1",
        "nan",
        "1e999",
        "true",
    ),
)
VALUES = st.one_of(st.sampled_from((*KNOWN, *NASTY)), st.text(max_size=60), st.integers().map(str), st.dates().map(str))


@pytest.fixture(scope="module")
def client(hub_database: HubDatabase) -> Iterator[TestClient]:
    """The pages of one flow with documents in it; there is no Airflow here."""

    async def unknown(_flows: object) -> AirflowState:
        return AirflowState()

    with hub_database.open() as hub:
        world = World(hub, FLOW)
        world.post(document("90001", *APPROVED))
        world.store(document("90002", *APPROVED))
        world.check(held([problem_of("90002")]))
        hub.open_run(FLOW, RUN, "wake")
    with pytest.MonkeyPatch.context() as patched, page_client(hub_database.open, FLOW) as found:
        patched.setattr(today, "airflow_state", unknown)
        yield found


def routes(app: FastAPI) -> list[APIRoute]:
    found = [route for route in app.routes if isinstance(route, APIRoute)]
    assert len(found) >= 12
    return found


def ask(client: TestClient, path: str, language: str = "zh") -> tuple[int, str]:
    answer = client.get(path, headers={"Accept-Language": language}, follow_redirects=False)
    assert answer.status_code < 500, f"{answer.status_code} for {path[:300]!r}"
    if answer.status_code >= 400:
        assert REFUSALS[shown_in(path, language)][answer.status_code] in answer.text, path[:300]
        assert "Traceback" not in answer.text
    assert "<script>alert" not in answer.text
    return answer.status_code, answer.text


def shown_in(path: str, language: str) -> str:
    """An address may ask for a language itself."""
    return next((said for said in REFUSALS if f"lang={said}" in re.split("[?&]", path)[1:]), language)


def address(route: APIRoute, path: dict[str, str], query: dict[str, str]) -> str:
    filled = re.sub(r"\{([^}:]+)[^}]*\}", lambda name: quote(path[name.group(1)], safe=""), route.path)
    return filled + (f"?{urlencode(query)}" if query else "")


@settings(max_examples=200, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_address_makes_a_page_fail(client: TestClient, data: st.DataObject) -> None:
    """Every route that there is, every parameter that it declares, and one that it does not."""
    route = data.draw(st.sampled_from(routes(client.app)), label="route")  # type: ignore[arg-type]  # an ASGI app
    declared = [*route.dependant.query_params]
    path = {one.alias: data.draw(VALUES, label=one.alias) for one in route.dependant.path_params}
    names = data.draw(st.sets(st.sampled_from([*(one.alias for one in declared), "lang", "stray"])), label="query")
    query = {name: data.draw(VALUES, label=name) for name in sorted(names)}
    ask(client, address(route, path, query), data.draw(st.sampled_from(["zh", "en"]), label="language"))


@pytest.mark.parametrize("value", NASTY)
def test_each_known_bad_value_in_each_parameter_alone(client: TestClient, value: str) -> None:
    for route in routes(client.app):  # type: ignore[arg-type]  # an ASGI app
        good = {one.alias: FLOW if "flow" in one.alias else "90001" for one in route.dependant.path_params}
        for name in good:
            ask(client, address(route, {**good, name: value}, {}))
        for one in route.dependant.query_params:
            ask(client, address(route, good, {one.alias: value}))


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/today?date=9999-12-31", 400),
        ("/today?date=0001-01-01", 400),
        ("/today?date=2199-12-31", 200),
        ("/find?q=%00", 400),
        ("/find?q=90001%00", 400),
        (f"/document/{FLOW}/9%000001", 400),
        ("/preview/x?start=-1", 400),
        ("/month/1?start=-5", 400),
        (f"/find?q={'9' * 2001}", 400),
        ("/held?after=9999-12-31T23%3A59%3A59%2B00%3A00~1", 400),
        ("/held?after=2026-01-01T00%3A00%3A00%2B00%3A00%3A15.5~1", 200),
        ("/static/" + "x" * 3000, 404),
        ("/nothing", 404),
    ],
)
@pytest.mark.parametrize("language", ["zh", "en"])
def test_an_answer_in_words(client: TestClient, path: str, status: int, language: str) -> None:
    assert ask(client, path, language)[0] == status


def test_only_reading_is_offered(client: TestClient) -> None:
    """No address changes anything, so that a link from elsewhere can do nothing in a reader's name."""
    application = client.app
    assert isinstance(application, FastAPI)
    assert {method for route in routes(application) for method in route.methods} == {"GET"}
    answer = client.post("/held")
    assert answer.status_code == 405
