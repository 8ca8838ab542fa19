"""What is wrong: found set-based, told in words: code, field and class of value, never the value of a field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from finbridge.core.codes import AMBIGUOUS_CODE, HELD_WORDS, UNKNOWN_CODE, lookup_detail
from finbridge.core.ports import Problem
from finbridge.mapping.codes import CodeRange
from finbridge.mapping.fieldtypes import mistake
from finbridge.mapping.resolved import Resolved
from finbridge.mapping.scope import Scope
from finbridge.mapping.sqltext import NO_TEXT, UNIT, case, create, quote, select

_ROWS_SHOWN = 5
#: What can be wrong with a voucher as a whole.
FAULTS = {
    "incomplete_voucher": "分录缺科目或金额,或缺日期 / a line lacks account or amount, or a date is missing",
    "unbalanced_voucher": "借贷不平 / debit and credit differ",
    "voucher_not_amount": "借方合计不等于应记金额 / the debit side is not the amount to post",
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that can be wrong in a row of a section. ``kind``: a field type, ``code`` (look-up) or ``rule``."""

    condition: str  # SQL, never NULL
    text: str  # SQL of the refused text, or of key, company and day; for a rule its own words
    field: str
    label: str
    kind: str
    table: str = ""

    def told(self, text: str, disputed: Sequence[CodeRange]) -> str:
        """``code: words``. ``disputed``: code rows that disagree."""
        if self.kind == "rule":
            return self.text
        return self._lookup(text, disputed) if self.kind == "code" else mistake(self.kind, text)

    def problem(self, document_id: str, told: str, rows: Sequence[str]) -> Problem:
        """The problem of one document. ``rows``: ids of detail rows."""
        code, _, words = told.partition(": ")
        shown = ",".join(sorted(set(rows), key=lambda row: (len(row), row))[:_ROWS_SHOWN])
        at = f" 行/row {shown}" if shown else ""
        return Problem(document_id=document_id, code=code, field=self.field, detail=f"{self.label}{at}: {words}")

    def _lookup(self, text: str, disputed: Sequence[CodeRange]) -> str:
        code, company, day = text.rsplit(UNIT, 2)
        on = date.fromisoformat(day)
        twice = any(
            (table, found) == (self.table, code) and owner in ("", company) and start <= on < end
            for table, owner, found, _, start, end, _ in disputed
        )
        reason = AMBIGUOUS_CODE if twice else UNKNOWN_CODE
        return f"{reason}: {HELD_WORDS[reason]}{lookup_detail(self.table, code, company, on)}"


def fault_problem(document_id: str, kind: str, fault: str) -> Problem:
    """A voucher that would be wrong as a whole."""
    return Problem(document_id=document_id, code=fault, field=f"voucher.{kind}", detail=FAULTS[fault])


def mistakes_of(resolved: Resolved, scope: Scope, each: str | None) -> list[Mistake]:
    """All that can be wrong in a row of this section."""
    found: list[Mistake] = []
    section = scope.section
    for field in section.fields:
        named = [", ".join(field.columns), "/".join(field.kind.values)]
        label = f"{field.label}({'; '.join(part for part in named if part)})" if any(named) else field.label
        value = _of_value(resolved, scope, field.name, _placed(section.label, label))
        found.append(replace(value, kind=field.kind.name))
    for item in (item for item in section.derived if item.lookup):
        label = _placed(section.label, item.name)
        found.append(replace(_of_value(resolved, scope, item.name, label), kind="code", table=item.lookup or ""))
    for rule in (r for r in resolved.rules if r.check.each == each):
        condition = f"({rule.fails}){_only(resolved, rule.kinds)}"
        label = _placed(section.label, rule.field.partition(".")[2])
        found.append(Mistake(condition, f"{rule.check.code}: {rule.check.text}", rule.field, label, "rule"))
    if each is None:
        kinds = ", ".join(quote(rule.kind) for rule in resolved.kinds)
        words = "no_voucher_rule: 没有这种凭证的模板 / the mapping makes no such voucher"
        found.append(Mistake(f"r_kind NOT IN ({kinds})", words, "request.kind", "凭证种类", "rule"))
    return found


def mistakes_sql(mistakes: Sequence[Mistake], first: int) -> str:
    """A list of {number, text} for what is wrong in this row, NULL (and nothing spelt out) where nothing is."""
    listed = [
        case([(m.condition, f"{{'n': {number}, 't': {quote('') if m.kind == 'rule' else m.text}}}")])
        for number, m in enumerate(mistakes, start=first)
    ]
    return case([(" OR ".join(f"({m.condition})" for m in mistakes), f"[{', '.join(listed)}]")])


def problem_statement(details: Mapping[str, Scope]) -> str:
    """``problem``: a row for each (document, mistake number, text) with the first few row ids."""
    sources = [("head", NO_TEXT), *((f"rows_{name}", "row_id") for name in details)]
    found = " UNION ALL ".join(
        select(["r_document_id", f"{row} AS row_id", "unnest(mistakes) AS p"], table, where="mistakes IS NOT NULL")
        for table, row in sources
    )
    rows = f"list_slice(list_sort(list(DISTINCT row_id) FILTER (WHERE row_id IS NOT NULL)), 1, {_ROWS_SHOWN})"
    columns = ["r_document_id AS document_id", "p.n AS n", "p.t AS t", f"{rows} AS shown"]
    return create("problem", select(columns, f"({found})", where="p IS NOT NULL", tail="GROUP BY ALL"))


def _of_value(resolved: Resolved, scope: Scope, name: str, label: str) -> Mistake:
    field = f"{scope.section.name}.{name}"
    condition, text = scope.errors[name]
    return Mistake(f"{condition}{_only(resolved, resolved.kinds_that_need(field))}", text, field, label, "text")


def _placed(section: str, label: str) -> str:
    return f"{section}·{label}" if section else label


def _only(resolved: Resolved, kinds: tuple[str, ...]) -> str:
    if len(kinds) == len(resolved.kinds):
        return ""
    return f" AND r_kind IN ({', '.join(quote(kind) for kind in kinds)})"
