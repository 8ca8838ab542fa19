"""Whole vouchers with their lines, into the register and out of it again, many at a time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import Cursor, errors
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from finbridge.core.errors import GiveUp
from finbridge.core.ids import VoucherIdentity, VoucherKind
from finbridge.core.vouchers import LandAs, MappingStamp, Side, Voucher, VoucherLine
from finbridge.hub.bulk import Columns, copy_rows, insert_rows, update_rows

#: 辅助核算 with a column of its own; all others go into one object.
TYPED_DIMENSIONS = (
    "department",
    "employee",
    "supplier",
    "customer",
    "project",
    "contract",
    "bank_account",
    "cash_flow_item",
)
_KEY = Columns("key text")
_IDENTITY = "company text, source text, document_id text, cause text, kind text, split int, flow_id text"
_CONTENT = (
    "voucher_group text, voucher_word text, business_number text, currency text, business_date date, "
    "document_date date, posting_date date, period text, attachment_count int, summary text, prepared_by text, "
    "reviewed_by text, land_as text, debit_minor bigint, credit_minor bigint, reverses_key text, reverses_number text, "
    "mapping_id text, mapping_version text, mapping_sha256 text, source_content text, fingerprint text"
)
_NEW = Columns(f"key text, {_IDENTITY}, {_CONTENT}, state text")
_REBUILT = Columns(_CONTENT)
_LINE = Columns(
    "key text, line_no int, position int, account text, side text, amount_minor bigint, currency text, rate text, "
    "local_amount_minor bigint, summary text, party text, assignment text, tax_code text, "
    + ", ".join(f"{name} text" for name in TYPED_DIMENSIONS)
    + ", other_dimensions jsonb, dimension_names text[]"
)
_SOURCE_LINE = Columns("key text, line_no int, position int, document_id text, line_id text")
_GROUP = Columns("group_id text, flow_id text, document_id text")
_IDENTITY_FIELDS = ("company", "source", "document_id", "cause", "kind", "split")

#: A voucher, the flow it belongs to and the hash of the source content that it was built from.
Built = tuple[Voucher, str, str]


def insert_vouchers(cursor: Cursor, built: Sequence[Built], state: str) -> None:
    """Put new vouchers with their lines into the register.

    Raises:
        GiveUp: the key or the identity is there already: two different identities with one key, or two flows that
            serve the same document.
    """
    _make_groups(cursor, built)
    rows = [(v.key, *_identity(v.identity), flow_id, *_content(v, source), state) for v, flow_id, source in built]
    try:
        copy_rows(cursor, "voucher", _NEW, rows)
    except errors.UniqueViolation as error:
        raise collision(error.diag.message_detail or "") from error
    _insert_lines(cursor, (voucher for voucher, _, _ in built))


def replace_vouchers(cursor: Cursor, built: Sequence[Built]) -> None:
    """New content under the same keys, for vouchers of which finance certainly holds nothing."""
    if not built:
        return
    _make_groups(cursor, built)
    update_rows(cursor, "voucher", _KEY, _REBUILT, [(v.key, *_content(v, source)) for v, _, source in built])
    keys = [voucher.key for voucher, _, _ in built]
    cursor.execute("DELETE FROM hub.source_line WHERE key = ANY(%b)", [keys])
    cursor.execute("DELETE FROM hub.voucher_line WHERE key = ANY(%b)", [keys])
    _insert_lines(cursor, (voucher for voucher, _, _ in built))


def collision(detail: str) -> GiveUp:
    """The error of a key that stands for two identities."""
    return GiveUp(
        "key_collision",
        "凭证键冲突，已停止过账，请联系工程师 / two vouchers claim the same key or identity: posting stops",
        detail,
    )


def identities(cursor: Cursor, keys: Sequence[str]) -> dict[str, tuple[VoucherIdentity, str]]:
    """Identity and flow of those keys that the register knows, whatever flow or document they belong to."""
    if not keys:
        return {}
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        rows.execute(
            """
            SELECT key, flow_id, company, source, document_id, cause, kind, split
            FROM hub.voucher WHERE key = ANY(%b)
            """,
            [list(keys)],
        )
        return {row["key"]: (_identity_of(row), row["flow_id"]) for row in rows}


def load_vouchers(cursor: Cursor, keys: Iterable[str]) -> dict[str, Voucher]:
    """Vouchers as they were put in, with lines, dimensions and source lines in their order."""
    wanted = list(keys)
    if not wanted:
        return {}
    with cursor.connection.cursor(row_factory=dict_row) as rows:
        rows.execute(
            """
            SELECT l.*, (SELECT array_agg(s.line_id ORDER BY s.position) FROM hub.source_line s
                         WHERE s.key = l.key AND s.line_no = l.line_no) AS source_lines
            FROM hub.voucher_line l WHERE l.key = ANY(%b) ORDER BY l.key, l.position
            """,
            [wanted],
        )
        lines: dict[str, list[VoucherLine]] = defaultdict(list)
        for row in rows:
            lines[row["key"]].append(_line_of(row))
        rows.execute("SELECT * FROM hub.voucher WHERE key = ANY(%b)", [wanted])
        return {row["key"]: _voucher_of(row, tuple(lines[row["key"]])) for row in rows}


# ---------------------------------------------------------------- to rows


def _identity(identity: VoucherIdentity) -> tuple[object, ...]:
    i = identity
    return (i.company, i.source, i.document_id, i.cause, i.kind.value, i.split)


def _content(v: Voucher, source_content: str) -> tuple[object, ...]:
    stamp = (v.mapping.mapping_id, v.mapping.version, v.mapping.sha256) if v.mapping else (None, None, None)
    dates = (v.business_date, v.document_date, v.posting_date, v.period)
    people = (v.prepared_by, v.reviewed_by)
    header = (v.group, v.voucher_word, v.business_number, v.currency, *dates, v.attachment_count, v.summary, *people)
    amounts = (v.debit_minor, v.credit_minor)
    return (*header, v.land_as.value, *amounts, v.reverses_key, v.reverses_number, *stamp, source_content, v.content)


def _make_groups(cursor: Cursor, built: Sequence[Built]) -> None:
    groups = sorted({(v.group, flow_id, v.identity.document_id) for v, flow_id, _ in built if v.group})
    insert_rows(cursor, "voucher_group", _GROUP, groups, "ON CONFLICT DO NOTHING")


def _insert_lines(cursor: Cursor, vouchers: Iterable[Voucher]) -> None:
    lines: list[tuple[object, ...]] = []
    links: list[tuple[object, ...]] = []
    for voucher in vouchers:
        for position, line in enumerate(voucher.lines):
            lines.append(_line(voucher.key, position, line))
            links.extend(
                (voucher.key, line.line_no, number, voucher.identity.document_id, source)
                for number, source in enumerate(line.source_lines)
            )
    copy_rows(cursor, "voucher_line", _LINE, lines)
    copy_rows(cursor, "source_line", _SOURCE_LINE, links)


def _line(key: str, position: int, line: VoucherLine) -> tuple[object, ...]:
    named = dict(line.dimensions)
    others = {name: value for name, value in named.items() if name not in TYPED_DIMENSIONS}
    return (
        *(key, line.line_no, position, line.account, line.side.value, line.amount_minor, line.currency, line.rate),
        *(line.local_amount_minor, line.summary, line.party, line.assignment, line.tax_code),
        *(named.get(name) for name in TYPED_DIMENSIONS),
        Jsonb(others),
        [name for name, _ in line.dimensions],
    )


# ---------------------------------------------------------------- from rows


def _identity_of(row: Mapping[str, Any]) -> VoucherIdentity:
    values = {name: row[name] for name in _IDENTITY_FIELDS}
    return VoucherIdentity(**{**values, "kind": VoucherKind(row["kind"])})


def _line_of(row: Mapping[str, Any]) -> VoucherLine:
    others = row["other_dimensions"]
    dimensions = tuple((n, row[n] if n in TYPED_DIMENSIONS else others[n]) for n in row["dimension_names"])
    return VoucherLine(
        line_no=row["line_no"],
        account=row["account"],
        side=Side(row["side"]),
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        local_amount_minor=row["local_amount_minor"],
        rate=row["rate"],
        summary=row["summary"],
        party=row["party"],
        tax_code=row["tax_code"],
        assignment=row["assignment"],
        dimensions=dimensions,
        source_lines=tuple(row["source_lines"] or ()),
    )


def _voucher_of(row: Mapping[str, Any], lines: tuple[VoucherLine, ...]) -> Voucher:
    stamp = None
    if row["mapping_id"] is not None:
        stamp = MappingStamp(mapping_id=row["mapping_id"], version=row["mapping_version"], sha256=row["mapping_sha256"])
    return Voucher(
        identity=_identity_of(row),
        currency=row["currency"],
        business_date=row["business_date"],
        document_date=row["document_date"],
        posting_date=row["posting_date"],
        summary=row["summary"],
        business_number=row["business_number"],
        lines=lines,
        voucher_word=row["voucher_word"],
        attachment_count=row["attachment_count"],
        prepared_by=row["prepared_by"],
        reviewed_by=row["reviewed_by"],
        land_as=LandAs(row["land_as"]),
        reverses_key=row["reverses_key"],
        reverses_number=row["reverses_number"],
        group=row["voucher_group"],
        mapping=stamp,
    )
