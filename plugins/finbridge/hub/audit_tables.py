"""What is sealed and what is compared: tables with their columns, and the SQL that digests a row.

A shape is a list of columns that never changes: a migration that adds a column to a table makes a new shape of it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import LiteralString

from psycopg import sql

from finbridge.hub.bulk import Columns

#: The cluster's own number: a dump that is restored elsewhere comes under another one.
SYSTEM: LiteralString = "SELECT system_identifier::text FROM pg_control_system()"
#: How PostgreSQL writes values as text while it digests them.
TEXT_FORM = "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL bytea_output = 'hex'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An append-only table: each of its rows becomes a leaf.

    Args:
        key: the primary key with its types.
        columns: all other columns of the leaf, and those of the key, in their order.
        document: SQL for the document's id, given a row ``t``.
        older: whether rows may be there from before the first seal.
    """

    name: str
    table: str
    key: Columns
    columns: tuple[str, ...]
    binary: frozenset[str] = frozenset()
    document: LiteralString = "t.document_id"
    older: bool = True

    @property
    def row_key(self) -> sql.Composed:
        """``["…", …]`` of the primary key."""
        return _row_key(self.key.names)

    @property
    def digests(self) -> sql.Composed:
        """An array of the digests of all columns."""
        return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(self._digest(name) for name in self.columns))

    def _digest(self, name: str) -> sql.Composed:
        column = sql.Identifier("t", name)
        value = column if name in self.binary else sql.SQL("convert_to({}::text, 'UTF8')").format(column)
        return sql.SQL("sha256(coalesce('\\x01'::bytea || {}, '\\x00'::bytea))").format(value)

    def leaves(self, where: sql.Composable) -> sql.Composed:
        """Rows of (row key, document id, marks, leaf, audit_xid); ``where`` may use ``t``."""
        numbers = range(1, len(self.columns) + 1)
        marks = sql.SQL(" || ").join(sql.SQL("substr(d[{}], 1, 8)").format(sql.Literal(n)) for n in numbers)
        whole = sql.SQL(" || ").join(sql.SQL("d[{}]").format(sql.Literal(n)) for n in numbers)
        return sql.SQL("""
            SELECT row_key, document_id, {marks} AS marks,
                   sha256(convert_to({shape} || chr(10) || row_key || chr(10) || document_id || chr(10), 'UTF8')
                          || {whole}) AS leaf,
                   audit_xid
            FROM (SELECT {row_key} AS row_key, {document} AS document_id, t.audit_xid, {digests} AS d
                  FROM {table} t WHERE {where} OFFSET 0) found
        """).format(
            marks=marks,
            shape=sql.Literal(self.name),
            whole=whole,
            row_key=self.row_key,
            document=sql.SQL(self.document),  # a constant of this module
            digests=self.digests,
            table=sql.Identifier("hub", self.table),
            where=where,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """A table whose rows change: each row equals the image that was noted for it last.

    Args:
        columns: in the order of the image.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def row_key(self) -> sql.Composed:
        """As in the notes."""
        return _row_key(self.key)

    @property
    def image(self) -> sql.Composed:
        """The row as text, as the notes hold it."""
        texts = (sql.SQL("{}::text").format(sql.Identifier("t", name)) for name in self.columns)
        return sql.SQL("ARRAY[{}]").format(sql.SQL(", ").join(texts))


def _row_key(names: tuple[str, ...]) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier("t", name) for name in names)
    return sql.SQL("jsonb_build_array({})::text").format(columns)


def key_values(row_key: str) -> list[object]:
    """The primary key in a row key."""
    found: list[object] = json.loads(row_key)
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_WRITTEN = " audit_xid audit_login"
SHAPES = (
    Shape(
        name="inbox/1",
        table="inbox",
        key=Columns("document_id text, flow_id text, raw_sha256 text"),
        columns=_names("flow_id document_id raw_sha256 content template stamp raw received_at" + _WRITTEN),
        binary=frozenset({"raw"}),
    ),
    Shape(
        name="document_version/1",
        table="document_version",
        key=Columns("document_id text, flow_id text, content text"),
        columns=_names("flow_id document_id content canonical first_seen_at" + _WRITTEN),
        binary=frozenset({"canonical"}),
    ),
    Shape(
        name="document_line/1",
        table="document_line",
        key=Columns("document_id text, flow_id text, content text, table_name text, position int"),
        columns=_names(
            "flow_id document_id content table_name position line_id fields expense_type event_from event_to "
            "claimed_minor approved_minor payable_minor currency rate local_amount_minor payer_kind payee "
            "cost_bearer allocations" + _WRITTEN
        ),
    ),
    Shape(
        name="trail/1",
        table="trail",
        key=Columns("trail_id bigint"),
        columns=_names(
            "trail_id at actor flow_id document_id key action from_state to_state reason mapping before_hash "
            "after_hash" + _WRITTEN
        ),
    ),
    Shape(
        name="write_back/1",
        table="write_back",
        key=Columns("write_back_id bigint"),
        columns=_names(
            "write_back_id flow_id document_id keys fence worker at voucher_number posting_date error result "
            "verified detail" + _WRITTEN
        ),
    ),
    Shape(
        name="code_history/1",
        table="code_history",
        key=Columns("history_id bigint"),
        columns=_names(
            "at flow_id table_name company code valid_from old_target old_valid_to new_target new_valid_to maker "
            "checker history_id" + _WRITTEN
        ),
        document="''",
    ),
    Shape(
        name="audit_file/1",
        table="audit_file",
        key=Columns("sha256 text"),
        columns=_names("sha256 name version body bound first_seen_at" + _WRITTEN),
        binary=frozenset({"body", "bound"}),
        document="''",
        older=False,
    ),
    Shape(
        name="audit_change/1",
        table="audit_change",
        key=Columns("change_id bigint"),
        columns=_names("change_id at table_name operation row_key document_id starts image" + _WRITTEN),
        older=False,
    ),
)
CHANGING = (
    Changing(
        table="voucher",
        key=("key",),
        columns=_names(
            "key company source document_id cause kind split flow_id voucher_group voucher_word business_number "
            "currency business_date document_date posting_date period planned_reversal_date attachment_count summary "
            "prepared_by reviewed_by land_as debit_minor credit_minor reverses_key reverses_number mapping_id "
            "mapping_version mapping_sha256 source_content fingerprint created_at state state_reason state_since "
            "retry_at tries last_sent_at send_fence finance_number finance_id finance_year finance_posted_on "
            "reversed_by_key write_back write_back_at write_back_tries"
        ),
    ),
    Changing(
        table="voucher_line",
        key=("key", "line_no"),
        columns=_names(
            "key line_no position account side amount_minor currency rate local_amount_minor summary party assignment "
            "tax_code department employee supplier customer project contract bank_account cash_flow_item "
            "other_dimensions dimension_names"
        ),
    ),
    Changing(
        table="source_line",
        key=("key", "line_no", "position"),
        columns=_names("key line_no position document_id line_id"),
    ),
    Changing(
        table="attempt",
        key=("attempt_id",),
        columns=_names("attempt_id key fence worker started_at finished_at outcome detail"),
    ),
    Changing(
        table="source_event",
        key=("document_id", "flow_id", "log_id"),
        columns=_names("flow_id document_id log_id kind local_at node operation operator received_at"),
    ),
    Changing(
        table="code_table",
        key=("flow_id", "table_name", "company", "code", "valid_from"),
        columns=_names("flow_id table_name company code valid_from valid_to target maker checker changed_at"),
    ),
)
