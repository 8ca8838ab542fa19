"""Find, Document and Held as people read them, in both languages, from a day that the shipped flow made."""

from __future__ import annotations

import csv
import html
import io
import re
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from tests.e2e.pages_day import FLOW
from tests.e2e.pages_world import Answer, PagesWorld

pytestmark = pytest.mark.slow


def words(answer: Answer) -> str:
    """What a page says, without its tags, blanks made one."""
    assert answer.status == 200, answer.text[:300]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.text)))


def vouchers(world: PagesWorld, document_id: str) -> list[dict[str, Any]]:
    return [row for row in world.hub.register_rows(FLOW) if row["document_id"] == document_id]


def document(world: PagesWorld, document_id: str, **how: Any) -> str:
    return words(world.page(f"/document/{FLOW}/{document_id}", **how))


@pytest.mark.parametrize("column", ["document_id", "business_number", "key", "finance_number"])
def test_one_number_leads_straight_to_its_document(pages_world: PagesWorld, column: str) -> None:
    (voucher,) = vouchers(pages_world, pages_world.day.posted[-1])
    same = [row for row in pages_world.hub.register_rows(FLOW) if row[column] == voucher[column]]
    answer = pages_world.page("/find", query={"q": f" {voucher[column]} "})
    if len(same) == 1:
        assert answer.status == 303
        assert answer.headers["location"].startswith(f"/finbridge/document/{FLOW}/{voucher['document_id']}")
    else:  # each company numbers its own vouchers
        assert all(row["business_number"] in words(answer) for row in same)


def test_many_numbers_and_what_is_missing(pages_world: PagesWorld) -> None:
    first, second = (pages_world.day.business[name] for name in pages_world.day.posted[:2])
    said = words(pages_world.page("/find", query={"q": f"{first}，{second}\n不存在-1"}))
    assert "找到 2 张单据" in said
    assert "没有找到： 不存在-1" in said


def test_a_beginning_that_names_too_many_says_so(pages_world: PagesWorld) -> None:
    said = words(pages_world.page("/find", query={"q": "BX2026112"}))
    assert "找到 20 张单据" in said
    assert "只显示前 20 张" in said


def test_what_is_typed_is_shown_as_text_and_never_as_markup(pages_world: PagesWorld) -> None:
    answer = pages_world.page("/find", query={"q": "<script>alert(1)</script>\"'><b>x"})
    assert "<script>alert" not in answer.text and "<b>x" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


def test_a_posted_document_shows_both_sides_of_its_voucher(pages_world: PagesWorld) -> None:
    name = pages_world.day.edited
    (voucher,) = vouchers(pages_world, name)
    chinese, english = document(pages_world, name), document(pages_world, name, language="en")
    for said in (chinese, english):
        assert voucher["finance_number"] in said and voucher["key"] in said
        assert "660101" in said and "5,000.00" in said  # expense without its VAT
        assert "22210101" in said and "300.00" in said
        assert "2241" in said and "E0007" in said
        assert said.count("5,300.00") >= 3  # credit line, both totals
    assert "已入账" in chinese and "轮到谁 无人" in chinese and "借方" in chinese and "贷方" in chinese
    assert "Posted" in english and "Whose turn Nobody" in english and "Debit" in english and "Credit" in english


def test_versions_tell_field_by_field_what_changed_and_no_personal_value(pages_world: PagesWorld) -> None:
    said = document(pages_world, pages_world.day.edited)
    assert "核定总额 2388.10 5300.00" in said
    assert "事由 北京项目出差 广州展会" in said
    assert "申请人姓名 （个人信息，不显示） （个人信息，不显示）" in said
    assert "6222021234567890" not in said
    assert said.count("李四丰") == said.count("报销李四丰"), "a name stands in a 摘要 alone"
    assert "张三" not in said


def test_a_reversed_document_shows_red_lines_and_why(pages_world: PagesWorld) -> None:
    said = document(pages_world, pages_world.day.reversed)
    expense, reversal = vouchers(pages_world, pages_world.day.reversed)
    assert "已红冲" in said and "红字冲销" in said
    assert f"-{expense['debit_minor'] // 100:,}." in said
    assert expense["finance_number"] in said and reversal["finance_number"] in said
    assert "退回" in said


def test_a_held_document_says_why_and_whose_turn_it_is(pages_world: PagesWorld) -> None:
    held = pages_world.day.held
    tax = document(pages_world, held["vat_mismatch"])
    assert "税额与税率不符" in tax and "轮到谁 提交人" in tax and "还没有凭证" in tax
    code = document(pages_world, held["unknown_code"], language="en")
    assert "code not in the code table" in code and "Whose turn Finance" in code and "CC-XYZ-99" in code
    rejected = document(pages_world, pages_world.day.rejected)
    assert "财务系统拒绝该凭证" in rejected and "财务拒绝" in rejected and "已写回" in rejected
    waiting = document(pages_world, pages_world.day.closed_period)
    assert "会计期间未开放" in waiting and "待开账" in waiting


def test_a_document_in_approval_waits_for_its_approver(pages_world: PagesWorld) -> None:
    said = document(pages_world, pages_world.day.in_approval)
    assert "未审批" in said and "轮到谁 审批人" in said


def test_a_paid_document_shows_two_vouchers(pages_world: PagesWorld) -> None:
    said = document(pages_world, pages_world.day.paid, language="en")
    assert "Expense voucher" in said and "Payment voucher" in said and "1002" in said


def test_a_document_shows_what_finance_says_about_its_payment(pages_world: PagesWorld) -> None:
    with psycopg.connect(pages_world.database.app_dsn) as connection:
        connection.execute(
            """
            INSERT INTO hub.payment_status (flow_id, document_id, company, business_number, status, number, paid_on,
                                            amount_minor, currency, verified, reason, detail)
            VALUES (%s, %s, '1000', 'BX', 'paid', '记-2026-000999', '2026-11-21', 123456, 'CNY', false,
                    'payment_status_refused', 'column too short')
            """,
            [FLOW, pages_world.day.paid],
        )
    said = document(pages_world, pages_world.day.paid)
    assert "付款状态 结果 已付" in said and "1,234.56" in said and "记-2026-000999" in said and "2026-11-21" in said
    assert "OA 拒绝写入付款状态 column too short" in said
    assert "付款状态" not in document(pages_world, pages_world.day.edited)


@pytest.mark.parametrize(
    "path", ["/document/weaver_tryton__expense_claim/nobody", "/document/no_flow/90001", "/nowhere"]
)
def test_what_is_not_there_is_said_in_words(pages_world: PagesWorld, path: str) -> None:
    answer = pages_world.page(path)
    assert answer.status == 404
    assert "没有这一页" in answer.text


# ---------------------------------------------------------------------- held


def test_held_names_every_reason_with_its_turn(pages_world: PagesWorld) -> None:
    said = words(pages_world.page("/held"))
    for name in (*pages_world.day.held.values(), pages_world.day.rejected, pages_world.day.closed_period):
        assert pages_world.day.business[name] in said
    for reason in (
        "对照表中没有该代码",
        "税额与税率不符",
        "金额格式不正确",
        "公司未登记",
        "财务系统拒绝该凭证",
        "会计期间未开放",
    ):
        assert reason in said
    assert "7 张单据" in said
    assert "请查看明细" not in said, "a reason without words of its own"


def test_held_is_filtered_by_reason_company_and_turn(pages_world: PagesWorld) -> None:
    day = pages_world.day
    said = words(pages_world.page("/held", query={"turn": "it"}))
    assert day.business[day.held["unknown_company"]] in said
    assert day.business[day.held["vat_mismatch"]] not in said
    said = words(pages_world.page("/held", query={"code": "vat_mismatch", "company": "1000"}, language="en"))
    assert "VAT amount does not fit its rate" in said
    assert day.business[day.rejected] not in said
    assert "没有停下来的单据" in words(pages_world.page("/held", query={"code": "vat_mismatch", "company": "2000"}))


@pytest.mark.parametrize("mark", ["x", "2026-11-20~1", "~", "2026-11-20T10:00:00+00:00~x"])
def test_a_place_that_is_none_is_refused(pages_world: PagesWorld, mark: str) -> None:
    assert pages_world.page("/held", query={"after": mark}).status == 400


def test_held_as_csv(pages_world: PagesWorld) -> None:
    answer = pages_world.page("/held.csv", query={"turn": "submitter"})
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert {row["单据编号"] for row in rows} >= {pages_world.day.business[pages_world.day.held["vat_mismatch"]]}
    assert {row["轮到谁"] for row in rows} == {"提交人"}
    tax = next(row for row in rows if row["原因代码"] == "vat_mismatch")
    assert tax["核定金额"] == "4374.05" and tax["币种"] == "CNY"


# ---------------------------------------------------------------------- language


def test_the_language_is_asked_for_kept_and_else_the_browsers(pages_world: PagesWorld) -> None:
    assert "异常单据" in words(pages_world.page("/held", headers={"Accept-Language": "fr"}))
    assert "Held documents" in words(pages_world.page("/held", headers={"Accept-Language": "en-US,zh;q=0.8"}))
    asked = pages_world.page("/held", query={"lang": "en"})
    assert "Held documents" in words(asked)
    assert "finbridge_lang=en" in asked.headers["set-cookie"] and "Path=/finbridge" in asked.headers["set-cookie"]
    cookie = {"Cookie": f"_token={pages_world.token('engineer')}; finbridge_lang=en"}
    assert "Held documents" in words(pages_world.page("/held", headers=cookie))
    assert "异常单据" in words(pages_world.page("/held", query={"lang": "zh"}, headers=cookie))
    assert 'lang="zh-CN"' in pages_world.page("/held", query={"lang": "zh"}).text


def test_times_are_those_of_the_company(pages_world: PagesWorld) -> None:
    whole = pages_world.hub.views.document(FLOW, pages_world.day.posted[0])
    assert whole is not None
    local = whole["attempts"][0]["started_at"].astimezone(ZoneInfo("Asia/Shanghai"))
    assert f"{local:%Y-%m-%d %H:%M:%S}" in document(pages_world, pages_world.day.posted[0])
