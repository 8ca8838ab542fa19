"""The statements that make vouchers and their lines, and the queries that read all results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finbridge.mapping.resolved import HEADER_TYPES, Line, Resolved, VoucherKindRule
from finbridge.mapping.scope import Place
from finbridge.mapping.sqltext import NO_TEXT, case, chain, create, named, quote, select

VOUCHER_COLUMNS = ("seq", *HEADER_TYPES, "summary")
LINE_COLUMNS = ("seq", "line_no", "account", "side", "amount_minor", "party", "tax_code", "assignment", "source_lines")
_POSTS = "amount IS NULL OR amount <> 0"  # without a value it is a fault, never silently nothing
_BLANK_RUN = r"'[\s\p{Z}]+'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Queries over the tables of one call; column names stand in the order in which the queries give them."""

    problems: str
    empty: str
    vouchers: str
    voucher_lines: str
    dimensions: tuple[str, ...]
    documents: str
    lines: str | None

    @classmethod
    def of(cls, resolved: Resolved) -> Output:
        """The queries of a mapping."""
        dims = [f"p.x_{name}" for name in resolved.dimensions]
        faults = select(
            "DISTINCT r_document_id, fault, 'voucher.' || r_kind, fault_text", "voucher", where="fault IS NOT NULL"
        )
        documents = ["r_document_id AS document_id", "r_template AS template", "r_company AS company"]
        documents += ["r_currency AS currency", "r_kind AS kind"]
        documents += named((expr.sql, name) for name, expr in resolved.documents.items())
        sound = select("seq", "voucher", where="sound")
        return cls(
            problems=select("document_id, code, field, detail", "problem", tail=f"UNION ALL {faults} ORDER BY ALL"),
            empty=select("seq", "good", where="amount = 0", tail="ORDER BY seq"),
            vouchers=select(VOUCHER_COLUMNS, "voucher", where="sound", tail="ORDER BY seq"),
            voucher_lines=select(
                [*(f"p.{column}" for column in LINE_COLUMNS), *dims],
                f"posting AS p SEMI JOIN ({sound}) AS s USING (seq)",
                tail="ORDER BY p.seq, p.line_no",
            ),
            dimensions=resolved.dimensions,
            documents=select(documents, "head", tail="ORDER BY seq"),
            lines=_frame_lines(resolved),
        )


def _frame_lines(resolved: Resolved) -> str | None:
    """The rows of one detail table, each once, also where a document was asked for two kinds of voucher."""
    if resolved.lines_of is None:
        return None
    columns = ["r_document_id AS document_id", "row_id AS line_id"]
    columns += named((expr.sql, name) for name, expr in resolved.lines.items())
    first = select("min(seq) AS seq", "doc", tail="GROUP BY r_document_id")
    return select(
        columns, f"rows_{resolved.lines_of} SEMI JOIN ({first}) AS f USING (seq)", tail="ORDER BY seq, ord, row_id"
    )


def output_statements(resolved: Resolved) -> dict[str, str]:
    """Statements by name, in order."""
    return {
        "good": _good(resolved),
        "posting": _postings(resolved),
        "total": _total(),
        "voucher": _vouchers(resolved),
    }


def _good(resolved: Resolved) -> str:
    """Requests without a problem in their document, with the amount that they post (0: nothing)."""
    amount = case([(quote(rule.kind), rule.amount.sql) for rule in resolved.kinds], of="r_kind")
    bad = select("DISTINCT document_id AS r_document_id", "problem")
    return create("good", select(f"seq, {amount} AS amount", f"head ANTI JOIN ({bad}) AS b USING (r_document_id)"))


def _total() -> str:
    columns = [
        "seq",
        "sum(amount_minor) FILTER (WHERE side = 'D') AS debit",
        "sum(amount_minor) FILTER (WHERE side = 'C') AS credit",
        "bool_or(account IS NULL OR amount_minor IS NULL) AS incomplete",
    ]
    return create("total", select(columns, "posting", tail="GROUP BY seq"))


# ---------------------------------------------------------------- voucher lines


def _postings(resolved: Resolved) -> str:
    branches = [
        _posting(rule, number, line, resolved.dimensions)
        for rule in resolved.kinds
        for number, line in enumerate(rule.lines)
    ]
    dims = [f"x_{name}" for name in resolved.dimensions]
    order = ", ".join(["rule", "ord", "account", "party", *dims])
    columns = [
        "seq",
        f"row_number() OVER (PARTITION BY seq ORDER BY {order}) AS line_no",
        *("account", "side", "amount_minor", "party", "tax_code", "assignment", *dims, "source_lines"),
    ]
    steps = [
        ("due", select("seq", "good", where=_POSTS)),
        ("made", "\nUNION ALL ".join(branches)),
    ]
    return create("posting", chain(steps, select(columns, "made")))


def _posting(rule: VoucherKindRule, number: int, line: Line, dimensions: Sequence[str]) -> str:
    table = f"rows_{line.each}" if line.each else "head"
    ord_, source = ("ord", f"{quote(line.each + ':')} || row_id") if line.each else ("0", NO_TEXT)
    texts = {
        "account": line.account.sql,
        "party": line.party.sql,
        "tax_code": line.tax_code.sql,
        "assignment": line.assignment.sql,
        **{f"x_{name}": line.dimensions[name].sql if name in line.dimensions else NO_TEXT for name in dimensions},
    }
    columns = ["seq", f"{number} AS rule", f"{ord_} AS ord", f"{quote(line.side)} AS side"]
    columns += [f"{line.amount.sql} AS amount", *named((sql, name) for name, sql in texts.items())]
    where = [f"r_kind = {quote(rule.kind)}", *([] if line.when.sql == "true" else [line.when.sql])]
    rows = select([*columns, f"{source} AS source"], f"{table} SEMI JOIN due USING (seq)", where=" AND ".join(where))
    described = ", ".join(texts)
    if not line.merge:
        listed = case([("source IS NULL", "[]")], "[source]")
        columns = ["seq", "rule", "ord", "side", "amount AS amount_minor", described, f"{listed} AS source_lines"]
        return select(columns, f"({rows})", where=_POSTS)
    total = case([("count(amount) = count(*)", "TRY_CAST(sum(amount) AS BIGINT)")])
    sources = "coalesce(list_sort(list(source) FILTER (WHERE amount <> 0)), [])"
    columns = ["seq", "rule", "min(ord) AS ord", "side", f"{total} AS amount_minor", described]
    merged = select(
        [*columns, f"{sources} AS source_lines"], f"({rows})", tail=f"GROUP BY seq, rule, side, {described}"
    )
    return select("*", f"({merged})", where="amount_minor IS NULL OR amount_minor <> 0")


# ---------------------------------------------------------------- vouchers


def _vouchers(resolved: Resolved) -> str:
    kinds = resolved.kinds
    header = named((_by_kind(kinds, [rule.header[name].sql for rule in kinds]), name) for name in HEADER_TYPES)
    fault = case(
        [
            (
                "g.amount IS NULL OR t.incomplete OR business_date IS NULL OR document_date IS NULL "
                "OR posting_date IS NULL OR attachment_count IS NULL",
                "'incomplete_voucher'",
            ),
            ("t.debit IS DISTINCT FROM t.credit", "'unbalanced_voucher'"),
            ("t.debit IS DISTINCT FROM g.amount", "'voucher_not_amount'"),
        ]
    )
    joined = "h JOIN good AS g USING (seq) LEFT JOIN total AS t USING (seq)"
    bad = select("DISTINCT r_document_id", "v", where="fault IS NOT NULL")
    steps = [
        *_summaries(kinds),
        ("h", select(["*", *header], "s2")),
        ("v", select(["h.*", f"{fault} AS fault"], joined, where="g.amount IS NULL OR g.amount <> 0")),
        ("bad", bad),
    ]
    words = case([(quote(name), quote(text)) for name, text in _FAULTS.items()], of="fault")
    columns = [*(f"v.{column}" for column in VOUCHER_COLUMNS), "v.r_document_id", "r_kind", "fault"]
    columns += [f"{words} AS fault_text", "bad.r_document_id IS NULL AS sound"]
    return create("voucher", chain(steps, select(columns, "v LEFT JOIN bad ON bad.r_document_id = v.r_document_id")))


_FAULTS = {
    "incomplete_voucher": "分录缺科目或金额,或缺日期 / a line lacks account or amount, or a date is missing",
    "unbalanced_voucher": "借贷不平 / debit and credit differ",
    "voucher_not_amount": "借方合计不等于应记金额 / the debit side is not the amount to post",
}


def _by_kind(kinds: Sequence[VoucherKindRule], sqls: Sequence[str]) -> str:
    if len(set(sqls)) == 1:
        return sqls[0]
    return case([(quote(rule.kind), sql) for rule, sql in zip(kinds, sqls, strict=True)], of="r_kind")


def _summaries(kinds: Sequence[VoucherKindRule]) -> list[tuple[str, str]]:
    """The summary 摘要 on one line; what is too long is cut with …, first in the piece that gives way.

    Steps: ``s0`` has a column each for what stands before the piece, the piece, and what stands after it; ``s1`` the
    piece cut to the room that is left; ``s2`` the whole.
    """
    halves: list[list[str]] = [[], [], []]
    for rule in kinds:
        cut = rule.gives_way if rule.gives_way is not None else len(rule.summary)
        for part, pieces in enumerate((rule.summary[:cut], rule.summary[cut : cut + 1], rule.summary[cut + 1 :])):
            halves[part].append(" || ".join(_piece(piece) for piece in pieces) or "''")
    lengths = _by_kind(kinds, [str(rule.max_length) for rule in kinds])
    before, middle, after = (_by_kind(kinds, sqls) for sqls in halves)
    tidy = [
        f"regexp_replace({sql}, {_BLANK_RUN}, ' ', 'g') AS {name}"
        for sql, name in ((before, "s_a"), (middle, "s_b"), (after, "s_c"))
    ]
    return [
        ("s0", select(["*", *tidy, f"{lengths} AS s_max"], "head")),
        ("s1", select([f"* REPLACE ({_cut('s_b', 'greatest(0, s_max - length(s_a) - length(s_c))')} AS s_b)"], "s0")),
        ("s2", select(["*", f"{_cut('(s_a || s_b || s_c)', 's_max')} AS summary"], "s1")),
    ]


def _piece(piece: Place) -> str:
    return quote(piece.text) if piece.expr is None else f"coalesce({piece.expr.sql}, '')"


def _cut(text: str, room: str) -> str:
    short = case([(f"{room} < 2", "''")], f"left({text}, {room} - 1) || '…'")
    return case([(f"length({text}) <= {room}", text)], short)
