"""Months: what both sides showed when a period was reconciled, and the payment status that went back to the OA."""

from __future__ import annotations

STATEMENTS = (
    "ALTER TABLE hub.document ADD COLUMN amount_minor bigint",
    "COMMENT ON COLUMN hub.document.amount_minor IS 'approved total as the form shows it; null = not a plain number'",
    # Log entries come nearly in the order of their time: a tiny index finds a month among years.
    "CREATE INDEX source_event_at ON hub.source_event USING brin (local_at)",
    "CREATE INDEX document_approved ON hub.document (flow_id, company, approved_at)",
    """
    CREATE TABLE hub.month_run (
        month_run_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        flow_id      text        NOT NULL,
        company      text        NOT NULL,
        period       text        NOT NULL,
        run_id       text        NOT NULL,
        started_at   timestamptz NOT NULL DEFAULT now(),
        closed_at    timestamptz,
        unexplained  int,
        explained    int
    )
    """,
    "CREATE INDEX month_run_period ON hub.month_run (flow_id, company, period, started_at)",
    """
    CREATE TABLE hub.month_sum (
        month_run_id bigint NOT NULL REFERENCES hub.month_run,
        side         text   NOT NULL CHECK (side IN ('oa', 'register', 'finance')),
        kind         text   NOT NULL,
        currency     text   NOT NULL,
        vouchers     bigint NOT NULL,
        amount_minor bigint NOT NULL,
        PRIMARY KEY (month_run_id, side, kind, currency)
    )
    """,
    """
    CREATE TABLE hub.month_difference (
        month_run_id   bigint  NOT NULL REFERENCES hub.month_run,
        position       int     NOT NULL,
        document_id    text    NOT NULL DEFAULT '',
        business_number text   NOT NULL DEFAULT '',
        key            text    NOT NULL DEFAULT '',
        finance_number text    NOT NULL DEFAULT '',
        kind           text    NOT NULL,
        what           text    NOT NULL,
        explained      boolean NOT NULL,
        detail         text    NOT NULL,
        currency       text    NOT NULL DEFAULT '',
        oa_minor       bigint,
        finance_minor  bigint,
        PRIMARY KEY (month_run_id, position)
    )
    """,
    "COMMENT ON COLUMN hub.month_difference.what IS 'missing, extra, altered, or why it is explained: held, due, …'",
    """
    CREATE TABLE hub.payment_status (
        flow_id       text        NOT NULL,
        document_id   text        NOT NULL,
        company       text        NOT NULL,
        business_number text      NOT NULL,
        -- what finance says; unclear: it makes no status, the reason says why
        status        text        NOT NULL CHECK (status IN ('open', 'paid', 'reversed', 'unclear')),
        number        text        NOT NULL DEFAULT '',
        paid_on       date,
        amount_minor  bigint      NOT NULL DEFAULT 0,
        currency      text        NOT NULL DEFAULT '',
        -- what became of it in the OA
        version       bigint      NOT NULL DEFAULT 1,
        changed_at    timestamptz NOT NULL DEFAULT now(),
        sent_at       timestamptz,
        verified      boolean     NOT NULL DEFAULT false,
        reason        text        NOT NULL DEFAULT '',
        detail        text        NOT NULL DEFAULT '',
        PRIMARY KEY (document_id, flow_id),
        CHECK (status <> 'unclear' OR reason <> '')
    )
    """,
    "CREATE INDEX payment_status_listed ON hub.payment_status (flow_id, company) WHERE reason <> ''",
    "COMMENT ON COLUMN hub.payment_status.sent_at IS 'about to be sent; null once nothing can be on its way'",
    "COMMENT ON COLUMN hub.payment_status.version IS 'rises with each change: who looked earlier changes nothing'",
)
APPEND_ONLY = ("month_sum", "month_difference")
CHANGEABLE = ("month_run", "payment_status")
DELETABLE = ()
