"""The statements that make vouchers and their lines, and the queries that read all results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from finbridge.mapping.resolved import HEADER_TYPES, Line, Resolved, VoucherKindRule
from finbridge.mapping.scope import Place
from finbridge.mapping.sqltext import NO_TEXT, UNIT, case, chain, create, named, quote, select

VOUCHER_COLUMNS = ("seq", *HEADER_TYPES, "summary")
LINE_COLUMNS = ("seq", "line_no", "account", "side", "amount_minor", "party", "tax_code", "assignment", "source_lines")
_LINE_TEXTS = ("account", "party", "tax_code", "assignment")
_POSTS = "amount IS NULL OR amount <> 0"  # without a value it is a fault, never silently nothing
_BLANK_RUN = r"'[\s\p{Z}\p{Cc}]+'"  # no line break, no control character: databases refuse some


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Queries over the tables of one call; column names stand in the order in which the queries give them."""

    problems: str
    faults: str
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
        documents = ["r_document_id AS document_id", "r_template AS template", "r_company AS company"]
        documents += ["r_currency AS currency", "r_kind AS kind"]
        documents += named((expr.sql, name) for name, expr in resolved.documents.items())
        sound = select("seq", "voucher", where="sound")
        return cls(
            problems=select("document_id, n, t, shown", "problem"),
            faults=select("DISTINCT r_document_id, r_kind, fault", "voucher", where="fault IS NOT NULL"),
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
    first = select("min(seq) AS seq", "head", tail="GROUP BY r_document_id")
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
    """Lines of all kinds, numbered in each voucher. What no line has is added behind the numbering: it sorts less."""
    dims = [f"x_{name}" for name in resolved.dimensions]
    texts = [_texts(line, resolved.dimensions) for rule in resolved.kinds for line in rule.lines]
    nowhere = {name for name in (*_LINE_TEXTS[1:], *dims) if all(text[name] == NO_TEXT for text in texts)}
    branches = [
        _posting(rule, number, line, [name for name in (*_LINE_TEXTS, *dims) if name not in nowhere], resolved)
        for rule in resolved.kinds
        for number, line in enumerate(rule.lines)
    ]
    columns = [
        "seq",
        "row_number() OVER (PARTITION BY seq ORDER BY rule, ord, amount_minor) AS line_no",
        *("account", "side", "amount_minor"),
        *(f"{NO_TEXT} AS {name}" if name in nowhere else name for name in (*_LINE_TEXTS[1:], *dims)),
        "source_lines",
    ]
    due = select("seq", "good", where=_POSTS)
    steps = [("made", "\nUNION ALL ".join(branches))]
    where = "amount_minor IS NULL OR amount_minor <> 0"  # a line without value is a fault, one of 0.00 is no line
    return create("posting", chain(steps, select(columns, f"made SEMI JOIN ({due}) AS d USING (seq)", where=where)))


def _texts(line: Line, dimensions: Sequence[str]) -> dict[str, str]:
    """SQL of a line's texts by column."""
    own = {name: getattr(line, name).sql for name in _LINE_TEXTS}
    return {**own, **{f"x_{n}": line.dimensions[n].sql if n in line.dimensions else NO_TEXT for n in dimensions}}


def _posting(rule: VoucherKindRule, number: int, line: Line, wanted: Sequence[str], resolved: Resolved) -> str:
    table = f"rows_{line.each}" if line.each else "head"
    if line.each and line.of_main:
        table += f" JOIN ({select(['seq', *line.of_main], 'head')}) AS m USING (seq)"
    texts = _texts(line, resolved.dimensions)
    where = " AND ".join([f"r_kind = {quote(rule.kind)}", *([] if line.when.sql == "true" else [line.when.sql])])
    source = f"{quote(line.each + ':')} || row_id" if line.each else ""
    fixed = ["seq", f"{number} AS rule"]
    side, described = f"{quote(line.side)} AS side", named((texts[name], name) for name in wanted)
    amount = line.amount.sql
    if not line.merge or not line.each:
        order, sources = ("ord", source) if line.each else ("0", "''")
        columns = [*fixed, f"{order} AS ord", side, f"{amount} AS amount_minor", *described]
        return select([*columns, f"{sources} AS source_lines"], table, where=where)
    total = case([(f"count({amount}) = count(*)", f"TRY_CAST(sum({amount}) AS BIGINT)")])
    sources = f"array_to_string(list_sort(list({source}) FILTER (WHERE {amount} <> 0)), {quote(UNIT)})"
    columns = [*fixed, "min(ord) AS ord", side, f"{total} AS amount_minor", *described]
    return select([*columns, f"{sources} AS source_lines"], table, where=where, tail="GROUP BY ALL")


# ---------------------------------------------------------------- vouchers


def _vouchers(resolved: Resolved) -> str:
    """Header, summary and faults of each request that posts; ``sound`` where its whole document is without fault.

    The summary 摘要 stands on one line; what is too long is cut with …, first in the piece that gives way: ``s0`` has
    a column each for what stands before that piece, the piece, and what stands after it; ``s1`` cuts the piece to the
    room that is left; the last step cuts the whole.
    """
    kinds = resolved.kinds
    header = named((_by_kind(kinds, [rule.header[name].sql for rule in kinds]), name) for name in HEADER_TYPES)
    before, middle, after = (
        f"regexp_replace({_by_kind(kinds, sqls)}, {_BLANK_RUN}, ' ', 'g')" for sqls in _thirds(kinds)
    )
    room = _by_kind(kinds, [str(rule.max_length) for rule in kinds])
    pieces = named([(before, "s_a"), (middle, "s_b"), (after, "s_c"), (room, "s_max"), (_FAULT, "fault")])
    joined = "head JOIN good AS g USING (seq) LEFT JOIN total AS t USING (seq)"
    first = ["seq", "r_document_id", "r_kind", *header, *pieces]
    cut = f"* REPLACE ({_cut('s_b', 'greatest(0, s_max - length(s_a) - length(s_c))')} AS s_b)"
    bad = select("DISTINCT r_document_id, true AS faulty", "s0", where="fault IS NOT NULL")
    last = ["seq", "r_document_id", "r_kind", *HEADER_TYPES, f"{_cut('s_a || s_b || s_c', 's_max')} AS summary"]
    steps = [("s0", select(first, joined, where=_POSTS)), ("s1", select(cut, "s0"))]
    final = select([*last, "fault", "faulty IS NULL AS sound"], f"s1 LEFT JOIN ({bad}) AS b USING (r_document_id)")
    return create("voucher", chain(steps, final))


_FAULT = case(
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


def _by_kind(kinds: Sequence[VoucherKindRule], sqls: Sequence[str]) -> str:
    if len(set(sqls)) == 1:
        return sqls[0]
    return case([(quote(rule.kind), sql) for rule, sql in zip(kinds, sqls, strict=True)], of="r_kind")


def _thirds(kinds: Sequence[VoucherKindRule]) -> list[list[str]]:
    """For each kind what stands before the piece that gives way, the piece, and what stands after it."""
    thirds: list[list[str]] = [[], [], []]
    for rule in kinds:
        cut = rule.gives_way if rule.gives_way is not None else len(rule.summary)
        for part, pieces in enumerate((rule.summary[:cut], rule.summary[cut : cut + 1], rule.summary[cut + 1 :])):
            thirds[part].append(" || ".join(_piece(piece) for piece in pieces) or "''")
    return thirds


def _piece(piece: Place) -> str:
    return quote(piece.text) if piece.expr is None else f"coalesce({piece.expr.sql}, '')"


def _cut(text: str, room: str) -> str:
    short = case([(f"{room} < 2", "''")], f"left({text}, {room} - 1) || '…'")
    return case([(f"length({text}) <= {room}", text)], short)
