"""The form of a manual run, read strictly: what is wrong is said in both languages before anything happens."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from finbridge.core.errors import GiveUp
from finbridge.core.preview import MOST_DOCUMENTS, Asked, Window

#: Names of the form's fields.
NUMBERS, COMPANY, LIVE, REASON = "document_numbers", "company", "live", "reason"
SINCE, UNTIL = "approved_from", "approved_to"
#: One a line, or separated by commas as people type them in either language.
_SEPARATORS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029,;\uff0c\u3001\uff1b]+")
_CONTROLS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
#: What only the person who filled in the form can mend.
FORM_ERRORS = frozenset(
    {
        "live_not_boolean",
        "reason_missing",
        "reason_too_long",
        "both_asked",
        "nothing_asked",
        "number_too_long",
        "window_too_large",
        "window_backwards",
        "window_incomplete",
        "unknown_company",
    }
)
#: No OA numbers its documents longer than this.
LONGEST_NUMBER = 200
LONGEST_REASON = 500


def parse_form(form: Mapping[str, Any], companies: Collection[str]) -> Asked:
    """What a person filled in.

    Args:
        form: values by field name; a field that is missing counts as empty.
        companies: those that the flow serves.

    Raises:
        GiveUp: says what is wrong and what to do: nothing asked, both asked, half a window, no reason for a live run.
    """
    live = form.get(LIVE) or False
    if not isinstance(live, bool):
        raise _wrong("live_not_boolean", "“正式执行”只能为是或否", "live is true or false")
    reason = _CONTROLS.sub(" ", _text(form.get(REASON))).strip()
    if live and not reason:
        raise _wrong(
            "reason_missing",
            "正式执行必须填写原因，未做任何操作",
            "a live run needs a reason: nothing was done",
        )
    if len(reason) > LONGEST_REASON:
        raise _wrong(
            "reason_too_long",
            f"原因请不超过 {LONGEST_REASON} 字",
            f"give a reason of at most {LONGEST_REASON} characters",
        )
    numbers = parse_numbers(_text(form.get(NUMBERS)))
    window = any(_text(form.get(name)).strip() for name in (SINCE, UNTIL, COMPANY))
    if numbers and window:
        raise _wrong(
            "both_asked",
            "单据号与审批日期范围只能填一种",
            "give document numbers or a window (dates, company), not both",
        )
    if not numbers and not window:
        raise _wrong(
            "nothing_asked",
            "请填写单据号，或审批起止日期",
            "nothing asked: give document numbers, or the first and last day of approval",
        )
    return Asked(numbers=numbers, window=_window(form, companies) if window else None, live=live, reason=reason)


def parse_numbers(text: str) -> tuple[str, ...]:
    """Business numbers or request ids, each once, in the order given.

    Raises:
        GiveUp: too many, or one is longer than any number.
    """
    numbers = tuple(dict.fromkeys(part for piece in _SEPARATORS.split(text) if (part := piece.strip())))
    if len(numbers) > MOST_DOCUMENTS:
        raise too_large(len(numbers))
    if any(len(number) > LONGEST_NUMBER for number in numbers):
        raise _wrong(
            "number_too_long",
            f"单据号超过 {LONGEST_NUMBER} 个字符，请每行一个或用逗号分隔",
            f"a number has more than {LONGEST_NUMBER} characters: one a line, or separated by commas",
        )
    return numbers


def too_large(count: int) -> GiveUp:
    """The refusal of a run that is no matter for a form."""
    return _wrong(
        "window_too_large",
        f"共 {count:,} 张单据，超过手工同步上限 {MOST_DOCUMENTS:,} 张：请缩小范围，或使用按月 DAG（…__monthly）",
        f"{count:,} documents, a manual run takes {MOST_DOCUMENTS:,}: narrow it, or use the monthly DAG (…__monthly)",
    )


def _window(form: Mapping[str, Any], companies: Collection[str]) -> Window:
    since, until = _day(form, SINCE), _day(form, UNTIL)
    company = _text(form.get(COMPANY)).strip()
    if since > until:
        raise _wrong(
            "window_backwards",
            f"审批起始日期 {since} 晚于结束日期 {until}",
            f"the first day of approval {since} is after the last {until}",
        )
    if company and company not in companies:
        served = ", ".join(sorted(companies))
        raise _wrong(
            "unknown_company",
            f"本流程不服务公司 {company[:LONGEST_NUMBER]}，可选：{served}",
            f"the flow does not serve company {company[:LONGEST_NUMBER]}; it serves {served}",
        )
    return Window(since=since, until=until, company=company)


def _day(form: Mapping[str, Any], name: str) -> date:
    text = _text(form.get(name)).strip()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise _wrong(
            "window_incomplete",
            "请同时填写审批起止日期，格式为 2026-10-31",
            "give both the first and the last day of approval, as 2026-10-31",
        ) from None


def _text(value: object) -> str:
    """What PostgreSQL can hold too: a lone surrogate is nobody's number."""
    return "" if value is None else str(value).encode("utf-8", "replace").decode()


def _wrong(code: str, zh: str, en: str) -> GiveUp:
    return GiveUp(code, f"{zh} / {en}", en)
