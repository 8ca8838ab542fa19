"""What people ask for and are told: manual runs with their previews, proposals for code tables, alarms."""

from __future__ import annotations

STATEMENTS = (
    """
    CREATE TABLE hub.manual_run (
        run_id     text        PRIMARY KEY,
        flow_id    text        NOT NULL,
        actor      text        NOT NULL,
        live       boolean     NOT NULL,
        reason     text        NOT NULL,
        asked      jsonb       NOT NULL,
        found      jsonb,
        taking     int         NOT NULL DEFAULT 0,
        started_at timestamptz NOT NULL DEFAULT now(),
        closed_at  timestamptz,
        counts     jsonb,
        CHECK (NOT live OR reason <> '')
    )
    """,
    "CREATE INDEX manual_run_flow ON hub.manual_run (flow_id, started_at)",
    """
    CREATE TABLE hub.preview (
        run_id          text  NOT NULL,
        taking          int   NOT NULL,
        position        int   NOT NULL,
        flow_id         text  NOT NULL,
        document_id     text  NOT NULL,
        business_number text  NOT NULL,
        company         text  NOT NULL,
        verdict         text  NOT NULL,
        problems        jsonb NOT NULL,
        vouchers        jsonb NOT NULL,
        PRIMARY KEY (run_id, taking, position)
    )
    """,
    "COMMENT ON COLUMN hub.manual_run.found IS 'which documents were asked for: [{asked, document_id}]'",
    "COMMENT ON COLUMN hub.preview.taking IS 'a task that is tried again takes them anew; the newest taking counts'",
    "COMMENT ON TABLE hub.preview IS 'what a manual run would do or did, a row a document, with 借/贷 lines'",
    """
    CREATE TABLE hub.code_proposal (
        proposal_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        flow_id     text        NOT NULL,
        maker       text        NOT NULL,
        made_at     timestamptz NOT NULL DEFAULT now(),
        note        text        NOT NULL DEFAULT '',
        rows        jsonb       NOT NULL,
        sha256      text        NOT NULL,
        state       text        NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected')),
        checker     text,
        decided_at  timestamptz,
        decision_note text      NOT NULL DEFAULT '',
        CHECK ((state = 'open') = (checker IS NULL)),
        CHECK (checker IS NULL OR checker <> maker)
    )
    """,
    """
    CREATE TABLE hub.master_data (
        system    text        NOT NULL,
        company   text        NOT NULL,
        kind      text        NOT NULL CHECK (kind IN ('account', 'cost_centre', 'party')),
        code      text        NOT NULL,
        name      text        NOT NULL,
        active    boolean     NOT NULL,
        read_at   timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (system, company, kind, code)
    )
    """,
    "COMMENT ON TABLE hub.master_data IS 'accounts, cost centres and parties as finance shows them; never typed here'",
    """
    CREATE TABLE hub.alarm (
        alarm_id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        flow_id      text        NOT NULL,
        company      text        NOT NULL DEFAULT '',
        cause        text        NOT NULL,
        detail       text        NOT NULL DEFAULT '',
        dag_id       text        NOT NULL DEFAULT '',
        run_id       text        NOT NULL DEFAULT '',
        task_id      text        NOT NULL DEFAULT '',
        opened_at    timestamptz NOT NULL DEFAULT now(),
        last_seen_at timestamptz NOT NULL DEFAULT now(),
        times        int         NOT NULL DEFAULT 1,
        told_open_at timestamptz,
        closed_at    timestamptz,
        told_close_at timestamptz
    )
    """,
    "CREATE UNIQUE INDEX alarm_open ON hub.alarm (flow_id, company, cause) WHERE closed_at IS NULL",
    "COMMENT ON TABLE hub.alarm IS 'one open and one close for each cause and company, however often it is seen'",
)
APPEND_ONLY = ("preview",)
CHANGEABLE = ("manual_run", "code_proposal", "alarm")
DELETABLE = ("master_data",)
