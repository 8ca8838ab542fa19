"""Triggers that note what changeable rows become: one a statement, so their cost does not grow with a call a row.

They run as the owner: the suite can cause a note and cannot write, change or leave out one.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table whose rows change.

    Args:
        key: its primary key.
        fixed: columns that an ordinary update leaves alone; an update of the others alone notes only these.
        moving: the columns that follow them in the image.
        document: SQL for the document's id, given a row ``n``.
    """

    name: str
    key: tuple[str, ...]
    fixed: tuple[str, ...]
    moving: tuple[str, ...] = ()
    document: str = "n.document_id"
    events: tuple[str, ...] = ("INSERT", "UPDATE", "DELETE")


_OF_VOUCHER = "coalesce((SELECT v.document_id FROM hub.voucher v WHERE v.key = n.key), '')"
TABLES = (
    Table(
        "voucher",
        ("key",),
        (
            *("key", "company", "source", "document_id", "cause", "kind", "split", "flow_id", "voucher_group"),
            *("voucher_word", "business_number", "currency", "business_date", "document_date", "posting_date"),
            *("period", "planned_reversal_date", "attachment_count", "summary", "prepared_by", "reviewed_by"),
            *("land_as", "debit_minor", "credit_minor", "reverses_key", "reverses_number", "mapping_id"),
            *("mapping_version", "mapping_sha256", "source_content", "fingerprint", "created_at"),
        ),
        (
            *("state", "state_reason", "state_since", "retry_at", "tries", "last_sent_at", "send_fence"),
            *("finance_number", "finance_id", "finance_year", "finance_posted_on", "reversed_by_key"),
            *("write_back", "write_back_at", "write_back_tries"),
        ),
    ),
    Table(
        "voucher_line",
        ("key", "line_no"),
        (
            *("key", "line_no", "position", "account", "side", "amount_minor", "currency", "rate"),
            *("local_amount_minor", "summary", "party", "assignment", "tax_code", "department", "employee"),
            *("supplier", "customer", "project", "contract", "bank_account", "cash_flow_item"),
            *("other_dimensions", "dimension_names"),
        ),
        document=_OF_VOUCHER,
    ),
    Table(
        "source_line",
        ("key", "line_no", "position"),
        ("key", "line_no", "position", "document_id", "line_id"),
    ),
    Table(
        "attempt",
        ("attempt_id",),
        ("attempt_id", "key", "fence", "worker", "started_at"),
        ("finished_at", "outcome", "detail"),
        document=_OF_VOUCHER,
    ),
    Table(
        "source_event",
        ("document_id", "flow_id", "log_id"),
        (
            *("flow_id", "document_id", "log_id", "kind", "local_at", "node", "operation", "operator"),
            "received_at",
        ),
    ),
    Table(
        "code_table",
        ("flow_id", "table_name", "company", "code", "valid_from"),
        (
            *("flow_id", "table_name", "company", "code", "valid_from", "valid_to", "target", "maker", "checker"),
            "changed_at",
        ),
        document="''",
    ),
)
_INTO = "INSERT INTO hub.audit_change (table_name, operation, row_key, document_id, starts, image)"
_SETTINGS = "SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' SET datestyle = 'ISO, YMD'"


def _listed(columns: tuple[str, ...], row: str, cast: str = "") -> str:
    return ", ".join(f"{row}.{column}{cast}" for column in columns)


def _key(table: Table) -> str:
    return f"jsonb_build_array({_listed(table.key, 'n')})::text"


def _whole(table: Table) -> str:
    return f"ARRAY[{_listed(table.fixed + table.moving, 'n', '::text')}]"


def _note(table: Table, operation: str, starts: str, image: str, rows: str) -> str:
    named = (f"'{table.name}'", f"'{operation}'", _key(table), table.document, starts, image)
    return " ".join((_INTO, "SELECT", ", ".join(named), "FROM", rows))


def _insert(table: Table) -> str:
    return _note(table, "insert", "0", _whole(table), "added n")


def _delete(table: Table) -> str:
    return _note(table, "delete", "0", "ARRAY[]::text[]", "removed n")


def _update(table: Table) -> str:
    """An update that leaves a row as it was is none."""
    fixed = f"ROW({_listed(table.fixed, 'o')}) IS DISTINCT FROM ROW({_listed(table.fixed, 'n')})"
    starts, image, changed = "0", _whole(table), fixed
    if table.moving:
        moved = f"ROW({_listed(table.moving, 'o')}) IS DISTINCT FROM ROW({_listed(table.moving, 'n')})"
        starts = f"CASE WHEN {fixed} THEN 0 ELSE {len(table.fixed)} END"
        image = f"CASE WHEN {fixed} THEN {image} ELSE ARRAY[{_listed(table.moving, 'n', '::text')}] END"
        changed = f"({fixed} OR {moved})"
    matched = " AND ".join(f"o.{column} = n.{column}" for column in table.key)
    return _note(table, "update", starts, image, f"removed o JOIN added n ON {matched} WHERE {changed}")


_BODIES = {"INSERT": _insert, "UPDATE": _update, "DELETE": _delete}
_ROWS = {
    "INSERT": "NEW TABLE AS added",
    "UPDATE": "OLD TABLE AS removed NEW TABLE AS added",
    "DELETE": "OLD TABLE AS removed",
}


def _triggers(table: Table) -> tuple[str, ...]:
    found: list[str] = []
    for event in table.events:
        name = f"audit_{table.name}_{event.lower()}"
        found.append(
            f"CREATE FUNCTION hub.{name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {_SETTINGS} "
            f"AS $body$ BEGIN {_BODIES[event](table)}; RETURN NULL; END $body$"
        )
        found.append(f"REVOKE ALL ON FUNCTION hub.{name}() FROM PUBLIC")
        found.append(
            f"CREATE TRIGGER {name} AFTER {event} ON hub.{table.name} REFERENCING {_ROWS[event]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION hub.{name}()"
        )
    return tuple(found)


def _opening(table: Table) -> str:
    """What is there already, as found on: no history is made up for it."""
    return _note(table, "opening", "0", _whole(table), f"hub.{table.name} n")


STATEMENTS = (
    *(statement for table in TABLES for statement in _triggers(table)),
    "SET LOCAL timezone = 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    *(_opening(table) for table in TABLES),
    "GRANT SELECT ON hub.audit_change TO hub_app",
)
APPEND_ONLY: tuple[str, ...] = ()
CHANGEABLE: tuple[str, ...] = ()
DELETABLE: tuple[str, ...] = ()
