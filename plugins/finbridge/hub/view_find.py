"""Find a document by any number of any system, and show all that the hub knows about it. Reads only, by indexes."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from psycopg import Cursor, sql
from psycopg.rows import dict_row

from finbridge.core.runs import airflow_run_id
from finbridge.hub.connections import Connections
from finbridge.hub.reading import STATES, standing

#: Numbers that one search may name, and documents that one way of finding may give for each of them.
WORDS_AT_MOST = 50
HITS_AT_MOST = 20
_SHORTEST_BEGINNING = 4

#: Within each way, before it is limited: a document of another flow must not take the place of one that is sought.
_MINE = sql.SQL(" AND flow_id = ANY(%(flows)s::text[])")

#: How a number may name a document: by equality on an index each.
WAYS: Mapping[str, LiteralString] = {
    "document_id": "SELECT flow_id, document_id FROM hub.document WHERE document_id = a.word{mine}",
    "business_number": "SELECT flow_id, document_id FROM hub.document WHERE business_number = a.word{mine}",
    "key": "SELECT flow_id, document_id FROM hub.voucher WHERE key = upper(a.word){mine}",
    "finance_number": "SELECT flow_id, document_id FROM hub.voucher WHERE finance_number = a.word{mine}",
    "finance_id": "SELECT flow_id, document_id FROM hub.voucher WHERE finance_id = a.word{mine}",
    "attempt_id": (
        "SELECT v.flow_id, v.document_id FROM hub.attempt t JOIN hub.voucher v USING (key) "
        "WHERE t.attempt_id = a.word{mine}"
    ),
}
SERIAL: Mapping[str, LiteralString] = {
    "finance_serial": (
        "SELECT flow_id, document_id FROM hub.voucher WHERE finance_number IS NOT NULL "
        "AND ltrim(substring(finance_number from '[0-9]+$'), '0') = a.word{mine} ORDER BY finance_number DESC"
    ),
}
BEGINNINGS: Mapping[str, LiteralString] = {
    "business_number_begins": (
        "SELECT flow_id, document_id FROM hub.document WHERE business_number ~>=~ a.word "
        "AND business_number ~<~ (a.word || chr(1114111)){mine} ORDER BY business_number USING ~<~"
    ),
    "finance_number_begins": (
        "SELECT flow_id, document_id FROM hub.voucher WHERE finance_number IS NOT NULL AND finance_number ~>=~ a.word "
        "AND finance_number ~<~ (a.word || chr(1114111)){mine} ORDER BY finance_number USING ~<~"
    ),
}
_RUNS = """
SELECT run_id, flow_id, kind, started_at, closed_at, note FROM hub.run
WHERE (run_id = ANY(%(words)s::text[]) OR substring(run_id from '~(.*)$') = ANY(%(words)s::text[]))
  AND flow_id = ANY(%(flows)s::text[]) ORDER BY started_at LIMIT 50
"""
_SHORT_NUMBER = re.compile(r"\D{0,3}?0*([1-9]\d{0,8})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found.

    ``documents``: flow_id, document_id, company, business_number, currency, amount_minor, end_state, standing,
    hold_codes, numbers (finance's), ``ways`` (pairs of the word and how it names the document). ``runs``: rows of
    hub.run. ``missing``: the words that named nothing. ``cut``: those that name more than are shown.
    """

    documents: tuple[dict[str, Any], ...]
    runs: tuple[dict[str, Any], ...]
    missing: tuple[str, ...]
    cut: tuple[str, ...]


def find(connections: Connections, flow_ids: Sequence[str], words: Sequence[str]) -> Found:
    """Documents and runs that the words name, among these flows.

    First by the whole number; for a word that names nothing, by the serial of a voucher number (``记-123``), then by
    the beginning of a business or voucher number.
    """
    asked = list(dict.fromkeys(words))[:WORDS_AT_MOST]
    with connections.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        runs = _rows(cursor, _RUNS, {"words": asked, "flows": list(flow_ids)})
        hits, cut = _hits(cursor, flow_ids, WAYS, {word: word for word in asked})
        named = {word for _, word, _ in hits} | {
            name for run in runs for name in (run["run_id"], airflow_run_id(run["run_id"]))
        }
        for ways, wording in ((SERIAL, _serials), (BEGINNINGS, _beginnings)):
            more, too_many = _hits(cursor, flow_ids, ways, wording(word for word in asked if word not in named))
            hits += more
            cut += too_many
            named |= {word for _, word, _ in more}
        documents = _summaries(cursor, hits)
    return Found(
        documents=documents,
        runs=tuple(runs),
        missing=tuple(word for word in asked if word not in named),
        cut=tuple(dict.fromkeys(word for word in cut)),
    )


def _serials(words: Iterable[str]) -> dict[str, str]:
    found = ((word, _SHORT_NUMBER.fullmatch(word)) for word in words)
    return {word: match.group(1) for word, match in found if match}


def _beginnings(words: Iterable[str]) -> dict[str, str]:
    return {word: word for word in words if len(word) >= _SHORTEST_BEGINNING}


def searched(way: LiteralString) -> sql.Composed:
    """The statement of one way: position of the word, flow and document; one more for each word than is shown."""
    return sql.SQL("""
        SELECT a.position, f.flow_id, f.document_id
        FROM unnest(%(words)s::text[]) WITH ORDINALITY AS a(word, position)
        CROSS JOIN LATERAL ({} LIMIT 21) AS f
    """).format(sql.SQL(way).format(mine=_MINE))


def _hits(
    cursor: Cursor, flow_ids: Sequence[str], ways: Mapping[str, LiteralString], words: Mapping[str, str]
) -> tuple[list[tuple[tuple[str, str], str, str]], list[str]]:
    """Document name, the word as it was asked for, and the way, in the order of the words; the words cut short."""
    found: list[tuple[int, tuple[str, str], str, str]] = []
    cut: list[str] = []
    asked = list(words)
    for way, statement in ways.items() if asked else ():
        asking = {"words": [words[word] for word in asked], "flows": list(flow_ids)}
        cursor.execute(searched(statement), asking)
        counted: Counter[int] = Counter()
        for position, flow_id, document_id in cursor.fetchall():
            counted[position] += 1
            if counted[position] <= HITS_AT_MOST:
                found.append((position, (flow_id, document_id), asked[position - 1], way))
            else:
                cut.append(asked[position - 1])
    return [hit[1:] for hit in sorted(found, key=lambda hit: hit[0])], cut


def _summaries(cursor: Cursor, hits: Sequence[tuple[tuple[str, str], str, str]]) -> tuple[dict[str, Any], ...]:
    ways: dict[tuple[str, str], dict[tuple[str, str], None]] = defaultdict(dict)
    for name, word, way in hits:
        ways[name][(word, way)] = None
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for flow_id in sorted({flow_id for flow_id, _ in ways}):
        wanted = [document_id for flow, document_id in ways if flow == flow_id]
        for row in _rows(cursor, _SUMMARY, {"flow": flow_id, "documents": wanted, **STATES}):
            rows[(flow_id, row["document_id"])] = row
    return tuple({**rows[name], "ways": list(found)} for name, found in ways.items() if name in rows)


_THESE: LiteralString = " AND document_id = ANY(%(documents)s::text[])"
_SUMMARY = standing(_THESE) + sql.SQL("""
SELECT s.flow_id, s.document_id, s.company, s.business_number, s.currency, s.amount_minor, s.end_state, s.standing,
       s.hold_codes,
       ARRAY(SELECT v.finance_number FROM hub.voucher v WHERE v.document_id = s.document_id AND v.flow_id = s.flow_id
             AND v.finance_number IS NOT NULL ORDER BY v.created_at, v.key LIMIT 10) AS numbers
FROM standing s
""")


def _rows(cursor: Cursor, statement: Any, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        return rows.execute(statement, asked).fetchall()


# ---------------------------------------------------------------------- one document

ONE_DOCUMENT = standing(_THESE) + sql.SQL("SELECT * FROM standing")
_OF = sql.SQL("flow_id = %(flow)s AND document_id = %(document)s")
_KEYS = sql.SQL("(SELECT key FROM hub.voucher WHERE {of} ORDER BY created_at, key LIMIT 50)").format(of=_OF)


def _part(statement: LiteralString) -> sql.Composed:
    return sql.SQL(statement).format(of=_OF, keys=_KEYS)


#: Name -> statement; each is served by an index that begins with the document (or the voucher's key) and is bounded.
PARTS: Mapping[str, sql.Composed] = {
    "versions": _part("""
        SELECT content, canonical, first_seen_at FROM hub.document_version WHERE {of}
        ORDER BY first_seen_at, content LIMIT 50
    """),
    "events": _part("""
        SELECT log_id, kind, local_at, node, operation, operator, received_at FROM hub.source_event
        WHERE {of} ORDER BY local_at, length(log_id), log_id LIMIT 500
    """),
    "vouchers": _part("SELECT * FROM hub.voucher WHERE {of} ORDER BY created_at, key LIMIT 50"),
    "lines": _part("SELECT * FROM hub.voucher_line WHERE key IN {keys} ORDER BY key, line_no LIMIT 2000"),
    "attempts": _part("""
        SELECT attempt_id, key, worker, started_at, finished_at, outcome, detail FROM hub.attempt
        WHERE key IN {keys} ORDER BY started_at DESC, attempt_id LIMIT 500
    """),
    "write_backs": _part("""
        SELECT write_back_id, at, keys, voucher_number, posting_date, error, result, verified, detail
        FROM hub.write_back WHERE {of} ORDER BY at DESC, write_back_id DESC LIMIT 500
    """),
    "holds": _part("""
        SELECT hold_id, key, origin, code, field, detail, text_zh, text_en, turn, opened_at, closed_at
        FROM hub.hold WHERE {of} ORDER BY closed_at IS NOT NULL, opened_at DESC, hold_id DESC LIMIT 500
    """),
    "payment_status": _part("""
        SELECT status, number, paid_on, amount_minor, currency, changed_at, verified, reason, detail
        FROM hub.payment_status WHERE {of} LIMIT 1
    """),
    "trail": _part("""
        SELECT trail_id, at, actor, key, action, from_state, to_state, reason, mapping FROM hub.trail
        WHERE {of} ORDER BY trail_id DESC LIMIT 500
    """),
}


def document(connections: Connections, flow_id: str, document_id: str) -> dict[str, Any] | None:
    """All that the hub knows about one document, None where it knows none of that name. One snapshot.

    Keys: ``document`` (the row of hub.document with ``standing`` and ``hold_codes``), ``versions`` (oldest first, with
    canonical bytes), ``events`` (the OA's log by time), ``vouchers`` (oldest first, each with ``lines``), ``attempts``,
    ``write_backs``, ``trail`` (newest first), ``holds`` (open ones first), ``payment_status`` (one row
    where finance was asked). At most 500 rows of each.
    """
    asked = {"flow": flow_id, "document": document_id, "documents": [document_id], **STATES}
    with connections.transaction() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = _rows(cursor, ONE_DOCUMENT, asked)
        if not found:
            return None
        parts: dict[str, Any] = {name: _rows(cursor, statement, asked) for name, statement in PARTS.items()}
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in parts.pop("lines"):
        lines[line["key"]].append(line)
    for voucher in parts["vouchers"]:
        voucher["lines"] = lines[voucher["key"]]
    return {"document": found[0], **parts}


def account_names(connections: Connections, system: str, company: str, codes: Sequence[str]) -> dict[str, str]:
    """What finance calls these accounts, for those that are known.

    Args:
        system: the finance system and its connection, as in hub.master_data.
        company: as finance calls it.
    """
    with connections.session() as connection:
        rows = connection.execute(
            """
            SELECT code, name FROM hub.master_data
            WHERE system = %s AND company = %s AND kind = 'account' AND code = ANY(%s::text[])
            """,
            [system, company, list(codes)],
        ).fetchall()
    return dict(rows)
