"""Rules as data: code tables with their history, companies, flows; and tokens shared between processes."""

from __future__ import annotations

STATEMENTS = (
    """
    CREATE TABLE hub.code_table (
        flow_id    text        NOT NULL,
        table_name text        NOT NULL,
        company    text        NOT NULL DEFAULT '',
        code       text        NOT NULL,
        valid_from date        NOT NULL,
        valid_to   date,
        target     text        NOT NULL,
        maker      text        NOT NULL,
        checker    text        NOT NULL CHECK (checker <> maker),
        changed_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (flow_id, table_name, company, code, valid_from),
        CHECK (valid_to IS NULL OR valid_to > valid_from)
    )
    """,
    """
    CREATE TABLE hub.code_history (
        at            timestamptz NOT NULL DEFAULT now(),
        flow_id       text        NOT NULL,
        table_name    text        NOT NULL,
        company       text        NOT NULL,
        code          text        NOT NULL,
        valid_from    date        NOT NULL,
        old_target    text,
        old_valid_to  date,
        new_target    text        NOT NULL,
        new_valid_to  date,
        maker         text        NOT NULL,
        checker       text        NOT NULL
    )
    """,
    "CREATE INDEX code_history_code ON hub.code_history (flow_id, table_name, company, code)",
    """
    CREATE TABLE hub.company_setting (
        company                 text        PRIMARY KEY,
        books                   text,
        accounting_organisation text,
        chart                   text,
        time_zone               text        NOT NULL,
        base_currency           text        NOT NULL,
        calendar                text,
        cut_off_day             int,
        policies                jsonb       NOT NULL DEFAULT '{}',
        changed_at              timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON COLUMN hub.company_setting.policies IS 'posting node, closed period, unknown code, VAT timing, …'",
    """
    CREATE TABLE hub.flow_setting (
        flow_id    text        PRIMARY KEY,
        write_back boolean     NOT NULL DEFAULT true,
        changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE hub.token (
        name       text        PRIMARY KEY,
        value      bytea       NOT NULL,
        expires_at timestamptz,
        changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON COLUMN hub.token.value IS 'encrypted; the key is derived from the suite''s secret and never stored'",
)
