"""The register's lines of a voucher as `finbridge.core.month_lines.lines_text` writes them, in SQL."""

from __future__ import annotations

from psycopg import sql

from finbridge.core.month_lines import BLANKS, CONTROLS, FIELD, LINE, PAIR, PLACED


def _kept(value: sql.Composable) -> sql.Composed:
    blanked = sql.SQL("translate({}, {}, {})").format(value, sql.Literal(CONTROLS), sql.Literal(" " * len(CONTROLS)))
    return sql.SQL("btrim({}, {})").format(blanked, sql.Literal(BLANKS))


def _text(name: str) -> sql.Composed:
    return sql.SQL("CASE WHEN {0} IS NULL OR {0} = '' THEN '' ELSE {1} END").format(
        sql.Identifier("l", name), _kept(sql.Identifier("l", name))
    )


_OTHERS = sql.SQL("""
CASE WHEN l.other_dimensions = '{{}}' THEN '' ELSE (
    SELECT coalesce(string_agg(name || '=' || value, {pair} ORDER BY name COLLATE "C"), '')
    FROM (SELECT o.key AS name, {kept} AS value FROM jsonb_each_text(l.other_dimensions) o) named WHERE value <> ''
) END""").format(pair=sql.Literal(PAIR), kept=_kept(sql.SQL("coalesce(o.value, '')")))
_LINE_TEXT = sql.SQL("concat_ws({}, {})").format(
    sql.Literal(FIELD),
    sql.SQL(", ").join(
        [
            sql.SQL("l.account"),
            sql.SQL("l.side"),
            sql.SQL("l.local_amount_minor"),
            sql.SQL("coalesce(l.party, '')"),
            sql.SQL("l.currency"),
            # In the company's own currency there is one amount.
            sql.SQL("CASE WHEN l.currency = v.currency THEN l.local_amount_minor ELSE l.amount_minor END"),
            *(_text(name) for name in ("tax_code", "assignment", *PLACED)),
            _OTHERS,
        ]
    ),
)
#: For each pair of ``hub.voucher v`` and ``month_found f``: the voucher's lines as one text, if finance shows its own.
#: The offset keeps the planner from writing the text twice, to sort it and to join it.
LINES_OF_V = sql.SQL("""
SELECT coalesce(string_agg(text, {line} ORDER BY text COLLATE "C"), '') AS lines
FROM (SELECT {text} AS text FROM hub.voucher_line l WHERE l.key = v.key AND f.lines <> '' OFFSET 0) texts""").format(
    line=sql.Literal(LINE), text=_LINE_TEXT
)
