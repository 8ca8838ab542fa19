"""Every row of append-only evidence knows its transaction and the login that wrote it, so that none escapes a seal.

Rows from before this revision keep null: an opening seal takes them as they were found.
"""

from __future__ import annotations

TABLES = ("inbox", "document_version", "document_line", "trail", "write_back", "code_history")
#: The transaction as a number that never wraps; a block range index finds the newest ones and costs next to nothing.
TRANSACTION = "pg_current_xact_id()::text::bigint"
_INDEX = "USING brin (audit_xid) WITH (pages_per_range = 16, autosummarize = on)"


def _columns(table: str) -> tuple[str, ...]:
    """Adding a column without its default rewrites nothing: the default holds for rows to come."""
    return (
        f"ALTER TABLE hub.{table} ADD COLUMN audit_xid bigint, ADD COLUMN audit_login text",
        f"ALTER TABLE hub.{table} ALTER COLUMN audit_xid SET DEFAULT {TRANSACTION}, "
        "ALTER COLUMN audit_login SET DEFAULT session_user",
        f"CREATE INDEX {table}_audit ON hub.{table} {_INDEX}",
    )


STATEMENTS = (
    # a change of a code had no name of its own
    "ALTER TABLE hub.code_history ADD COLUMN history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    *(statement for table in TABLES for statement in _columns(table)),
)
APPEND_ONLY: tuple[str, ...] = ()
CHANGEABLE: tuple[str, ...] = ()
DELETABLE: tuple[str, ...] = ()
