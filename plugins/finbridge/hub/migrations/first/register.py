"""The register 台账: vouchers with their lines, groups, attempts and write-backs."""

from __future__ import annotations

_VOUCHER = """
CREATE TABLE hub.voucher (
    key              text        PRIMARY KEY CHECK (length(key) = 16),
    -- identity: what makes the voucher itself; the key is its printable form
    company          text        NOT NULL,
    source           text        NOT NULL,
    document_id      text        NOT NULL,
    cause            text        NOT NULL,
    kind             text        NOT NULL,
    split            int         NOT NULL,
    UNIQUE (company, source, document_id, cause, kind, split),
    flow_id          text        NOT NULL,
    voucher_group    text        REFERENCES hub.voucher_group,
    -- header, named after GB/T 24589; amounts in minor units, local currency
    voucher_word     text        NOT NULL,
    business_number  text        NOT NULL,
    currency         text        NOT NULL,
    business_date    date        NOT NULL,
    document_date    date        NOT NULL,
    posting_date     date        NOT NULL,
    period           text        NOT NULL,
    planned_reversal_date date,
    attachment_count int         NOT NULL,
    summary          text        NOT NULL,
    prepared_by      text        NOT NULL,
    reviewed_by      text        NOT NULL,
    land_as          text        NOT NULL,
    debit_minor      bigint      NOT NULL,
    credit_minor     bigint      NOT NULL,
    reverses_key     text        REFERENCES hub.voucher,
    reverses_number  text,
    reversed_by_key  text        REFERENCES hub.voucher,
    -- where it came from
    mapping_id       text,
    mapping_version  text,
    mapping_sha256   text,
    source_content   text        NOT NULL,
    fingerprint      text        NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    -- its life
    state            text        NOT NULL,
    state_reason     text        NOT NULL DEFAULT '',
    state_since      timestamptz NOT NULL DEFAULT now(),
    retry_at         timestamptz,
    tries            int         NOT NULL DEFAULT 0,
    last_sent_at     timestamptz,
    send_fence       bigint,
    -- finance's own names for it
    finance_number   text,
    finance_id       text,
    finance_year     int,
    finance_posted_on date,
    -- the way back to the form: due, sent, verified, refused; null = nothing to write
    write_back       text        CHECK (write_back IN ('due', 'sent', 'verified', 'refused')),
    write_back_at    timestamptz,
    write_back_tries int         NOT NULL DEFAULT 0
) WITH (fillfactor = 80)
"""

STATEMENTS = (
    """
    CREATE TABLE hub.voucher_group (
        group_id    text        PRIMARY KEY,
        flow_id     text        NOT NULL,
        document_id text        NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    _VOUCHER,
    "CREATE INDEX voucher_document ON hub.voucher (document_id, flow_id)",
    "CREATE INDEX voucher_period ON hub.voucher (flow_id, company, period)",
    "CREATE INDEX voucher_reverses ON hub.voucher (reverses_key) WHERE reverses_key IS NOT NULL",
    """
    CREATE TABLE hub.voucher_line (
        key                text    NOT NULL REFERENCES hub.voucher,
        line_no            int     NOT NULL,
        position           int     NOT NULL,
        account            text    NOT NULL,
        side               text    NOT NULL CHECK (side IN ('D', 'C')),
        amount_minor       bigint  NOT NULL,
        currency           text    NOT NULL,
        rate               text    NOT NULL,
        local_amount_minor bigint  NOT NULL,
        summary            text    NOT NULL,
        party              text,
        assignment         text,
        tax_code           text,
        -- 辅助核算: typed ones by name, company-defined ones in one object; dimension_names keeps the order
        department         text,
        employee           text,
        supplier           text,
        customer           text,
        project            text,
        contract           text,
        bank_account       text,
        cash_flow_item     text,
        other_dimensions   jsonb   NOT NULL DEFAULT '{}',
        dimension_names    text[]  NOT NULL DEFAULT '{}',
        PRIMARY KEY (key, line_no)
    )
    """,
    """
    CREATE TABLE hub.source_line (
        key         text NOT NULL,
        line_no     int  NOT NULL,
        position    int  NOT NULL,
        document_id text NOT NULL,
        line_id     text NOT NULL,
        PRIMARY KEY (key, line_no, position),
        FOREIGN KEY (key, line_no) REFERENCES hub.voucher_line ON DELETE CASCADE
    )
    """,
    "COMMENT ON TABLE hub.source_line IS 'which document lines a voucher line came from, many to many'",
    "CREATE INDEX source_line_document ON hub.source_line (document_id, line_id)",
    """
    CREATE TABLE hub.attempt (
        attempt_id  text        PRIMARY KEY,
        key         text        NOT NULL REFERENCES hub.voucher,
        fence       bigint      NOT NULL,
        worker      text        NOT NULL,
        started_at  timestamptz NOT NULL DEFAULT now(),
        finished_at timestamptz,
        outcome     text,
        detail      text
    )
    """,
    "CREATE INDEX attempt_key ON hub.attempt (key)",
    "CREATE INDEX attempt_open ON hub.attempt (key) WHERE finished_at IS NULL",
    """
    CREATE TABLE hub.write_back (
        write_back_id  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        flow_id        text        NOT NULL,
        document_id    text        NOT NULL,
        keys           text[]      NOT NULL,
        fence          bigint      NOT NULL,
        worker         text        NOT NULL,
        at             timestamptz NOT NULL DEFAULT now(),
        voucher_number text        NOT NULL,
        posting_date   text        NOT NULL,
        error          text        NOT NULL,
        result         text        NOT NULL,
        verified       boolean     NOT NULL,
        detail         text        NOT NULL
    )
    """,
    "CREATE INDEX write_back_document ON hub.write_back (document_id, flow_id)",
)
