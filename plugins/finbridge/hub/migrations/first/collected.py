"""What was collected: documents with their state of processing, versions, lines, log entries, wire bytes."""

from __future__ import annotations

_DOCUMENT = """
CREATE TABLE hub.document (
    flow_id          text        NOT NULL,
    document_id      text        NOT NULL,
    -- as collected last
    template         text        NOT NULL,
    stamp            text        NOT NULL,
    settled          boolean     NOT NULL,
    company          text        NOT NULL,
    business_number  text        NOT NULL,
    content          text        NOT NULL,
    problem_code     text,
    problem_field    text,
    problem_detail   text,
    submitted_at     timestamp,
    first_seen_at    timestamptz NOT NULL DEFAULT now(),
    changed_at       timestamptz NOT NULL DEFAULT now(),
    -- news: each new content, log entry or wish for another look raises the revision
    revision         bigint      NOT NULL DEFAULT 1,
    planned_revision bigint      NOT NULL DEFAULT 0,
    -- as planned last
    planned_at       timestamptz,
    planned_content  text,
    end_state        text,
    exceptions       text        NOT NULL DEFAULT '',
    approval_log_id  text,
    approved_at      timestamp,
    payment_log_id   text,
    paid_at          timestamp,
    lost_log_id      text,
    lost_at          timestamp,
    empty_kinds      text        NOT NULL DEFAULT '',
    blocked          boolean     NOT NULL DEFAULT false,
    waits            boolean     NOT NULL DEFAULT false,
    business_date    date,
    currency         text,
    -- what is due, and who works on it; while leased, due_at is the end of the lease
    stage            text        CHECK (stage IN ('plan', 'deliver', 'write_back')),
    due_at           timestamptz,
    lease_owner      text,
    lease_fence      bigint      UNIQUE,
    lease_until      timestamptz,
    lease_revision   bigint,
    PRIMARY KEY (document_id, flow_id),
    CHECK ((stage IS NULL) = (due_at IS NULL)),
    CHECK ((lease_fence IS NULL) = (lease_until IS NULL)),
    CHECK (planned_revision <= revision)
) WITH (fillfactor = 80)
"""

# Keys begin with the document: a flow holds so many of them that an index led by the flow would be no help, and a
# planner that knows nothing yet (a table just filled) would believe that it is.
STATEMENTS = (
    "CREATE SEQUENCE hub.fence AS bigint",
    _DOCUMENT,
    "COMMENT ON COLUMN hub.document.blocked IS 'a plan hold keeps a voucher from being made; a payment waits for it'",
    "COMMENT ON COLUMN hub.document.waits IS 'planned while a voucher was in doubt: plan again when finance spoke'",
    "COMMENT ON COLUMN hub.document.empty_kinds IS 'kinds called for that give no voucher by rule (0.00), joined by |'",
    # The one query of what is due: only documents with something to do are in this index.
    "CREATE INDEX document_due ON hub.document (flow_id, stage, due_at) WHERE stage IS NOT NULL",
    """
    CREATE TABLE hub.document_version (
        flow_id       text        NOT NULL,
        document_id   text        NOT NULL,
        content       text        NOT NULL,
        canonical     bytea       NOT NULL,
        first_seen_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (document_id, flow_id, content)
    )
    """,
    """
    CREATE TABLE hub.document_line (
        flow_id           text   NOT NULL,
        document_id       text   NOT NULL,
        content           text   NOT NULL,
        table_name        text   NOT NULL,
        position          int    NOT NULL,
        line_id           text   NOT NULL,
        fields            jsonb  NOT NULL,
        -- typed by flows that need them in reports; amounts in minor units of the currency
        expense_type      text,
        event_from        date,
        event_to          date,
        claimed_minor     bigint,
        approved_minor    bigint,
        payable_minor     bigint,
        currency          text,
        rate              numeric,
        local_amount_minor bigint,
        payer_kind        text,
        payee             text,
        cost_bearer       text,
        allocations       jsonb,
        PRIMARY KEY (document_id, flow_id, content, table_name, position),
        FOREIGN KEY (document_id, flow_id, content) REFERENCES hub.document_version
    )
    """,
    """
    CREATE TABLE hub.source_event (
        flow_id     text        NOT NULL,
        document_id text        NOT NULL,
        log_id      text        NOT NULL,
        kind        text        NOT NULL,
        local_at    timestamp   NOT NULL,
        node        text        NOT NULL,
        operation   text        NOT NULL,
        operator    text        NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (document_id, flow_id, log_id)
    )
    """,
    """
    CREATE TABLE hub.inbox (
        flow_id     text        NOT NULL,
        document_id text        NOT NULL,
        raw_sha256  text        NOT NULL,
        content     text        NOT NULL,
        template    text        NOT NULL,
        stamp       text        NOT NULL,
        raw         bytea       NOT NULL,
        received_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (document_id, flow_id, raw_sha256)
    )
    """,
    "COMMENT ON TABLE hub.inbox IS 'wire bytes as received, append-only; the same bytes of a document are kept once'",
    """
    CREATE TABLE hub.document_personal (
        flow_id     text        NOT NULL,
        document_id text        NOT NULL,
        fields      jsonb       NOT NULL,
        changed_at  timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (document_id, flow_id)
    )
    """,
    "COMMENT ON TABLE hub.document_personal IS 'names and account numbers, apart from all else, deletable by itself'",
    """
    CREATE TABLE hub.watermark (
        flow_id    text        PRIMARY KEY,
        through    timestamp   NOT NULL,
        changed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "COMMENT ON COLUMN hub.watermark.through IS 'frozen upper bound of the last whole collect, local time of the OA'",
    """
    CREATE TABLE hub.collect_lease (
        flow_id text        PRIMARY KEY,
        worker  text        NOT NULL,
        fence   bigint      NOT NULL,
        until   timestamptz NOT NULL
    )
    """,
)
