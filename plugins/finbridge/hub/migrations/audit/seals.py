"""What was changed, what was sealed, and the seals. The suite adds leaves and seals; changes are noted for it."""

from __future__ import annotations

from finbridge.hub.migrations.audit.marks import TRANSACTION

STATEMENTS = (
    f"""
    CREATE TABLE hub.audit_change (
        change_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at          timestamptz NOT NULL DEFAULT clock_timestamp(),
        table_name  text        NOT NULL,
        operation   text        NOT NULL CHECK (operation IN ('opening', 'insert', 'update', 'delete')),
        row_key     text        NOT NULL,
        document_id text        NOT NULL,
        -- the row afterwards, each value in PostgreSQL's text form, from the column at `starts` on (0 = all columns)
        starts      int         NOT NULL,
        image       text[]      NOT NULL,
        audit_xid   bigint      NOT NULL DEFAULT {TRANSACTION},
        audit_login text        NOT NULL DEFAULT session_user
    )
    """,
    "COMMENT ON TABLE hub.audit_change IS 'what changeable rows became, noted by triggers; nobody else writes here'",
    "CREATE INDEX audit_change_audit ON hub.audit_change "
    "USING brin (audit_xid) WITH (pages_per_range = 16, autosummarize = on)",
    f"""
    CREATE TABLE hub.audit_file (
        sha256      text        PRIMARY KEY,
        name        text        NOT NULL,
        version     text        NOT NULL,
        body        bytea       NOT NULL,
        bound       bytea       NOT NULL DEFAULT '',
        first_seen_at timestamptz NOT NULL DEFAULT now(),
        audit_xid   bigint      NOT NULL DEFAULT {TRANSACTION},
        audit_login text        NOT NULL DEFAULT session_user
    )
    """,
    "COMMENT ON TABLE hub.audit_file IS 'mapping files as vouchers were made with them; sha256 is of body and bound'",
    """
    CREATE TABLE hub.audit_seal (
        seal_no bigint PRIMARY KEY,
        horizon bigint NOT NULL,
        body    bytea  NOT NULL,
        hash    bytea  NOT NULL UNIQUE
    )
    """,
    "COMMENT ON TABLE hub.audit_seal IS 'the chain: body is canonical JSON and names the hash of the seal before'",
    """
    CREATE TABLE hub.audit_leaf (
        seal_no     bigint NOT NULL,
        position    int    NOT NULL,
        shape       text   NOT NULL,
        row_key     text   NOT NULL,
        document_id text   NOT NULL,
        marks       bytea  NOT NULL,
        leaf        bytea  NOT NULL,
        PRIMARY KEY (seal_no, position)
    )
    """,
    "CREATE INDEX audit_leaf_row ON hub.audit_leaf (row_key, shape)",
    "COMMENT ON COLUMN hub.audit_leaf.marks IS 'the first 8 bytes of each column''s digest name what was touched'",
)
APPEND_ONLY = ("audit_file", "audit_seal", "audit_leaf")
CHANGEABLE: tuple[str, ...] = ()
DELETABLE: tuple[str, ...] = ()
