"""Today, Quality, Preview and Month as people read them; who may see them is proven on the real server."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from finbridge.core.month import Difference, SideSum, What
from finbridge.core.notify import Sighting
from finbridge.core.outcomes import PeriodClosed
from finbridge.core.runs import run_identity
from finbridge.pages import airflow_state, today
from finbridge.pages.airflow_state import AirflowState

from tests.hub_fixtures import HubDatabase
from tests.hub_world import APPROVED, BEGIN, World, document, held, problem_of
from tests.integration.test_hub_view_quality import verdict
from tests.page_world import page_client

DAY = BEGIN.date().isoformat()
RUN = "manual__2026-03-02T09:00:00.1+00:00_a"


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of one flow, and the world behind them."""

    client: TestClient
    world: World

    def read(self, path: str, language: str = "zh", status: int = 200) -> str:
        """What a page says without its tags, blanks made one."""
        answer = self.client.get(path, headers={"Accept-Language": language}, follow_redirects=False)
        assert answer.status_code == status, answer.text[:2000]
        return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))

    def source(self, path: str) -> str:
        answer = self.client.get(path)
        assert answer.status_code == 200
        return str(answer.text)


@pytest.fixture
def pages(hub_world: World, hub_database: HubDatabase, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pages]:
    async def unknown(_flows: object) -> AirflowState:
        return AirflowState()

    monkeypatch.setattr(today, "airflow_state", unknown)  # there is no Airflow here
    with page_client(hub_database.open, hub_world.flow) as client:
        yield Pages(client, hub_world)


def claims(world: World) -> None:
    """Posted 100.00 and 200.00, held 400.00, waiting 800.00; another company posted 5.00."""
    shown = {"1": "100.00", "2": "200.00", "3": "400.00", "4": "800.00", "5": "5.00"}
    made = [document(n, *APPROVED, amount=a, company="2000" if n == "5" else "1000") for n, a in shown.items()]
    world.store(*(replace(d, amount_minor=int(shown[d.document_id].replace(".", ""))) for d in made))
    world.check(held([problem_of("3", "vat_mismatch")]))
    world.deliver(lambda v: PeriodClosed("no") if v.identity.document_id == "4" else world.finance.post(v))


# ---------------------------------------------------------------------- today


def test_the_day_adds_up_in_both_languages(pages: Pages) -> None:
    claims(pages.world)
    chinese, english = (pages.read(f"/today?date={DAY}", language) for language in ("zh", "en"))
    for said, check in ((chinese, "✓ 相符"), (english, "✓ Adds up")):
        assert said.count(check) == 3  # two companies and their sum
        for figure in ("1,500.00", "300.00", "400.00", "800.00", "1,505.00"):
            assert figure in said
    assert "待开账" in chinese and "Waits for its period" in english
    assert "没有未完成的单据" not in chinese


def test_each_number_leads_to_its_documents(pages: Pages) -> None:
    claims(pages.world)
    links = re.findall(r'href="(/today\?[^"]*show=[^"]*)#list"', pages.source(f"/today?date={DAY}"))
    assert len(links) > 8
    told = {}
    for link in map(html.unescape, links):
        if "company=1000" in link:
            told[link.partition("show=")[2].partition("&")[0]] = pages.read(link)
    assert "BX3" in told["held"] and "税额与税率不符" in told["held"] and "BX1 " not in told["held"]
    assert "BX4" in told["waiting_period"]
    assert all(f"BX{n}" in told["all"] for n in "1234")


def test_a_day_without_documents_and_an_empty_hub_say_so(pages: Pages) -> None:
    said = pages.read("/today?date=2020-02-29")
    assert "这一天没有审批通过的单据" in said and "没有未完成的单据" in said and "这一天没有过账" in said
    assert "Nothing is open" in pages.read("/today", "en")


@pytest.mark.parametrize(
    "path", ["/today?date=2026-02-30", "/today?date=x", "/today?show=nonsense", "/today?scope=all"]
)
def test_what_makes_no_sense_is_refused(pages: Pages, path: str) -> None:
    assert "看不懂这个请求" in pages.read(path, status=400)


def test_a_difference_between_form_and_voucher_shows(pages: Pages) -> None:
    pages.world.store(replace(document("1", *APPROVED, amount="100.00"), amount_minor=10300))
    pages.world.check()
    said = pages.read(f"/today?date={DAY}")
    assert "✗ 金额相差 -3.00" in said and "✓ 相符" not in said
    listed = pages.read(f"/today?date={DAY}&show=differing")
    assert "BX1" in listed and "103.00" in listed and "100.00" in listed


def test_open_alarms_stand_on_top_and_those_of_other_flows_do_not(pages: Pages) -> None:
    flow = pages.world.flow
    pages.world.hub.alarms.see(
        [
            Sighting(flow_id=flow, cause="clock_skew", company="1000", dag_id="d", run_id="r+1", task_id="t"),
            Sighting(flow_id=flow, cause="never heard of"),
            Sighting(flow_id="another", cause="task_died"),
        ]
    )
    said, source = pages.read("/today", "en"), pages.source("/today")
    assert "Clocks differ · Company 1000" in said and "A task failed · All companies" in said
    assert "A task's process died" not in said
    assert 'href="/dags/d/runs/r%2B1/tasks/t"' in source


def test_a_paused_dag_and_a_silent_watcher_show(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    async def state(flows: list[str]) -> AirflowState:
        return AirflowState(
            paused={f"{flows[0]}__wake": True, f"{flows[0]}__sweep": False, "another__wake": True},
            triggerer_at=BEGIN.astimezone(),
            triggerer_healthy=False,
        )

    monkeypatch.setattr(today, "airflow_state", state)
    said = pages.read("/today")
    assert (
        f"已暂停：{pages.world.flow}__wake" in said
        and "another__wake" not in said
        and "__sweep" not in said
        and "没有心跳" in said
    )


async def test_without_airflow_s_database_its_state_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no metadata database")

    monkeypatch.setattr("airflow.models.dag.DagModel.get_dagmodel", broken)
    assert await airflow_state.airflow_state(["f"]) == AirflowState()


# ---------------------------------------------------------------------- quality


def test_rules_are_told_in_words_with_their_trend(pages: Pages) -> None:
    hub, flow = pages.world.hub, pages.world.flow
    pages.world.store(document("7", *APPROVED))
    for number in range(3):
        hub.store_verdict(flow, f"r{number}", verdict(["7"] if number else []))
    chinese, english = pages.read("/quality"), pages.read("/quality", "en")
    assert "代码不在对照表中" in chinese and "a code is not in the code table" in english
    assert "BX7" in chinese and "Bad rows: 2" in english
    assert pages.source("/quality").count('class="chart trend"') == 1
    assert "还没有检查结果" in chinese  # of the other suite


def test_a_broken_batch_rule_shows(pages: Pages) -> None:
    pages.world.hub.store_verdict(pages.world.flow, "r1", verdict(broken=["documents.row_count: 单据行数超出范围 / x"]))
    assert "批次规则不通过，整批未过账" in pages.read("/quality")


def test_no_verdict_yet(pages: Pages) -> None:
    assert pages.read("/quality", "en").count("No results yet") == 2
    assert "没有这一页" in pages.read("/quality?flow=another", status=404)


# ---------------------------------------------------------------------- preview


def voucher(state: str, amount: int, **more: Any) -> dict[str, Any]:
    lines = [
        {"line_no": 1, "account": "660201", "side": "D", "local_amount_minor": amount},
        {"line_no": 2, "account": "2241", "side": "C", "local_amount_minor": amount, "party": "E0001"},
    ]
    blank = {"party": "", "department": "", "employee": "", "summary": "报销 <b>差旅</b>"}
    return {
        "key": "E000000000000001",
        "kind": "reversal" if amount < 0 else "expense",
        "state": state,
        "posting_date": "2026-03-02",
        "period": "2026-03",
        "voucher_word": "记",
        "summary": "报销",
        "currency": "CNY",
        "attachment_count": 2,
        "debit_minor": amount,
        "credit_minor": amount,
        "lines": [{**blank, **line} for line in lines],
    } | more


def begin(pages: Pages, *, live: bool, rows: list[dict[str, Any]], run_id: str = RUN) -> None:
    runs = pages.world.hub.manual_runs
    asked = {"numbers": ["BX1", "BX2"]}
    runs.begin(run_id=run_id, flow_id=pages.world.flow, actor="li", live=live, reason="补记", asked=asked)
    runs.add_previews(run_id, [{"company": "1000", "problems": [], "vouchers": []} | row for row in rows])


def test_a_dry_run_says_that_nothing_was_sent_and_shows_both_sides(pages: Pages) -> None:
    problem = {"code": "unknown_code", "field": "lines.account", "detail": "account: 6602|招待"}
    run_id = f"{RUN}_dry"
    begin(
        pages,
        live=False,
        run_id=run_id,
        rows=[
            {
                "document_id": "1",
                "business_number": "BX1",
                "verdict": "would_post",
                "vouchers": [voucher("new", 12345)],
            },
            {"document_id": "2", "business_number": "BX2", "verdict": "held", "problems": [problem]},
            {"document_id": "", "business_number": "BX9", "verdict": "not_found"},
        ],
    )
    path = f"/preview/{run_id.replace('+', '%2B')}"
    chinese, english = pages.read(path), pages.read(path, "en")
    assert "试算：未发送任何内容" in chinese and "Dry run: nothing was sent" in english
    assert "正式运行：凭证真实过账" not in chinese and "really posted" not in english
    assert "发起人 li" in chinese and "原因 补记" in chinese and "BX1, BX2" in chinese
    assert chinese.count("123.45") == 4  # two lines, two totals
    assert "借方" in chinese and "贷方" in chinese and "Debit" in english and "Credit" in english
    assert "对照表中没有该代码" in chinese and "财务" in chinese and "查无此单" in chinese
    assert "报销 <b>差旅</b>" in chinese and "<b>差旅" not in pages.source(path)
    only = pages.read(f"{path}?verdict=held")
    assert "BX2" in only and "123.45" not in only
    assert "试算" in pages.read("/preview") and run_id in pages.read("/preview")


def test_a_live_run_shows_finance_s_numbers_and_a_reversal_in_red(pages: Pages) -> None:
    run_id = f"{RUN}_live"
    shown = [voucher("reversing", 500, number="记-2026-000009"), voucher("new", -500)]
    begin(
        pages,
        live=True,
        run_id=run_id,
        rows=[{"document_id": "1", "business_number": "BX1", "verdict": "would_reverse", "vouchers": shown}],
    )
    path = f"/preview/{run_id.replace('+', '%2B')}"
    said = pages.read(path)
    assert "正式运行：凭证真实过账" in said and "未发送任何内容" not in said
    assert "记-2026-000009" in said and "-5.00" in said and "红冲未完成" in said and "尚未结束" in said
    assert "结果请稍后刷新查看" in said and "这次运行之后的结果" not in said
    pages.world.hub.manual_runs.close(run_id, {"would_reverse": 1})
    assert "这次运行之后的结果" in pages.read(path)
    assert 'class="money minus"' in pages.source(path)


def test_many_documents_come_in_pages(pages: Pages) -> None:
    run_id = f"{RUN}_many"
    rows = [{"document_id": str(n), "business_number": f"BX{n:04}", "verdict": "not_approved"} for n in range(120)]
    begin(pages, live=False, run_id=run_id, rows=rows)
    path = f"/preview/{run_id.replace('+', '%2B')}"
    first, last = pages.read(path), pages.read(f"{path}?start=100")
    assert "BX0049" in first and "BX0050" not in first and "共 120 张" in first
    assert "BX0119" in last and "下一页" not in last


def test_runs_of_other_flows_are_not_there(pages: Pages) -> None:
    hub = pages.world.hub
    hub.manual_runs.begin(run_id="theirs", flow_id="another", actor="x", live=False, reason="", asked={"numbers": []})
    number, _ = hub.months.begin("another", "1000", "2026-02", "theirs_monthly")
    for path in ("/preview/theirs", "/preview/nobody", f"/month/{number}", "/month/theirs_monthly", "/month/nobody"):
        assert "没有这一页" in pages.read(path, status=404)
    assert "theirs" not in pages.read("/preview")


# ---------------------------------------------------------------------- month


def compare(pages: Pages, company: str, run_id: str, differences: list[Difference]) -> int:
    months = pages.world.hub.months
    number, _ = months.begin(pages.world.flow, company, "2026-02", run_id)
    months.add_differences(number, 1, differences)
    shown = {"oa": (3, 30000), "register": (3, 30000), "finance": (2, 29900)}
    sums = [
        SideSum(side=side, kind="expense", currency="CNY", vouchers=count, amount_minor=minor)
        for side, (count, minor) in shown.items()
    ]
    open_ones = sum(not d.explained for d in differences)
    months.close(number, sums, unexplained=open_ones, explained=len(differences) - open_ones)
    return number


def difference(what: What, name: str, oa: int | None, finance: int | None, detail: str = "") -> Difference:
    return Difference(
        what=what,
        kind="expense",
        detail=detail,
        document_id=name,
        business_number=f"BX{name}",
        currency="CNY",
        oa_minor=oa,
        finance_minor=finance,
    )


def test_a_red_month_names_what_nobody_explains_first(pages: Pages) -> None:
    both = "金额 / amount: 100.00 → 99.00"
    number = compare(
        pages,
        "1000",
        "red+run",
        [
            difference(What.HELD, "4", 700, None, "vat_mismatch"),
            difference(What.ALTERED, "1", 10000, 9900, both),
            difference(What.MISSING, "2", 10000, None),
            difference(What.EXTRA, "3", None, 10000),
        ],
    )
    chinese, english = pages.read(f"/month/{number}"), pages.read(f"/month/{number}", "en")
    assert "3 项差异无法解释" in chinese and "Unexplained differences: 3" in english
    assert "公司 1000 · 会计期间 2026-02" in chinese
    for name in ("财务缺少", "财务多出", "内容被改动", "金额: 100.00 → 99.00"):
        assert name in chinese
    for name in ("Missing in finance", "Extra in finance", "Altered", "amount: 100.00 → 99.00"):
        assert name in english
    assert chinese.index("BX1") < chinese.index("有原因的差异") < chinese.index("税额与税率不符")
    assert "-1.00" in chinese  # finance less OA
    assert f"/document/{pages.world.flow}/2" in pages.source(f"/month/{number}")


def test_a_green_month_and_the_other_company_of_its_run(pages: Pages) -> None:
    run_id = "monthly__2026-03-01T00:00:00+00:00"
    compare(pages, "1000", run_id, [difference(What.HELD, "4", 700, None, "vat_mismatch")])
    compare(pages, "2000", run_id, [])
    path = f"/month/{run_id.replace('+', '%2B')}"
    assert "公司 2000 · 会计期间 2026-02" in pages.read(path).split("三方合计")[0]
    said = pages.read(f"{path}?company=1000", "en")
    assert "All three sides agree" in said and "Nothing is unexplained" in said
    assert re.search(r"<h1>[^<]*1000", pages.source(f"{path}?company=1000"))
    assert "2026-02" in pages.read("/month")


def test_a_comparison_that_goes_on_is_neither_green_nor_red(pages: Pages) -> None:
    number, _ = pages.world.hub.months.begin(pages.world.flow, "1000", "2026-02", "open run")
    said = pages.read(f"/month/{number}")
    assert "核对尚未结束" in said and "三方相符" not in said and "无法解释的差异 没有" in said


# ---------------------------------------------------------------------- from a run


def test_a_run_leads_to_the_page_that_it_filled(pages: Pages) -> None:
    flow = pages.world.flow
    pages.world.hub.open_run(flow, run_identity(f"{flow}__wake", "a+b"), "wake")

    def leads(dag_id: str, run_id: str = "a%2Bb") -> str:
        answer = pages.client.get(f"/run/{dag_id}/{run_id}", follow_redirects=False)
        assert answer.status_code == 303
        return str(answer.headers["location"])

    assert (leads(f"{flow}__manual"), leads(f"{flow}__monthly")) == ("/preview", "/month")  # not so far yet
    begin(pages, live=False, rows=[], run_id=run_identity(f"{flow}__manual", "a+b"))
    assert leads(f"{flow}__monthly") == "/month"  # another DAG's run of that name is not its own
    compare(pages, "1000", run_identity(f"{flow}__monthly", "a+b"), [])
    assert leads(f"{flow}__manual") == f"/preview/{flow}__manual~a%2Bb"
    assert leads(f"{flow}__monthly") == f"/month/{flow}__monthly~a%2Bb"
    for kind, page in (("manual", "preview"), ("monthly", "month")):
        source = pages.source(f"/{page}/{flow}__{kind}~a%2Bb")
        assert f"/dags/{flow}__{kind}/runs/a%2Bb" in source  # back to Airflow by Airflow's own name
        assert f">{flow}__{kind}~" not in source
    day = date.fromisoformat(leads(f"{flow}__wake").removeprefix("/today?date="))
    assert abs(day - date.today()) <= timedelta(days=1)  # noqa: DTZ011 - whatever the zone
    assert leads(f"{flow}__sweep", "unknown") == leads("finbridge__housekeeping") == "/today"
    assert pages.client.get("/run/another__manual/r", follow_redirects=False).status_code == 404


def test_a_run_of_another_flow_does_not_show_that_it_is_there(pages: Pages) -> None:
    flow = pages.world.flow
    pages.world.hub.months.begin("somebody_else", "1000", "2026-02", run_identity(f"{flow}__monthly", "theirs"))
    answer = pages.client.get(f"/run/{flow}__monthly/theirs", follow_redirects=False)
    assert answer.headers["location"] == "/month"
